"""The small layers that everything else is made of."""

from __future__ import annotations

import tensorflow as tf

from hubexport.networks.variables import Variables

ACTIVATIONS = {
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_erf": lambda x: tf.nn.gelu(x, approximate=False),
    "relu": tf.nn.relu,
}
"""The functions behind `hubexport.networks.config.ACTIVATIONS`."""


class Dense(tf.Module):
    """`x @ kernel + bias` on rows: [N, size_in] -> [N, size_out].

    Rows, because a 2-D matmul with bias_add is what TensorFlow fuses into one kernel.
    """

    def __init__(self, variables: Variables, scope: str, size_in: int, size_out: int):
        super().__init__()
        self.kernel = variables(f"{scope}/kernel", size_in, size_out)
        self.bias = variables(f"{scope}/bias", size_out)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(tf.matmul(x, self.kernel), self.bias)


class LayerNorm(tf.Module):
    """Layer normalization over the last axis (arxiv.org/abs/1607.06450): [N, size] -> same."""

    def __init__(self, variables: Variables, scope: str, size: int, epsilon: float):
        super().__init__()
        self.gamma = variables(f"{scope}/gamma", size)
        self.beta = variables(f"{scope}/beta", size)
        self.epsilon = epsilon

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)


def dropout(x: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """Drops elements at random while training, and scales up the others."""
    return tf.nn.dropout(x, rate) if training and rate else x
