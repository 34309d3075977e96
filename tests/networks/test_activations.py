"""Activations compute what their names say, in every dtype, and so do their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from hubexport.networks.layers import ACTIVATIONS

LIMITS = {"float32": 2e-6, "bfloat16": 2.0**-6, "float16": 2.0**-9}
"""Largest absolute errors of values up to 10, and of gradients up to 1.2."""

GELU = np.vectorize(lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)))
GELU_GRADIENT = np.vectorize(
    lambda x: 0.5 * math.erfc(-x / math.sqrt(2)) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
)


@pytest.mark.parametrize("fused", [False, True], ids=["alone", "behind a dense layer"])
@pytest.mark.parametrize("dtype", LIMITS)
def test_exact_gelu(dtype: str, fused: bool) -> None:
    """Up to 2, values have the absolute precision of their dtype; above, the relative one."""
    x = tf.cast(np.linspace(-10, 10, 20_001, dtype=np.float32), dtype)
    activation = ACTIVATIONS["gelu_erf"]

    @tf.function(input_signature=[tf.TensorSpec([None, 1], dtype)])
    def behind_a_dense_layer(rows: tf.Tensor) -> tf.Tensor:
        product = tf.matmul(rows, tf.ones([1, 1], dtype))
        return activation(tf.nn.bias_add(product, tf.zeros([1], dtype)))

    computed = behind_a_dense_layer(x[:, tf.newaxis])[:, 0] if fused else activation(x)
    assert computed.dtype == dtype
    wide = tf.cast(x, tf.float64).numpy()
    error = np.abs(tf.cast(computed, tf.float64).numpy() - GELU(wide))
    assert np.max(error / np.maximum(1, np.abs(wide) / 2)) < LIMITS[dtype]


@pytest.mark.parametrize("dtype", LIMITS)
def test_gradient_of_exact_gelu(dtype: str) -> None:
    x = tf.cast(np.linspace(-10, 10, 20_001, dtype=np.float32), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ACTIVATIONS["gelu_erf"](x)
    gradient = tf.cast(tape.gradient(y, x), tf.float64).numpy()
    expected = GELU_GRADIENT(tf.cast(x, tf.float64).numpy())
    assert np.max(np.abs(gradient - expected)) < LIMITS[dtype]
