"""What is computed of a padded batch: every position, or tokens only.

Dense layers, norms and embeddings work on rows, [N, H], one for each position that is computed;
attention works on whole sequences. A layout takes one to the other. Texts are short and TF-Hub's
preprocessors pad them to 128 tokens, so that of what `Padded` computes nine tenths may be padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from hubexport.networks.config import EncoderConfig

Inputs = Mapping[str, tf.Tensor]

State = Mapping[str, Any]
"""What is made of the inputs once for all blocks. Of every layout: `mask`, the part of `input_mask`
that attention sees, [B, S']. Of families: `bias`, added to attention scores, up to
[B, A, S', S'], and what else they need."""


class Layout(Protocol):
    """Between rows and sequences."""

    chooses: bool
    """Whether the graph chooses by device, with operations that converters do not know."""

    def state(self, inputs: Inputs, *, portable: bool) -> State:
        """What the methods below need of the inputs.

        Args:
          inputs: int32 [B, S] tensors.
          portable: whether the graph must do without a choice by device.
        """

    def of_rows(self, values: tf.Tensor, state: State) -> tf.Tensor:
        """Integers [B, S] -> those of the rows, [N] or [B, S]."""

    def of_positions(self, table: tf.Tensor, state: State) -> tf.Tensor:
        """What belongs to each position, [S, E] -> what is added to rows [N, E] or [B, S, E]."""

    def of_columns(self, values: tf.Tensor, axis: int, state: State) -> tf.Tensor:
        """What belongs to each position along an axis -> of the positions that attention sees."""

    def split(self, rows: tf.Tensor, state: State) -> tf.Tensor:
        """Rows [N, A * D] -> [B, A, S', D]."""

    def join(self, context: tf.Tensor, state: State, like: tf.Tensor) -> tf.Tensor:
        """[B, A, S', D] -> rows [N, A * D], of the shape of `like`."""

    def sequence(self, rows: tf.Tensor, state: State) -> tf.Tensor:
        """Rows [N, H] -> float32 [B, S, H]."""

    def at_padding(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """What a head makes of sequences, [B, S, K]: the same, with what it has at padding."""


class Padded:
    """Every position is a row, padding included: N = B * S, S' = S."""

    chooses = False

    def __init__(self, heads: int):
        self.heads = heads

    def state(self, inputs: Inputs, *, portable: bool) -> State:
        shape = tf.shape(inputs["input_word_ids"])
        return {"mask": inputs["input_mask"], "shape": shape}

    def of_rows(self, values: tf.Tensor, state: State) -> tf.Tensor:
        return values

    def of_positions(self, table: tf.Tensor, state: State) -> tf.Tensor:
        return table

    def of_columns(self, values: tf.Tensor, axis: int, state: State) -> tf.Tensor:
        return values

    def split(self, rows: tf.Tensor, state: State) -> tf.Tensor:
        head_size = rows.shape[-1] // self.heads
        shape = tf.concat([state["shape"], [self.heads, head_size]], axis=0)
        # Transposed by einsum: tf.transpose of floats goes to oneDNN, which on CPUs takes 60 to 130
        # microseconds for a sequence that Einsum's own transposition has done in 20 to 50.
        return tf.einsum("bsad->basd", tf.reshape(rows, shape))

    def join(self, context: tf.Tensor, state: State, like: tf.Tensor) -> tf.Tensor:
        # x's shape, not [-1, H]: what is not known to be as large as x is not fused with it.
        return tf.reshape(tf.einsum("basd->bsad", context), tf.shape(like))

    def sequence(self, rows: tf.Tensor, state: State) -> tf.Tensor:
        shape = tf.concat([state["shape"], [rows.shape[-1]]], axis=0)
        return tf.cast(tf.reshape(rows, shape), tf.float32)

    def at_padding(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return values


class Index(NamedTuple):
    """Which rows there are, all int32; a position p of text b is number p * B + b.

    Position first: positions that no text uses then shorten the leading dimension.

    Attributes:
      columns: positions from the first to the last that any text has a token at, [S']: what is
        between two of them in a text is as far apart as it was.
      ranks: column of each position, where it has one; [S].
      tokens: numbers of what is computed, [T].
      slots: row of each position of the columns, any where there is no token; [S', B].
      places: row of each position of each text, counted from 1; 0 where outputs are 0; [B, S].
    """

    columns: tf.Tensor
    ranks: tf.Tensor
    tokens: tf.Tensor
    slots: tf.Tensor
    places: tf.Tensor


def tokens_only(mask: tf.Tensor) -> Index:
    """Of a mask [B, S], the rows that are tokens."""
    is_token = tf.transpose(tf.not_equal(mask, 0))  # [S, B]
    at = tf.cast(tf.reduce_any(is_token, axis=1), tf.int32)
    used = tf.logical_and(tf.cumsum(at) > 0, tf.cumsum(at, reverse=True) > 0)  # [S]
    flat = tf.reshape(is_token, [-1])
    columns, tokens = _where(used), _where(flat)
    ranks = tf.cumsum(tf.cast(used, tf.int32)) - 1
    ones = tf.cast(flat, tf.int32)
    last = tf.reshape(tf.cumsum(ones), tf.shape(is_token))  # number of the last token so far
    # Attention reads that token's row for padding, and gives it no weight.
    slots = tf.gather(tf.maximum(last - 1, 0), columns)
    places = tf.where(tf.not_equal(mask, 0), tf.transpose(last), 0)
    return Index(columns, ranks, tokens, slots, places)


def _where(condition: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reshape(tf.where(condition), [-1]), tf.int32)


def every_position(mask: tf.Tensor) -> Index:
    """Of a mask [B, S], all rows: as many as there are whatever it says.

    XLA knows the sizes at compile time, as it must to be quick, since none is captured from
    outside.
    """
    batch, length = tf.unstack(tf.shape(mask))
    numbers = tf.range(batch * length)
    slots = tf.reshape(numbers, tf.stack([length, batch]))
    places = tf.where(tf.not_equal(mask, 0), tf.transpose(slots) + 1, 0)
    return Index(tf.range(length), tf.range(length), numbers, slots, places)


def by_device(mask: tf.Tensor) -> Index:
    """`tokens_only` on CPUs and GPUs, `every_position` where XLA compiles the graph, for TPUs say.

    Only integers are chosen, in which there is nothing to differentiate. To XLA the device is a
    constant, and the other branches are not there; elsewhere one branch runs.
    """
    device = tf.raw_ops.DeviceIndex(device_names=["CPU", "GPU"])  # 2 for any other
    branches = [tokens_only, tokens_only, every_position]
    index: Index = tf.switch_case(device, [partial(branch, mask) for branch in branches])
    return index


class TokensOnly:
    """Tokens are rows, N = T of them; attention sees the S' columns that any text uses.

    Whatever lies along the sequence is 0 at padding, on every device.
    """

    chooses = True

    def __init__(self, heads: int):
        self.heads = heads

    def state(self, inputs: Inputs, *, portable: bool) -> State:
        mask = inputs["input_mask"]
        index = tokens_only(mask) if portable else by_device(mask)
        batch, heads = tf.shape(mask)[0], tf.range(self.heads)
        positions, texts = index.tokens // batch, index.tokens % batch  # [T]
        # Rows are taken apart into heads and put in order at once, as are contexts: one copy in
        # place of two, which is a third of the time, or half of it.
        slots = tf.expand_dims(tf.transpose(index.slots), 1)  # [B, 1, S']
        of_text = tf.expand_dims(texts * self.heads, 1) + heads  # [T, A]
        column = tf.expand_dims(tf.gather(index.ranks, positions), 1)  # [T, 1]
        return {
            "mask": tf.transpose(tf.gather(tf.transpose(mask), index.columns)),
            "columns": index.columns,
            "tokens": index.tokens,
            "positions": positions,
            "places": index.places,
            # Vectors of heads, [N * A, D], at each place of [B, A, S']; and the other way round.
            "split": slots * self.heads + tf.reshape(heads, [1, -1, 1]),
            "join": of_text * tf.size(index.columns) + column,  # [T, A]
        }

    def of_rows(self, values: tf.Tensor, state: State) -> tf.Tensor:
        return tf.gather(tf.reshape(tf.transpose(values), [-1]), state["tokens"])

    def of_positions(self, table: tf.Tensor, state: State) -> tf.Tensor:
        # OpenVINO slices what there is of a table that is too short, and gathers zeros beyond it.
        # That numbers of two lengths cannot be compared is an error there, too.
        rows, length = tf.shape(table)[0], tf.shape(state["places"])[1]
        numbers = tf.minimum(tf.range(rows), tf.range(length))
        return tf.gather(table, tf.gather(numbers, state["positions"]))

    def of_columns(self, values: tf.Tensor, axis: int, state: State) -> tf.Tensor:
        return tf.gather(values, state["columns"], axis=axis)

    def split(self, rows: tf.Tensor, state: State) -> tf.Tensor:
        vectors = tf.reshape(rows, [-1, rows.shape[-1] // self.heads])  # [N * A, D]
        return tf.gather(vectors, state["split"])

    def join(self, context: tf.Tensor, state: State, like: tf.Tensor) -> tf.Tensor:
        vectors = tf.reshape(context, [-1, context.shape[-1]])  # [B * A * S', D]
        # The shape of `like`: as above.
        return tf.reshape(tf.gather(vectors, state["join"]), tf.shape(like))

    def sequence(self, rows: tf.Tensor, state: State) -> tf.Tensor:
        # Concatenated, not padded, for XLA: see `hubexport.networks.embeddings.first_rows`.
        with_zeros = tf.concat([tf.zeros([1, rows.shape[-1]]), tf.cast(rows, tf.float32)], axis=0)
        return tf.gather(with_zeros, state["places"])

    def at_padding(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        is_token = tf.cast(tf.not_equal(mask, 0), values.dtype)
        return values * tf.expand_dims(is_token, axis=2)


_LAYOUTS: Mapping[str, Callable[[int], Layout]] = {"compute": Padded, "skip": TokensOnly}


def layout_of(config: EncoderConfig) -> Layout:
    """What the network does with padding."""
    return _LAYOUTS[config.padding](config.num_attention_heads)
