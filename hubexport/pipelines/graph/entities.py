"""From classes of tokens to entities, as transformers' token-classification pipeline has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from hubexport.pipelines.graph.function import Parts, Rows
from hubexport.pipelines.graph.tokens import Tokens, Windows, tokens_of
from hubexport.tokenizers.graph.ragged import rows_of_values

OUTSIDE = "O"
"""The class of tokens that belong to no entity."""


class Found(NamedTuple):
    """Tokens, words or entities in the order of their rows.

    Attributes:
      rows: int64 [N].
      classes: int32 [N].
      scores: float32 [N].
      starts, limits: int64 [N], bytes.
    """

    rows: tf.Tensor
    classes: tf.Tensor
    scores: tf.Tensor
    starts: tf.Tensor
    limits: tf.Tensor

    def only(self, keep: tf.Tensor) -> Found:
        """Those for which it is true."""
        return Found(*(tf.boolean_mask(each, keep) for each in self))


@dataclasses.dataclass(frozen=True)
class Classes:
    """What the classes of tokens are called.

    Attributes:
      labels: of the model.
    """

    labels: Sequence[str]

    def tags(self) -> tf.Tensor:
        """int32 [C]: the same number for classes that can go on with each other."""
        tags = [label[2:] if label[:2] in ("B-", "I-") else label for label in self.labels]
        return tf.constant([tags.index(tag) for tag in tags], tf.int32)

    def begin(self) -> tf.Tensor:
        """bool [C]: whether a class always begins an entity."""
        return tf.constant([label.startswith("B-") for label in self.labels])

    def names(self) -> list[str]:
        """What entities of the classes are called."""
        return [label.split("-", 1)[-1] for label in self.labels]


@dataclasses.dataclass(frozen=True)
class Aggregation:
    """How tokens become entities.

    Attributes:
      classes: of the model.
      name: as transformers calls it.
      piece_lengths: int32 [V], characters of each piece, of tokenizers that mark pieces within a
        word; None for those that do not.
      unknown_id: of the piece for what cannot be spelled.
    """

    classes: Classes
    name: str
    piece_lengths: tf.Tensor | None
    unknown_id: int | None

    def entities(self, scores: tf.Tensor, rows: tf.Tensor, tokens: Tokens, at: tf.Tensor) -> Found:
        """Entities of rows.

        Args:
          scores: float32 [T, C], of tokens.
          rows: int64 [T], theirs.
          tokens: all of them.
          at: int64 [T], which of them these are.
        """
        starts, limits = tf.gather(tokens.starts, at), tf.gather(tokens.limits, at)
        if self.name in _OF_WORDS:
            begins = _changes(rows) | ~self._is_subword(tokens, at)
            word = tf.cumsum(tf.cast(begins, tf.int64)) - 1  # [T]
            scores = _OF_WORDS[self.name](scores, word)
            rows, starts, limits = _joined(rows, starts, limits, word)
        found = Found(
            rows,
            tf.argmax(scores, axis=1, output_type=tf.int32),
            tf.reduce_max(scores, axis=1),
            starts,
            limits,
        )
        names = self.classes.labels
        if self.name != "none":
            found, names = self._grouped(found), self.classes.names()
        is_one = tf.constant([name != OUTSIDE for name in names])
        return found.only(tf.gather(is_one, found.classes))

    def names(self) -> Sequence[str]:
        """What entities of the classes are called."""
        return self.classes.labels if self.name == "none" else self.classes.names()

    def _is_subword(self, tokens: Tokens, at: tf.Tensor) -> tf.Tensor:
        """bool [T]: whether transformers takes a token for a part of the word before it.

        Where pieces within a word are marked, that is told by a span shorter than the piece, marks
        included; otherwise by there being no space.
        """
        starts, limits = tf.gather(tokens.starts, at), tf.gather(tokens.limits, at)
        begins = tf.gather(tokens.bytes.begins, tf.gather(tokens.rows, at))
        ids = tf.gather(tokens.ids.values, at)
        if self.piece_lengths is None:
            is_subword = (starts > 0) & ~tokens.bytes.follows_a_space(begins + starts)
        else:
            characters = tokens.bytes.characters(begins + starts, begins + limits)
            lengths = tf.cast(tf.gather(self.piece_lengths, ids), tf.int64)
            is_subword = tf.not_equal(characters, lengths)
        if self.unknown_id is not None:
            is_subword &= tf.not_equal(ids, self.unknown_id)
        return is_subword

    def _grouped(self, found: Found) -> Found:
        """What follows one another and has the same tag, as one."""
        tags = tf.gather(self.classes.tags(), found.classes)
        begins = _changes(found.rows) | _changes(tags)
        begins |= tf.gather(self.classes.begin(), found.classes)
        group = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        rows, starts, limits = _joined(found.rows, found.starts, found.limits, group)
        first = tf.where(begins)[:, 0]
        scores = tf.math.segment_mean(found.scores, group)
        return Found(rows, tf.gather(found.classes, first), scores, starts, limits)


def _first(scores: tf.Tensor, word: tf.Tensor) -> tf.Tensor:
    return tf.gather(scores, tf.where(_changes(word))[:, 0])


def _maximum(scores: tf.Tensor, word: tf.Tensor) -> tf.Tensor:
    """Those of the token with the highest one; of equal ones, the first."""
    highest = tf.reduce_max(scores, axis=1)
    is_best = tf.equal(highest, tf.gather(tf.math.segment_max(highest, word), word))
    place = tf.where(is_best, tf.range(tf.size(word, tf.int64)), tf.int64.max)
    return tf.gather(scores, tf.math.segment_min(place, word))


_OF_WORDS: Mapping[str, Any] = {
    "first": _first,
    "average": tf.math.segment_mean,
    "max": _maximum,
}
"""Scores of words [W, C] by those of their tokens [T, C] and each token's word [T]."""


