"""Reading checkpoints: file formats, and tensors by name. No models, and no TensorFlow."""
