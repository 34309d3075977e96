"""The encoder: embeddings and a stack of Transformer blocks."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hubexport.networks.attention import SelfAttention, mask_bias
from hubexport.networks.embeddings import BertEmbeddings
from hubexport.networks.feed_forward import FeedForward

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
"""Keys of an encoder's inputs, each int32 [batch, sequence]."""


class TransformerBlock(tf.Module):
    """Attention, then feed-forward: post-norm, each with its own residual."""

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward):
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward

    def __call__(
        self, x: tf.Tensor, bias: tf.Tensor, shape: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """[B * S, H] -> [B * S, H]; arguments as of `SelfAttention`."""
        return self.feed_forward(self.attention(x, bias, shape, training), training)


class Encoder(tf.Module):
    """A stack of blocks over embeddings."""

    def __init__(self, embeddings: BertEmbeddings, blocks: Sequence[TransformerBlock]):
        super().__init__()
        self.embeddings = embeddings
        self.blocks = list(blocks)

    def __call__(self, inputs: dict[str, tf.Tensor], training: bool) -> list[tf.Tensor]:
        """The outputs of every block.

        Args:
          inputs: int32 [B, S] tensors of the keys in `INPUTS`.
          training: whether dropout is active.

        Returns:
          One float32 [B, S, H] per block.
        """
        word_ids, mask, type_ids = (inputs[key] for key in INPUTS)
        shape = tf.shape(word_ids)  # [B, S]
        x = self.embeddings(word_ids, type_ids, training)  # [B * S, H]
        bias = mask_bias(mask)
        sequence_shape = tf.concat([shape, [x.shape[-1]]], axis=0)
        outputs = []
        for block in self.blocks:
            x = block(x, bias, shape, training)
            outputs.append(tf.cast(tf.reshape(x, sequence_shape), tf.float32))
        return outputs
