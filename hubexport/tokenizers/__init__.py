"""Tokenizers: from vocabularies and models to graphs that map text to encoder inputs.

Begin at `defining.define_tokenizer`: it finds out what files are (`request`), reads them
(`readers`), and gives a `definition.TokenizerDefinition`, of which `graph.preprocessor` makes the
exported module. Each kind of tokenizer has a package; only modules called `graph`, `graph_...` and
those in `graph/` import TensorFlow. `tables/` holds what the kernels need of Unicode.
"""
