"""Causal networks a few tokens at a time: what they made of earlier ones is kept and given back."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from hubexport.networks.attention import causal_bias
from hubexport.networks.transformer import Encoder


def decode(
    encoder: Encoder, inputs: Mapping[str, tf.Tensor], past: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The last layer's output for S tokens that follow P others.

    Args:
      encoder: causal, and of a layout that computes every position.
      inputs: `input_word_ids` [B, S], the new tokens; `input_mask` [B, P + S] of all, in which
        padding may be on the left.
      past: keys and values of the others, [L, 2, B, A, P, D]; P is 0 at the beginning.

    Returns:
      float32 [B, S, H], and the keys and values of all, [L, 2, B, A, P + S, D].
    """
    state = dict(encoder.layout.state(inputs, portable=True))
    new = tf.shape(inputs["input_word_ids"])[1]
    bias = causal_bias(inputs["input_mask"])  # [B, 1, P + S, P + S]
    state["bias"] = bias[:, :, tf.shape(bias)[2] - new :]  # [B, 1, S, P + S]
    first = encoder.embeddings(inputs, state, training=False)
    layers, present = zip(*encoder.blocks.remembering(first, state, past), strict=True)
    rows = layers[-1]
    if encoder.last is not None:
        rows = encoder.last(rows)
    return encoder.layout.sequence(rows, state), tf.stack(present)
