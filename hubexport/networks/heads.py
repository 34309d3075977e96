"""Heads: what a pre-trained encoder was trained to predict, one small class each.

A head is made of the configuration, the variables, the encoder, and a function that gives the
pooling which a sentence-level head was trained on. It is called with the inputs and the encoder's
outputs, and gives its own outputs by name. Those are float32; the matmuls before them are in the
network's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import ACTIVATIONS, Dense, LayerNorm
from hubexport.networks.pooling import Pooling
from hubexport.networks.transformer import Encoder
from hubexport.networks.variables import Variables, in_dtype

Tensors = dict[str, tf.Tensor]


class MaskedLanguageModel(tf.Module):
    """Scores every piece of the vocabulary at chosen positions.

    Inputs: `masked_lm_positions`, int32 [B, N], zero-padded. Output: `mlm_logits` [B, N, V].
    The output layer is tied to the encoder's word embeddings, [V, E].
    """

    inputs: tuple[str, ...] = ("masked_lm_positions",)
    output = "mlm_logits"

    def __init__(
        self,
        config: EncoderConfig,
        variables: Variables,
        encoder: Encoder,
        trained_on: Callable[[], Pooling],
    ):
        super().__init__()
        c, scope = config, "cls/predictions"
        # First, as in published modules: programs that set weights by position rely on the order.
        self.output_bias = variables(f"{scope}/output_bias", c.vocab_size)
        self.dense = Dense(variables, f"{scope}/transform/dense", c.hidden_size, c.embedding_size)
        self.norm = LayerNorm(
            variables, f"{scope}/transform/LayerNorm", c.embedding_size, c.layer_norm_eps
        )
        self.activation = ACTIVATIONS[c.hidden_act]
        self.dtype = c.dtype
        self.word_embeddings = encoder.embeddings.word_embeddings

    def __call__(self, inputs: Tensors, outputs: Tensors) -> Tensors:
        positions = inputs["masked_lm_positions"]
        x = tf.gather(outputs["sequence_output"], positions, batch_dims=1)  # [B, N, H]
        x = tf.cast(tf.reshape(x, [-1, x.shape[-1]]), self.dtype)  # [B * N, H]
        x = self.norm(self.activation(self.dense(x)))  # [B * N, E]
        table = in_dtype(self.word_embeddings, self.dtype)  # [V, E]
        logits = tf.cast(tf.matmul(x, table, transpose_b=True), tf.float32)  # [B * N, V]
        logits = tf.nn.bias_add(logits, self.output_bias)
        shape = tf.concat([tf.shape(positions), [logits.shape[-1]]], axis=0)
        return {self.output: tf.reshape(logits, shape)}


class NextSentencePrediction(tf.Module):
    """Whether the second segment follows the first: class 0 says that it does.

    Output: `nsp_logits` [B, 2].
    Starts from the pooling that it was trained on, which is not always `pooled_output`.
    """

    inputs: tuple[str, ...] = ()
    output = "nsp_logits"

    def __init__(
        self,
        config: EncoderConfig,
        variables: Variables,
        encoder: Encoder,
        trained_on: Callable[[], Pooling],
    ):
        super().__init__()
        self.pooler = trained_on()
        self.output_weights = variables(
            "cls/seq_relationship/output_weights", 2, config.hidden_size, dense=True
        )
        self.output_bias = variables("cls/seq_relationship/output_bias", 2)
        self.dtype = config.dtype

    def __call__(self, inputs: Tensors, outputs: Tensors) -> Tensors:
        pooled = self.pooler(outputs["sequence_output"], inputs["input_mask"])  # [B, H]
        weights = in_dtype(self.output_weights, self.dtype)
        logits = tf.matmul(tf.cast(pooled, self.dtype), weights, transpose_b=True)
        return {self.output: tf.nn.bias_add(tf.cast(logits, tf.float32), self.output_bias)}


HEADS: Mapping[str, Callable[..., MaskedLanguageModel | NextSentencePrediction]] = {
    "mlm": MaskedLanguageModel,
    "nsp": NextSentencePrediction,
}
"""By the name of the sub-object that holds them."""
