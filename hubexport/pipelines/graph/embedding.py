"""From tokens' vectors to a sentence's, as sentence-transformers has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from hubexport.networks.pooling import POOLINGS, weighted_by

_ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "tanh": tf.tanh,
    "linear": tf.identity,
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
}
"""Of dense layers behind the pooling."""


def pooled(sequence: tf.Tensor, mask: tf.Tensor, modes: Sequence[str], left_out: int) -> tf.Tensor:
    """The poolings of a sequence, joined.

    Args:
      sequence: float32 [B, S, H].
      mask: int32 [B, S].
      modes: of pooling.
      left_out: how many of a text's first tokens are not pooled, those of a prompt.
    """
    places = tf.cumsum(mask, axis=1) * mask  # from 1, wherever the padding stands
    mask = mask * tf.cast(places > left_out, mask.dtype)
    return tf.concat([_POOLINGS.get(mode, _usual(mode))(sequence, mask, places) for mode in modes],
                     axis=-1)  # fmt: skip


def _first(sequence: tf.Tensor, mask: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """The first token that is pooled."""
    return tf.gather(sequence, tf.argmax(mask, axis=1), batch_dims=1)


def _weighted(sequence: tf.Tensor, mask: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Weighted by places in the whole text."""
    return weighted_by(sequence, mask * places)


_Pooling = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
_POOLINGS: Mapping[str, _Pooling] = {"cls": _first, "weightedmean": _weighted}
"""Those that sentence-transformers counts from a text's first token, wherever that stands."""


def _usual(mode: str) -> _Pooling:
    return lambda sequence, mask, _: POOLINGS[mode](sequence, mask)


class Dense(tf.Module):
    """A dense layer on vectors, [B, in] -> [B, out]."""

    def __init__(self, kernel: tf.Variable, bias: tf.Variable | None, activation: str):
        super().__init__()
        self.kernel, self.bias = kernel, bias
        self.activation = _ACTIVATIONS[activation]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.matmul(x, self.kernel)
        return self.activation(x if self.bias is None else tf.nn.bias_add(x, self.bias))
