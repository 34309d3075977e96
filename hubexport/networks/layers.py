"""The small layers that everything else is made of.

They compute in the dtype of what they are given, and cast variables to it. What loses too
much in a narrow dtype is computed in float32 and cast back.
"""

from __future__ import annotations

import math

import tensorflow as tf

from hubexport.networks.variables import NamedVariables, in_dtype


def gelu_erf(x: tf.Tensor) -> tf.Tensor:
    """The exact GELU (arxiv.org/abs/1606.08415), by PyTorch's formula.

    Some releases write `tf.nn.gelu` with Erfc, which ONNX and TensorFlow.js lack, and which
    TensorFlow 2.18 does not fuse with a dense layer. TensorFlow Lite recognizes this order of
    factors as its GELU. Where nothing is fused, 1 + erf loses digits far below 0; the error is
    1e-6 at most, as that of the fused op.
    """
    return 0.5 * x * (1.0 + tf.math.erf(x * math.sqrt(0.5)))


ACTIVATIONS = {
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_erf": gelu_erf,
    "relu": tf.nn.relu,
}
"""The functions behind `hubexport.networks.config.ACTIVATIONS`."""


class Dense(tf.Module):
    """`x @ kernel + bias` on rows: [N, size_in] -> [N, size_out].

    Rows, because a 2-D matmul with bias_add is what TensorFlow fuses into one kernel.
    """

    def __init__(self, variables: NamedVariables, scope: str, size_in: int, size_out: int):
        super().__init__()
        self.kernel = variables(f"{scope}/kernel", size_in, size_out, dense=True)
        self.bias = variables(f"{scope}/bias", size_out, dense=True)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        rows = tf.matmul(x, in_dtype(self.kernel, x.dtype))
        return tf.nn.bias_add(rows, in_dtype(self.bias, x.dtype))


class Linear(tf.Module):
    """`x @ kernel` on rows: [N, size_in] -> [N, size_out]."""

    def __init__(self, variables: NamedVariables, scope: str, size_in: int, size_out: int):
        super().__init__()
        self.kernel = variables(f"{scope}/kernel", size_in, size_out, dense=True)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, in_dtype(self.kernel, x.dtype))


class LayerNorm(tf.Module):
    """Layer normalization over the last axis (arxiv.org/abs/1607.06450): [N, size] -> same.

    In float32, and of the dtype that it is given. Plain operations: a FusedBatchNormV3, which
    oneDNN runs faster on large batches, is slower for a single sequence, and with cuDNN may not
    heed an epsilon below 1e-5.
    """

    def __init__(self, variables: NamedVariables, scope: str, size: int, epsilon: float):
        super().__init__()
        self.gamma = variables(f"{scope}/gamma", size)
        self.beta = variables(f"{scope}/beta", size)
        self.epsilon = epsilon

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(x, tf.float32)
        centered = rows - tf.reduce_mean(rows, axis=1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centered), axis=1, keepdims=True)
        # A quarter less time than tf.nn.batch_normalization of tf.nn.moments.
        scale = tf.math.rsqrt(variance + self.epsilon) * self.gamma
        return tf.cast(centered * scale + self.beta, x.dtype)


def tied_logits(x: tf.Tensor, word_embeddings: tf.Variable) -> tf.Tensor:
    """Rows [N, E], in the network's dtype -> float32 [N, V], by the table of words [V, E]."""
    table = in_dtype(word_embeddings, x.dtype)
    return tf.cast(tf.matmul(x, table, transpose_b=True), tf.float32)


def dropout(x: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """Drops elements at random while training, and scales up the others.

    In float32: of the random numbers in bfloat16, multiples of 1/128, more than 10 in 100 are below
    0.1, and the factor 1/0.9 is rounded down besides.
    """
    if not training or not rate:
        return x
    return tf.cast(tf.nn.dropout(tf.cast(x, tf.float32), rate), x.dtype)
