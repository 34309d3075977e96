"""What all kinds share in the graph: `preprocessor` is what is exported, made of special tokens in
text, a tokenizer, and packing. All of it imports TensorFlow."""
