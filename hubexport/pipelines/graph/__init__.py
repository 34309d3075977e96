"""The TensorFlow of pipelines."""
