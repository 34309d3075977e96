"""The tables that drive tokenizer graphs, in the binary formats of the ops that read them."""
