"""One vector for a whole sequence: [B, S, H] and its mask [B, S] -> [B, dim]."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import ACTIVATIONS, Dense
from hubexport.networks.variables import Variables

Pooling = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(sequence_output float32 [B, S, H], input_mask int32 [B, S]) -> float32 [B, dim]."""


class TokenDense(tf.Module):
    """An activated dense layer on one token, in the network's dtype; BERT's pooler is tanh of one,
    on the first.

    Args:
      config: of the network.
      variables: where the layer's are, below `scope`.
      activation: `tanh`, `linear`, or one of `ACTIVATIONS`.
      token: chooses it; None for the first.
      size: of what it gives; None for the hidden size.
    """

    def __init__(
        self,
        config: EncoderConfig,
        variables: Variables,
        scope: str,
        activation: str = "tanh",
        token: Pooling | None = None,
        size: int | None = None,
    ):
        super().__init__()
        self.dense = Dense(variables, scope, config.hidden_size, size or config.hidden_size)
        self.activation = {"tanh": tf.tanh, "linear": tf.identity, **ACTIVATIONS}[activation]
        self.dtype, self.token = config.dtype, token or first_token

    def __call__(self, sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        vector = tf.cast(self.token(sequence, mask), self.dtype)
        return tf.cast(self.activation(self.dense(vector)), tf.float32)


def first_token(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The first token's vector."""
    return sequence[:, 0]


def mean(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean over tokens; zeros for a row without any."""
    weights = _column(tf.cast(mask, sequence.dtype))
    return _weighted_mean(sequence, weights)


def mean_sqrt_len(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The sum over tokens divided by the square root of their number."""
    weights = _column(tf.cast(mask, sequence.dtype))
    count = tf.maximum(tf.reduce_sum(weights, axis=1), 1e-9)  # [B, 1]
    return tf.reduce_sum(sequence * weights, axis=1) / tf.sqrt(count)


def weighted_mean(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean over tokens weighted by their position, from 1 (arxiv.org/abs/2202.08904)."""
    positions = tf.range(1, tf.shape(mask)[1] + 1)
    return weighted_by(sequence, mask * positions)


def weighted_by(sequence: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The mean weighted by integers [B, S]."""
    return _weighted_mean(sequence, _column(tf.cast(weights, sequence.dtype)))


def maximum(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The maximum over tokens, of each dimension."""
    is_token = _column(tf.cast(mask, tf.bool))
    # sentence-transformers' own stand-in for minus infinity.
    return tf.reduce_max(tf.where(is_token, sequence, -1e9), axis=1)


def last_token(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The vector of the last token that is not padding."""
    positions = tf.range(tf.shape(mask)[1]) * mask  # [B, S]
    return tf.gather(sequence, tf.argmax(positions, axis=1), batch_dims=1)


def _column(x: tf.Tensor) -> tf.Tensor:
    """[B, S] -> [B, S, 1], without a strided slice: TensorFlow Lite's cannot add an axis."""
    return tf.expand_dims(x, axis=2)


def _weighted_mean(sequence: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    total = tf.maximum(tf.reduce_sum(weights, axis=1), 1e-9)  # [B, 1]
    return tf.reduce_sum(sequence * weights, axis=1) / total


POOLINGS: dict[str, Pooling] = {
    "cls": first_token,
    "max": maximum,
    "mean": mean,
    "mean_sqrt_len_tokens": mean_sqrt_len,
    "weightedmean": weighted_mean,
    "lasttoken": last_token,
}
"""By sentence-transformers' names, in the order in which it concatenates them."""


def sentence_embedding(modes: Sequence[str], normalize: bool) -> Pooling:
    """What a sentence-transformers pipeline makes of the sequence: [B, len(modes) * H]."""

    def pool(sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        pooled = tf.concat([POOLINGS[mode](sequence, mask) for mode in modes], axis=-1)
        return normalized(pooled) if normalize else pooled

    return pool


def normalized(vectors: tf.Tensor) -> tf.Tensor:
    """[B, dim] of length 1, as torch.nn.functional.normalize: the norm is at least 1e-12."""
    norm = tf.norm(vectors, axis=-1, keepdims=True)
    return vectors / tf.maximum(norm, 1e-12)
