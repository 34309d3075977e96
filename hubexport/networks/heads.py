"""Heads: what an encoder was trained to predict, one small class each.

A head gives its outputs, in the order of its interface (`hubexport.families.heads`), from its
inputs and the encoder's outputs. Those are float32; the matmuls before them are in the network's
dtype.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import ACTIVATIONS, Dense, LayerNorm
from hubexport.networks.pooling import Pooling, first_token
from hubexport.networks.transformer import Encoder
from hubexport.networks.variables import Variables, in_dtype

Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a head stands.

    Attributes:
      config: of the network.
      variables: where the head's are, below `scope`.
      encoder: what it stands on.
      classes: how many scores it gives.
      pooling: gives what a sentence-level head was trained on; None for the first token.
      activation: of a hidden layer of the head's own; of `ACTIVATIONS`.
    """

    config: EncoderConfig
    variables: Variables
    scope: str
    encoder: Encoder
    classes: int
    pooling: Callable[[], Pooling] | None
    activation: str


class Network(Protocol):
    """A head's network."""

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        """The head's outputs.

        Args:
          inputs: the encoder's, [B, S] each, and the head's own.
          outputs: the encoder's.
        """


class OutputLayer(tf.Module):
    """[..., H] -> float32 [..., classes], its weights kept as [classes, H]."""

    def __init__(self, place: Place):
        super().__init__()
        c, scope = place.config, place.scope
        self.weights = place.variables(
            f"{scope}/output_weights", place.classes, c.hidden_size, dense=True
        )
        self.bias = place.variables(f"{scope}/output_bias", place.classes)
        self.dtype, self.layout = c.dtype, place.encoder.layout

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Rows [N, H] -> [N, classes]."""
        weights = in_dtype(self.weights, self.dtype)
        logits = tf.matmul(tf.cast(x, self.dtype), weights, transpose_b=True)
        return tf.nn.bias_add(tf.cast(logits, tf.float32), self.bias)

    def of_tokens(self, sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """[B, S, H] and its mask -> [B, S, classes]."""
        logits = self(tf.reshape(sequence, [-1, sequence.shape[-1]]))  # [B * S, classes]
        shape = tf.concat([tf.shape(sequence)[:2], [logits.shape[-1]]], axis=0)
        return self.layout.at_padding(tf.reshape(logits, shape), mask)


class MaskedLanguageModel(tf.Module):
    """Scores every piece of the vocabulary at chosen positions.

    Positions int32 [B, N], zero-padded, give [B, N, V]. The output layer is tied to the encoder's
    word embeddings, [V, E].
    """

    def __init__(self, place: Place):
        super().__init__()
        c, variables, scope = place.config, place.variables, place.scope
        self.output_bias = variables(f"{scope}/output_bias", c.vocab_size)
        self.dense = Dense(variables, f"{scope}/transform/dense", c.hidden_size, c.embedding_size)
        self.norm = LayerNorm(
            variables, f"{scope}/transform/LayerNorm", c.embedding_size, c.layer_norm_eps
        )
        self.activation = ACTIVATIONS[place.activation]
        self.dtype = c.dtype
        self.word_embeddings = place.encoder.embeddings.word_embeddings

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        positions = inputs["masked_lm_positions"]
        x = tf.gather(outputs["sequence_output"], positions, batch_dims=1)  # [B, N, H]
        x = tf.cast(tf.reshape(x, [-1, x.shape[-1]]), self.dtype)  # [B * N, H]
        x = self.norm(self.activation(self.dense(x)))  # [B * N, E]
        table = in_dtype(self.word_embeddings, self.dtype)  # [V, E]
        logits = tf.cast(tf.matmul(x, table, transpose_b=True), tf.float32)  # [B * N, V]
        logits = tf.nn.bias_add(logits, self.output_bias)
        shape = tf.concat([tf.shape(positions), [logits.shape[-1]]], axis=0)
        return (tf.reshape(logits, shape),)


class PooledClassifier(tf.Module):
    """Scores of a whole sequence, [B, classes], from the pooling that the head was trained on,
    which is not always `pooled_output`."""

    def __init__(self, place: Place):
        super().__init__()
        self.pooling = place.pooling() if place.pooling else first_token
        self.output = OutputLayer(place)

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        return (self.output(self.pooling(outputs["sequence_output"], inputs["input_mask"])),)


class TokenClassifier(tf.Module):
    """Scores of each token, [B, S, classes]."""

    def __init__(self, place: Place):
        super().__init__()
        self.output = OutputLayer(place)

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        return (self.output.of_tokens(outputs["sequence_output"], inputs["input_mask"]),)


class SpanClassifier(TokenClassifier):
    """Scores of each token as a span's first and as its last, [B, S] each."""

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        logits = self.output.of_tokens(outputs["sequence_output"], inputs["input_mask"])
        return tuple(tf.unstack(logits, num=2, axis=2))


HEADS: Mapping[str, Callable[[Place], Network]] = {
    "masked_language_model": MaskedLanguageModel,
    "pooled_classifier": PooledClassifier,
    "token_classifier": TokenClassifier,
    "span_classifier": SpanClassifier,
}
"""By the `network` of a family's head."""
