"""A loss for gates that train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def loss_of(outputs: Mapping[str, Any]) -> Any:
    """A loss that every output has a part in."""
    import tensorflow as tf

    tensors = tf.nest.flatten(dict(outputs))
    # Not the mean of squares alone: layer norms keep that constant.
    return tf.add_n([tf.reduce_mean(tf.square(tf.cast(x, tf.float32) - 0.3)) for x in tensors])
