"""Attention by distance, and encoders with a memory (Transformer-XL, arxiv.org/abs/1901.02860).

Scores depend on how far apart two tokens are, not on where they are, so that a segment of a text
can go on where the one before it ended: what the layers were given then is their memory, and seen
by all tokens of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from hubexport.networks.attention import ScoreScales, masked_softmax, scaled
from hubexport.networks.config import MEMORY, NEW_MEMORY
from hubexport.networks.layers import LayerNorm, Linear, dropout
from hubexport.networks.padding import State, layout_of
from hubexport.networks.relative_config import RelativeConfig
from hubexport.networks.transformer import Embeddings, Encoded, Stack
from hubexport.networks.variables import NamedVariables, in_dtype

MEMORY_OF_BLOCK = "memory"
"""Of a block's state: what it was given for the tokens before, [B, M, H]."""

Bias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(mask [B, S], length of the memory) -> what is added to attention scores, float32, up to
[B, 1, S, M + S]."""


def distances(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """How far before each query a key is, the last query being as far as the last key: [S, K]."""
    columns = tf.expand_dims(tf.range(keys), 0)
    return tf.expand_dims(tf.range(queries) + (keys - queries), 1) - columns


def sinusoids(steps: tf.Tensor, size: int) -> tf.Tensor:
    """[R] -> float32 [R, size]: sines of all frequencies, then cosines of them."""
    # By the formula of the original programs, and not by TensorFlow: a frequency's last bit is that
    # of angles a thousand steps away 6e-5.
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    frequencies = 1 / np.float32(10000) ** exponents  # [size / 2]
    angles = tf.expand_dims(tf.cast(steps, tf.float32), 1) * frequencies[np.newaxis]
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=1)


def shifted(scores: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """From scores by distance to scores by key.

    Args:
      scores: [B, A, S, R], of the distances K, K - 1, ... and so on; K + 1 of them at least.
      keys: K.

    Returns:
      [B, A, S, K]: row i, column j is that of the distance K - S + i - j. In memory, each row of
      those begins one element before where the last one began plus R: with as many elements as
      there are rows cut off in front, rows of R - 1 elements begin there.
    """
    shape = tf.shape(scores)
    batch, heads, rows, width = tf.unstack(shape)
    flat = tf.reshape(scores, tf.stack([batch, heads, rows * width]))[:, :, rows:]
    return tf.reshape(flat, tf.stack([batch, heads, rows, width - 1]))[..., :keys]


class Seen(NamedTuple):
    """What queries attend to.

    Attributes:
      keys, values: of the memory and of all tokens, [B, A, K, D].
      by_distance: keys of distances, [A, R, D].
    """

    keys: tf.Tensor
    values: tf.Tensor
    by_distance: tf.Tensor


class RelativeAttention(tf.Module):
    """score(i, j) = ((q_i + r_w) . k_j + (q_i + r_r) . R(i - j)) / sqrt(D); with segments,
    (q_i + r_s) . g[t_i != t_j] is added, t being token types.

    R is a projection of sinusoids. Projections have no biases of their own.

    Args:
      config: of the network.
      variables: where the weights are, below `scope`.
      shared: scope of `r_w_bias`, `r_r_bias` and `r_s_bias`, where all blocks have the same.
      segments: whether token types count.
      memory_norm: what the memory is normalized with, where the rows are before they get here.
    """

    def __init__(
        self,
        config: RelativeConfig,
        variables: NamedVariables,
        scope: str,
        *,
        shared: str = "",
        segments: bool = False,
        memory_norm: LayerNorm | None = None,
    ):
        super().__init__()
        c = config
        A, D = c.num_attention_heads, c.head_size
        self.config, self.layout, self.memory_norm = c, layout_of(c), memory_norm

        def projection(name: str) -> Linear:
            return Linear(variables, f"{scope}/self/{name}", c.hidden_size, A * D)

        def of_heads(name: str) -> tf.Variable | tf.Tensor:
            return variables(f"{shared or scope + '/self'}/{name}", A, D, dense=True)

        self.query, self.key, self.value = map(projection, ("query", "key", "value"))
        self.relative = projection("relative")
        self.r_w_bias, self.r_r_bias = of_heads("r_w_bias"), of_heads("r_r_bias")
        self.r_s_bias = of_heads("r_s_bias") if segments else None
        self.seg_embed = (
            variables(f"{scope}/self/seg_embed", 2, A, D, dense=True) if segments else None
        )
        self.output = Linear(variables, f"{scope}/output/dense", A * D, c.hidden_size)
        self.scales = ScoreScales.of(c)

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor:
        """One attention layer.

        Args:
          x: rows, [N, H], in the network's dtype.
          state: of the layout, of `RelativeEncoder`, and `memory` where there is one.
          training: whether dropout is active.

        Returns:
          [N, H], of x's dtype.
        """
        rows = self.query(x)  # [N, A * D]
        queries = self.layout.split(rows, state)  # [B, A, S, D]
        context = self.context(queries, self.seen(x, state), state["bias"], state, training)
        return self.output(self.layout.join(context, state, rows))

    def seen(self, x: tf.Tensor, state: State) -> Seen:
        """What rows [N, H] and the memory are to queries."""
        split = self.layout.split
        keys, values = split(self.key(x), state), split(self.value(x), state)
        memory: tf.Tensor | None = state.get(MEMORY_OF_BLOCK)
        if memory is not None:
            lead = tf.shape(memory)[:2]
            rows = tf.cast(tf.reshape(memory, [-1, x.shape[-1]]), x.dtype)  # [B * M, H]
            rows = rows if self.memory_norm is None else self.memory_norm(rows)

            def before(new: tf.Tensor, projection: Linear) -> tf.Tensor:
                of_heads = self._of_heads(projection(rows), lead)
                return tf.concat([tf.einsum("bmad->bamd", of_heads), new], axis=2)

            keys, values = before(keys, self.key), before(values, self.value)
        of_distances = self._of_heads(self.relative(state["sinusoids"]), [-1])  # [R, A, D]
        return Seen(keys, values, tf.einsum("rad->ard", of_distances))

    def _of_heads(self, rows: tf.Tensor, lead: tf.Tensor | list[int]) -> tf.Tensor:
        """[..., A * D] -> [*lead, A, D]."""
        heads = [self.config.num_attention_heads, self.config.head_size]
        return tf.reshape(rows, tf.concat([lead, heads], axis=0))

    def context(
        self, queries: tf.Tensor, seen: Seen, bias: tf.Tensor, state: State, training: bool
    ) -> tf.Tensor:
        """What queries [B, A, S, D] find, [B, A, S, D]."""
        scores = tf.matmul(self._moved(queries, self.r_w_bias), seen.keys, transpose_b=True)
        by_distance = tf.matmul(
            self._moved(queries, self.r_r_bias), seen.by_distance, transpose_b=True
        )  # [B, A, S, R]
        scores += shifted(by_distance, tf.shape(scores)[3])  # [B, A, S, K]
        if self.seg_embed is not None:
            embed = tf.einsum("gad->adg", in_dtype(self.seg_embed, queries.dtype))  # [A, D, 2]
            same, other = tf.split(tf.matmul(self._moved(queries, self.r_s_bias), embed), 2, -1)
            scores += same + (other - same) * state["types_differ"]
        scores = scaled(scores, self.scales.scores)
        probabilities = masked_softmax(scores, bias, self.scales.widened)
        rate = self.config.attention_probs_dropout_prob
        return tf.matmul(dropout(probabilities, rate, training), seen.values)

    def _moved(self, queries: tf.Tensor, bias: tf.Variable | tf.Tensor) -> tf.Tensor:
        """[B, A, S, D], plus one vector for each head."""
        moved = queries + tf.expand_dims(in_dtype(bias, queries.dtype), 1)
        return scaled(moved, self.scales.query)


class RelativeEncoder(tf.Module):
    """A stack of blocks with attention by distance, which goes on from a memory where it is given
    one (`MEMORY`, [B, L, M, H]: what each block was given for the tokens before).

    Args:
      config: of the network.
      embeddings: makes rows of inputs.
      blocks: the stack.
      bias: what is added to attention scores.
    """

    def __init__(
        self,
        config: RelativeConfig,
        embeddings: Embeddings,
        blocks: Stack,
        bias: Bias,
    ):
        super().__init__()
        self.config, self.layout = config, layout_of(config)
        self.embeddings, self.blocks, self.bias = embeddings, blocks, bias

    def __call__(
        self, inputs: Mapping[str, tf.Tensor], training: bool, *, portable: bool = False
    ) -> Encoded:
        """As of `Encoder`; with a memory, also what the next tokens are to be given: `NEW_MEMORY`,
        [B, L, M', H]."""
        state = self.state(inputs, training, portable=portable)
        memory = inputs.get(MEMORY)
        x = self.embeddings(inputs, state, training)
        rows = [x, *self.blocks(x, state, training, self.of_blocks(memory))]
        rows[-1] = dropout(rows[-1], self.config.hidden_dropout_prob, training)
        given = [self.layout.sequence(each, state) for each in rows]  # [B, S, H] each
        others = {} if memory is None else {NEW_MEMORY: self.remembered(memory, given[:-1])}
        return Encoded(given[1:], others)

    def state(
        self, inputs: Mapping[str, tf.Tensor], training: bool, *, portable: bool
    ) -> dict[str, tf.Tensor]:
        """What all blocks share."""
        c, state = self.config, dict(self.layout.state(inputs, portable=portable))
        queries = tf.shape(state["mask"])[1]
        length = tf.shape(inputs[MEMORY])[2] if MEMORY in inputs else tf.constant(0)
        keys = length + queries
        last = tf.constant(0) if c.causal else 1 - queries
        steps = tf.range(keys, last - 1, -1)
        if c.clamp_len is not None:
            steps = tf.clip_by_value(steps, -c.clamp_len, c.clamp_len)
        table = dropout(sinusoids(steps, c.hidden_size), c.hidden_dropout_prob, training)
        state["sinusoids"] = tf.cast(table, c.dtype)  # [R, H]
        state["bias"] = self.bias(state["mask"], length)
        return state

    def of_blocks(self, memory: tf.Tensor | None) -> list[State]:
        """What each block has of its own."""
        if memory is None:
            return []
        layers = tf.unstack(memory, num=self.config.num_hidden_layers, axis=1)
        return [{MEMORY_OF_BLOCK: each} for each in layers]

    def remembered(self, memory: tf.Tensor, given: list[tf.Tensor]) -> tf.Tensor:
        """The memory [B, L, M, H] and what blocks were given since, [B, S, H] each; of all that the
        last steps, where the model keeps no more."""
        longer = tf.concat([memory, tf.stack(given, axis=1)], axis=2)
        most = self.config.mem_len
        if most is None:
            return longer
        return longer[:, :, tf.maximum(tf.shape(longer)[2] - most, 0) :]


def seen_tokens(mask: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
    """Mask [B, S] and the length of the memory -> bool [B, 1, M + S]: all of the memory is seen."""
    tokens = tf.pad(tf.not_equal(mask, 0), [[0, 0], [memory, 0]], constant_values=True)
    return tf.expand_dims(tokens, 1)


def as_bias(seen: tf.Tensor) -> tf.Tensor:
    """Who sees what, bool [B, S, K] -> float32 [B, 1, S, K]; see `mask_bias`."""
    return tf.multiply(1.0 - tf.cast(tf.expand_dims(seen, 1), tf.float32), -1e9, name="mask_bias")


def causal_bias_of(span: int | None) -> Bias:
    """Every token sees itself and those before it: with itself as many as the span says, None for
    all. Padding is seen by itself alone, so that there is nothing that sees nothing."""

    def bias(mask: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
        queries = tf.shape(mask)[1]
        before = distances(queries, memory + queries)  # [S, M + S]
        near = before >= 0 if span is None else tf.logical_and(before >= 0, before < span)
        tokens = tf.logical_and(seen_tokens(mask, memory), near)
        return as_bias(tf.logical_or(tokens, tf.equal(before, 0)))

    return bias
