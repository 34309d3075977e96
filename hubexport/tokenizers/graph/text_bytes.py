"""The bytes of texts, one behind the other."""

from __future__ import annotations

import tensorflow as tf


def all_bytes(texts: tf.Tensor) -> tf.Tensor:
    """string [batch] -> uint8 [bytes of all of them]."""
    return tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)


def begins_of(texts: tf.Tensor) -> tf.Tensor:
    """string [batch] -> int64 [batch], the place of each among the bytes of all."""
    return tf.cumsum(tf.cast(tf.strings.length(texts), tf.int64), exclusive=True)
