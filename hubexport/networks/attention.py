"""Self-attention, with its output projection."""

from __future__ import annotations

import math

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import Dense, LayerNorm, dropout
from hubexport.networks.variables import Variables


def mask_bias(input_mask: tf.Tensor) -> tf.Tensor:
    """[B, S] (1 = token, 0 = padding) -> [B, 1, 1, S], to be added to attention scores.

    -1e9 as in Model Garden: exp() of it is 0, as with google-research/bert's -10000.
    """
    return (1.0 - tf.cast(input_mask[:, tf.newaxis, tf.newaxis, :], tf.float32)) * -1e9


class SelfAttention(tf.Module):
    """Multi-head scaled dot-product attention (arxiv.org/abs/1706.03762), residual and norm."""

    def __init__(self, config: EncoderConfig, variables: Variables, scope: str):
        super().__init__()
        c = config
        self.heads, self.head_size = c.num_attention_heads, c.head_size
        self.query = Dense(variables, f"{scope}/self/query", c.hidden_size, c.hidden_size)
        self.key = Dense(variables, f"{scope}/self/key", c.hidden_size, c.hidden_size)
        self.value = Dense(variables, f"{scope}/self/value", c.hidden_size, c.hidden_size)
        self.output = Dense(variables, f"{scope}/output/dense", c.hidden_size, c.hidden_size)
        self.norm = LayerNorm(
            variables, f"{scope}/output/LayerNorm", c.hidden_size, c.layer_norm_eps
        )
        self.hidden_size = c.hidden_size
        self.attention_dropout_rate = c.attention_probs_dropout_prob
        self.hidden_dropout_rate = c.hidden_dropout_prob

    def __call__(
        self, x: tf.Tensor, bias: tf.Tensor, shape: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """One attention layer.

        Args:
          x: [B * S, H].
          bias: [B, 1, 1, S], of `mask_bias`.
          shape: [2] int32, B and S.
          training: whether dropout is active.

        Returns:
          [B * S, H].
        """
        heads_shape = tf.concat([shape, [self.heads, self.head_size]], axis=0)

        def split_heads(rows: tf.Tensor) -> tf.Tensor:
            return tf.transpose(tf.reshape(rows, heads_shape), [0, 2, 1, 3])  # [B, A, S, D]

        scores = tf.matmul(
            split_heads(self.query(x)), split_heads(self.key(x)), transpose_b=True
        )  # [B, A, S, S]
        scores = scores * (1.0 / math.sqrt(self.head_size))
        probabilities = self.probabilities(scores, bias)
        probabilities = dropout(probabilities, self.attention_dropout_rate, training)
        context = tf.matmul(probabilities, split_heads(self.value(x)))  # [B, A, S, D]
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, self.hidden_size])
        return self.norm(x + dropout(self.output(context), self.hidden_dropout_rate, training))

    def probabilities(self, scores: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Scaled scores [B, A, S, S] -> weights [B, A, S, S] with which values are summed."""
        return tf.nn.softmax(scores + bias)


class TalkingHeadsAttention(SelfAttention):
    """Attention whose heads are mixed linearly before and after the softmax
    (arxiv.org/abs/2003.02436; Model Garden's `TalkingHeadsAttention`)."""

    def __init__(self, config: EncoderConfig, variables: Variables, scope: str):
        super().__init__(config, variables, scope)
        A = config.num_attention_heads
        self.pre_softmax_weight = variables(f"{scope}/self/pre_softmax_weight", A, A)
        self.post_softmax_weight = variables(f"{scope}/self/post_softmax_weight", A, A)

    def probabilities(self, scores: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        mixed = self._mix(scores, self.pre_softmax_weight)
        return self._mix(tf.nn.softmax(mixed + bias), self.post_softmax_weight)

    def _mix(self, x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        """y[b, a', q, k] = sum over a of x[b, a, q, k] * weight[a, a']."""
        shape = tf.shape(x)  # [B, A, S, S]
        flat = tf.reshape(x, tf.stack([shape[0], self.heads, -1]))  # [B, A, S * S]
        return tf.reshape(tf.matmul(weight, flat, transpose_a=True), shape)
