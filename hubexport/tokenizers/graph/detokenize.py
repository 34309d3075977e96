"""Putting pieces together again."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class PieceJoiner(tf.Module):
    """Ids to text: what the pieces stand for, joined and rewritten by regular expressions."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        rewrites: Sequence[tuple[str, str]] = (),
        first: Sequence[bytes] | None = None,
    ):
        """Args:
        pieces: what each id stands for.
        rewrites: (RE2 pattern, rewrite), applied one after another to each joined text.
        first: what each id stands for at the beginning of a text; as elsewhere by default.
        """
        super().__init__(name="piece_joiner")
        self._pieces = tf.constant([*pieces, *(first or ())], tf.string)
        self._first = len(pieces) if first is not None else 0
        self._rewrites = tuple(rewrites)

    def __call__(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """int32 [batch, (pieces)], each the id of a piece -> string [batch]."""
        index, position = ids.values, tf.range(tf.size(ids.values, tf.int64))
        # `value_rowids` would make a table of rows times the longest row.
        rows = tf.searchsorted(ids.row_splits, position, "right", tf.int64) - 1
        if self._first:
            at_start = tf.equal(position, tf.gather(ids.row_starts(), rows))
            index = tf.where(at_start, index + self._first, index)
        texts = tf.strings.unsorted_segment_join(tf.gather(self._pieces, index), rows, ids.nrows())
        for pattern, rewrite in self._rewrites:
            texts = tf.strings.regex_replace(texts, pattern, rewrite)
        return texts
