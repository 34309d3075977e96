"""Tokenizers as TensorFlow graphs: string tensors in, ids out. All of it imports TensorFlow."""
