"""Self-attention, with its output projection."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import Dense, dropout
from hubexport.networks.padding import State, layout_of
from hubexport.networks.variables import NamedVariables, in_dtype


def mask_bias(mask: tf.Tensor) -> tf.Tensor:
    """[B, S] (1 = token, 0 = padding) -> float32 [B, 1, 1, S], to be added to attention scores.

    -1e9 as in Model Garden: exp() of it is 0, as with google-research/bert's -10000.
    """
    # TensorFlow sorts the operands of sums by name before it looks for sums to fuse, and finds
    # "factored" scores plus a bias only in this order.
    # In a session, as TensorFlow Serving runs models, it knows of what is fed neither shape nor
    # rank, which it needs to; that of a reshape to four numbers it does know.
    shape = tf.shape(mask)
    rows = tf.reshape(mask, tf.stack([shape[0], 1, 1, shape[1]]))
    absent = 1.0 - tf.cast(rows, tf.float32)
    return tf.multiply(absent, -1e9, name="mask_bias")


def causal_bias(mask: tf.Tensor) -> tf.Tensor:
    """[B, S] -> float32 [B, 1, S, S]: as `mask_bias`, and no token sees those after it."""
    columns = tf.range(tf.shape(mask)[1])
    later = tf.greater(tf.expand_dims(columns, 0), tf.expand_dims(columns, 1))  # [S, S]
    return tf.minimum(mask_bias(mask), tf.cast(later, tf.float32) * -1e9, name="mask_bias")


class ScoreScales(NamedTuple):
    """Where the factor that scales attention scores is applied; 1.0 adds nothing to the graph.

    Attributes:
      query: to queries.
      scores: to their products with keys, in the network's dtype.
      widened: to the scores in float32, just before the bias.
    """

    query: float
    scores: float
    widened: float

    @classmethod
    def of(cls, config: EncoderConfig, scale: float | None = None) -> ScoreScales:
        """Together the scale, 1 / sqrt(head size) where none is given.

        A product of query and key can be larger than 65504, float16's largest number, and an
        infinite score makes the softmax NaN. In narrow dtypes queries are therefore made smaller
        first: by a power of two, which rounds nothing but what becomes subnormal (2**-17 at most,
        in terms of the query), and large enough for products up to 1.6e7. The rest of the factor
        waits until the scores are float32, where it is not rounded either. bfloat16 has the range
        of float32: there a power of two, as for heads of 64, rounds nothing at all, and is applied
        where it is fused with the product.
        """
        scale = 1.0 / math.sqrt(config.head_size) if scale is None else scale
        if config.dtype == "float32" or (config.dtype == "bfloat16" and _is_power_of_two(scale)):
            return cls(query=1.0, scores=scale, widened=1.0)
        return cls(query=2.0**-8, scores=1.0, widened=2.0**8 * scale)


def _is_power_of_two(x: float) -> bool:
    return math.frexp(x)[0] == 0.5


def scaled(x: tf.Tensor, factor: float) -> tf.Tensor:
    """The product; x itself where the factor is 1."""
    return x if factor == 1.0 else tf.multiply(x, factor, name="factored")


class Memory:
    """An attention's keys and values of earlier tokens, and then those of all.

    Args:
      past: of the earlier ones, [2, B, A, P, D], float32.
    """

    def __init__(self, past: tf.Tensor):
        self._past, self._all = past, [past[0], past[1]]

    def keys(self, new: tf.Tensor) -> tf.Tensor:
        """[B, A, S, D] -> [B, A, P + S, D]."""
        return self._extended(0, new)

    def values(self, new: tf.Tensor) -> tf.Tensor:
        """[B, A, S, D] -> [B, A, P + S, D]."""
        return self._extended(1, new)

    def _extended(self, kind: int, new: tf.Tensor) -> tf.Tensor:
        extended = tf.concat([tf.cast(self._past[kind], new.dtype), new], axis=2)
        self._all[kind] = tf.cast(extended, tf.float32)
        return extended

    def present(self) -> tf.Tensor:
        """Those of all tokens so far, [2, B, A, P + S, D]."""
        return tf.stack(self._all)


class SelfAttention(tf.Module):
    """Multi-head scaled dot-product attention (arxiv.org/abs/1706.03762).

    Args:
      config: of the network.
      variables: where the weights are, below `scope`.
      scale: of scores; 1 / sqrt(head size) where none is given.
    """

    def __init__(
        self,
        config: EncoderConfig,
        variables: NamedVariables,
        scope: str,
        scale: float | None = None,
    ):
        super().__init__()
        c = config
        self.heads = c.num_attention_heads
        self.query = Dense(variables, f"{scope}/self/query", c.hidden_size, c.hidden_size)
        self.key = Dense(variables, f"{scope}/self/key", c.hidden_size, c.hidden_size)
        self.value = Dense(variables, f"{scope}/self/value", c.hidden_size, c.hidden_size)
        self.output = Dense(variables, f"{scope}/output/dense", c.hidden_size, c.hidden_size)
        self.scales, self.layout = ScoreScales.of(c, scale), layout_of(c)
        self.attention_dropout_rate = c.attention_probs_dropout_prob

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor:
        """One attention layer.

        Args:
          x: rows, [N, H], in the network's dtype.
          state: of the layout, and `bias`, of `mask_bias` or `causal_bias`; `memory` where there
            are keys and values of earlier tokens.
          training: whether dropout is active.

        Returns:
          [N, H], of x's dtype.
        """
        split = self.layout.split
        query = split(scaled(self.query(x), self.scales.query), state)  # [B, A, S, D]
        key = split(self.key(x), state)
        memory: Memory | None = state.get("memory")
        if memory is not None:
            key = memory.keys(key)  # [B, A, P + S, D]
        scores = tf.matmul(query, key, transpose_b=True)
        scores = scaled(scores, self.scales.scores)  # [B, A, S, S]
        probabilities = self.probabilities(scores, state["bias"])
        probabilities = dropout(probabilities, self.attention_dropout_rate, training)
        value = split(self.value(x), state)
        if memory is not None:
            value = memory.values(value)
        context = tf.matmul(probabilities, value)  # [B, A, S, D]
        return self.output(self.layout.join(context, state, x))

    def probabilities(self, scores: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Scores [B, A, S, S], of which `scales.widened` is still to be applied -> weights
        [B, A, S, S] with which values are summed; both in the network's dtype."""
        return self.softmax(scores, bias)

    def softmax(self, scores: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """See `masked_softmax`."""
        return masked_softmax(scores, bias, self.scales.widened)


def masked_softmax(scores: tf.Tensor, bias: tf.Tensor, factor: float) -> tf.Tensor:
    """The softmax over keys of scores that are still to be multiplied by the factor, in float32.

    Where nothing is left to scale, the bias is added in the network's dtype: 0 changes no score,
    and -1e9 rounded is as good. (It is not a float16, which has more to lose.)
    """
    dtype = scores.dtype if factor == 1.0 else tf.float32
    widened = scaled(tf.cast(scores, dtype), factor)
    masked = widened + tf.cast(bias, dtype, name="mask_bias")
    return tf.cast(tf.nn.softmax(tf.cast(masked, tf.float32)), scores.dtype)


class TalkingHeadsAttention(SelfAttention):
    """Attention whose heads are mixed linearly before and after the softmax
    (arxiv.org/abs/2003.02436; Model Garden's `TalkingHeadsAttention`)."""

    def __init__(self, config: EncoderConfig, variables: NamedVariables, scope: str):
        super().__init__(config, variables, scope)
        A = config.num_attention_heads
        self.pre_softmax_weight = variables(f"{scope}/self/pre_softmax_weight", A, A, dense=True)
        self.post_softmax_weight = variables(f"{scope}/self/post_softmax_weight", A, A, dense=True)

    def probabilities(self, scores: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        mixed = self._mix(scores, self.pre_softmax_weight)
        return self._mix(self.softmax(mixed, bias), self.post_softmax_weight)

    def _mix(self, x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        """y[b, a', q, k] = sum over a of x[b, a, q, k] * weight[a, a']."""
        shape = tf.shape(x)  # [B, A, S, S]
        flat = tf.reshape(x, tf.stack([shape[0], self.heads, -1]))  # [B, A, S * S]
        weight = in_dtype(weight, x.dtype)
        return tf.reshape(tf.matmul(weight, flat, transpose_a=True), shape)
