"""Tokens with the bytes of their text, and windows of texts that are too long."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from hubexport.tokenizers.graph.ragged import rows_of_values, without_words
from hubexport.tokenizers.graph.special_tokens import valid_utf8
from hubexport.tokenizers.graph.text_bytes import all_bytes, begins_of

_SPACE = 0x20


class TextBytes:
    """The bytes of texts, one behind the other.

    Args:
      texts: string [B], UTF-8.
    """

    def __init__(self, texts: tf.Tensor):
        data = all_bytes(texts)  # [N]
        self.begins = begins_of(texts)  # [B]
        end = tf.size(data, tf.int64)
        is_first = tf.not_equal(tf.bitwise.bitwise_and(data, 0xC0), 0x80)
        # Of characters the first bytes, and what is behind the last one.
        self._firsts = tf.concat([tf.where(is_first)[:, 0], [end]], axis=0)
        self._visible = tf.where(tf.not_equal(data, _SPACE))[:, 0]
        self._data = tf.concat([data, [0]], axis=0)

    def characters(self, starts: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
        """int64 [T]: how many characters begin in spans."""
        return self._before(self._firsts, limits) - self._before(self._firsts, starts)

    def whole(self, starts: tf.Tensor, limits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Spans without the spaces around them, and with all bytes of each character.

        As Hugging Face's byte-level BPE reports them with `trim_offsets`.

        Args:
          starts, limits: int64 [T], bytes of all texts.
        """
        visible = tf.concat([[-1], self._visible, [tf.int64.max]], axis=0)
        behind = self._before(self._visible, starts) + 1
        starts = tf.minimum(tf.gather(visible, behind), limits)
        last = tf.gather(visible, self._before(self._visible, limits))
        limits = tf.maximum(last + 1, starts)
        has_any = limits > starts
        firsts = tf.searchsorted(self._firsts, starts, "right", tf.int64) - 1
        behind = self._before(self._firsts, limits)
        return (
            tf.where(has_any, tf.gather(self._firsts, tf.maximum(firsts, 0)), starts),
            tf.where(has_any, tf.gather(self._firsts, behind), limits),
        )

    def follows_a_space(self, starts: tf.Tensor) -> tf.Tensor:
        """bool [T]: whether a space is at a byte or before it."""
        here = tf.equal(tf.gather(self._data, starts), _SPACE)
        before = tf.equal(tf.gather(self._data, tf.maximum(starts - 1, 0)), _SPACE)
        return here | (before & (starts > 0))

    @staticmethod
    def _before(places: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """int64: how many of sorted places are before each value."""
        return tf.searchsorted(places, values, "left", tf.int64)


class Tokens(NamedTuple):
    """The tokens of texts.

    Attributes:
      text: string [B], the texts as UTF-8.
      ids: int32 [B, (tokens)].
      rows: int64 [T], the text of each token.
      starts, limits: int64 [T], its first byte in the text, and the one behind its last.
      words: int64 [W + 1], each word's share of the tokens.
      bytes: of all texts.
    """

    text: tf.Tensor
    ids: tf.RaggedTensor
    rows: tf.Tensor
    starts: tf.Tensor
    limits: tf.Tensor
    words: tf.Tensor
    bytes: TextBytes


def tokens_of(preprocessor: Any, text: tf.Tensor) -> Tokens:
    """The tokens of texts, string [B]."""
    text = valid_utf8(text)
    tokenize = getattr(preprocessor, "words_with_offsets", preprocessor.tokenize_with_offsets)
    in_words, starts, limits = tokenize(text)
    ids = without_words(in_words)
    rows = rows_of_values(ids.row_splits)
    data = TextBytes(text)
    begins = tf.gather(data.begins, rows)
    first, behind = data.whole(starts.flat_values + begins, limits.flat_values + begins)
    words = in_words.values.row_splits
    return Tokens(text, ids, rows, first - begins, behind - begins, words, data)


class Windows(NamedTuple):
    """Parts of texts that are computed as rows of their own.

    Attributes:
      owner: int64 [R], the text of each.
      starts, counts: int64 [R], its first token among all tokens of all texts, and how many.
      per_text: int64 [B].
    """

    owner: tf.Tensor
    starts: tf.Tensor
    counts: tf.Tensor
    per_text: tf.Tensor

    @classmethod
    def of(cls, ids: tf.RaggedTensor, room: tf.Tensor | int, stride: int | None) -> Windows:
        """Cuts texts where they are too long.

        As Hugging Face's tokenizers do it with `return_overflowing_tokens`: windows go on until
        one has the last token.

        Args:
          ids: [B, (tokens)].
          room: tokens of a window, one number or [B].
          stride: how many tokens a window shares with the one before it, less than the room; None
            for the first window alone.
        """
        lengths = ids.row_lengths()
        room = tf.zeros_like(lengths) + tf.cast(room, tf.int64)
        if stride is None:
            rows = tf.range(ids.nrows())
            return cls(rows, ids.row_starts(), tf.minimum(lengths, room), tf.ones_like(rows))
        step = room - stride
        per_text = 1 + tf.maximum((lengths - room + step - 1) // step, 0)
        splits = tf.concat([[0], tf.cumsum(per_text)], axis=0)
        owner = rows_of_values(splits)
        number = tf.range(splits[-1]) - tf.gather(splits, owner)
        begins = number * tf.gather(step, owner)  # within the text
        counts = tf.minimum(tf.gather(room, owner), tf.gather(lengths, owner) - begins)
        return cls(owner, tf.gather(ids.row_starts(), owner) + begins, counts, per_text)

    def places(self) -> tf.RaggedTensor:
        """int64 [R, (tokens)]: each window's tokens among all tokens of all texts."""
        found = tf.raw_ops.RaggedRange(
            starts=self.starts, limits=self.starts + self.counts, deltas=tf.constant(1, tf.int64)
        )
        return tf.RaggedTensor.from_row_splits(
            found.rt_dense_values, found.rt_nested_splits, validate=False
        )

    def by_text(self, values: tf.Tensor, each: int = 1) -> tf.RaggedTensor:
        """Values [R * each, ...] of the windows in order -> [B, (windows * each), ...]."""
        return tf.RaggedTensor.from_row_lengths(values, self.per_text * each, validate=False)