def _changes(values: tf.Tensor) -> tf.Tensor:
    """bool [T]: whether a value is another one than that before it; True for the first."""
    return tf.concat([tf.fill([tf.minimum(tf.size(values), 1)], True), values[1:] != values[:-1]],
                     axis=0)  # fmt: skip


def _joined(
    rows: tf.Tensor, starts: tf.Tensor, limits: tf.Tensor, group: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of groups: the row and the start of the first, and the limit of the last."""
    changes = _changes(group)
    first = tf.where(changes)[:, 0]
    last = tf.concat([first, [tf.size(group, tf.int64)]], axis=0)[1:] - 1
    return tf.gather(rows, first), tf.gather(starts, first), tf.gather(limits, last)


class EntityRows(Rows):
    """Texts as rows of token classification.

    Args:
      parts: encoder and preprocessor.
      aggregation: of tokens.
      stride: of windows; None for texts to be cut.
      text: string [B].
    """

    def __init__(self, parts: Parts, aggregation: Aggregation, stride: int | None, text: tf.Tensor):
        self._aggregation, self._overlap = aggregation, stride is not None
        self._tokens = tokens_of(parts.preprocessor, text)
        self._windows = Windows.of(self._tokens.ids, parts.room(1), stride)
        self._places = self._windows.places()
        self.segments = [self._places.with_values(
            tf.gather(self._tokens.ids.values, self._places.values)
        )]  # fmt: skip

    def answers(self, of_rows: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Of `scores`, float32 [R, (tokens), C]."""
        windows, tokens = self._windows, self._tokens
        rows = rows_of_values(self._places.row_splits)
        scores = of_rows["scores"].values
        found = self._aggregation.entities(scores, rows, tokens, self._places.values)
        found = found._replace(rows=tf.gather(windows.owner, found.rows))
        if self._overlap:
            begins = tf.gather(tokens.bytes.begins, found.rows)
            sizes = tokens.bytes.characters(begins + found.starts, begins + found.limits)
            found = _without_overlaps(found, sizes, windows.per_text)
        texts = tf.size(windows.per_text, tf.int64)
        counts = tf.math.bincount(
            tf.cast(found.rows, tf.int32), minlength=tf.cast(texts, tf.int32), dtype=tf.int64
        )

        def by_text(values: tf.Tensor) -> tf.Tensor:
            return tf.RaggedTensor.from_row_lengths(values, counts, validate=False).to_tensor()

        starts, ends = (by_text(tf.cast(each, tf.int32)) for each in (found.starts, found.limits))
        return {
            "entities": by_text(tf.gather(tf.constant(self._aggregation.names()), found.classes)),
            "scores": by_text(found.scores),
            "words": tf.strings.substr(tokens.text[:, tf.newaxis], starts, ends - starts),
            "starts": starts,
            "ends": ends,
            "num_entities": tf.cast(counts, tf.int32),
        }


def _without_overlaps(found: Found, sizes: tf.Tensor, windows: tf.Tensor) -> Found:
    """Of entities of windows that overlap, the longest, and of equally long ones the likeliest.

    As transformers' `aggregate_overlapping_entities`, of texts with more than one window.

    Args:
      found: of texts, those of a text in the order of its windows.
      sizes: int64 [N], characters of each.
      windows: int64 [B], of each text.
    """

    def merged() -> list[tf.Tensor]:
        order = tf.argsort(found.starts, stable=True)
        order = tf.gather(order, tf.argsort(tf.gather(found.rows, order), stable=True))
        ordered = Found(*(tf.gather(each, order) for each in found))
        ordered_sizes = tf.gather(sizes, order)
        several = tf.gather(windows, ordered.rows) > 1

        def step(i: tf.Tensor, best: tf.Tensor, keep: tf.TensorArray) -> Any:
            """`best` is the last one that may be kept; where `i` does not overlap it, it is."""
            overlaps = several[i] & tf.equal(ordered.rows[i], ordered.rows[best])
            overlaps &= ordered.starts[best] <= ordered.starts[i]
            overlaps &= ordered.starts[i] < ordered.limits[best]
            length, before = ordered_sizes[i], ordered_sizes[best]
            better = (length > before) | (
                tf.equal(length, before) & (ordered.scores[i] > ordered.scores[best])
            )
            kept = tf.where(overlaps, -1, best)
            return i + 1, tf.where(overlaps & ~better, best, i), keep.write(i, kept)

        count = tf.size(order)
        keep = tf.TensorArray(tf.int32, count, element_shape=[])
        keep = keep.write(0, -1)
        _, last, keep = tf.while_loop(
            lambda i, *_: i < count, step, (tf.constant(1), tf.constant(0), keep)
        )
        kept = tf.concat([keep.stack(), [last]], axis=0)
        return list(Found(*(tf.gather(each, kept[kept >= 0]) for each in ordered)))

    needed = tf.reduce_any(windows > 1) & (tf.size(found.rows) > 0)
    return Found(*tf.cond(needed, merged, lambda: list(found)))
