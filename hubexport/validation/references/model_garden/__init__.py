"""References by the TensorFlow Model Garden: its encoders, filled by their own names.

Begin with `model.make`.
"""
