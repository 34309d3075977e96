"""From the logits of starts and ends to answers, as transformers' question-answering pipeline.

That pipeline is transformers 4's; release 5 has none. A window's scores are products of the
softmax of starts and that of ends, over its tokens of the context and the special token that it
begins with. Answers reach to the ends of words, and those of a text that read the same are one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from hubexport.pipelines.graph.function import Batch, Parts, Rows, Tensors
from hubexport.pipelines.graph.tokens import Windows, tokens_of
from hubexport.tokenizers.graph.ragged import rows_of_values

LONGEST_QUESTION = 64
"""Tokens, as of transformers' `max_question_len`."""


@dataclasses.dataclass(frozen=True)
class Spans:
    """How answers are found.

    Attributes:
      top_k: answers of a question.
      stride: tokens that windows of a context have in common.
      max_answer_length: tokens.
      handle_impossible_answer: whether the empty answer competes with the others.
    """

    top_k: int
    stride: int
    max_answer_length: int
    handle_impossible_answer: bool

    @property
    def candidates(self) -> int:
        """Of each window: several may be within the same words."""
        return 2 * self.top_k + 10

    def specs(self) -> dict[str, tf.TensorSpec]:
        """Of what `of_rows` gives."""
        size = [self.candidates]
        return {
            "scores": tf.TensorSpec(size, tf.float32),
            "first": tf.TensorSpec(size, tf.int32),
            "last": tf.TensorSpec(size, tf.int32),
            "null_score": tf.TensorSpec([], tf.float32),
        }

    def of_rows(self, parts: Parts, batch: Batch, logits: Tensors) -> dict[str, tf.Tensor]:
        """The likeliest spans of windows, by the numbers of their tokens within them.

        Args:
          parts: encoder and preprocessor.
          batch: of windows.
          logits: `start_logits` and `end_logits`, float32 [b, S].
        """
        context = context_index(parts)
        counts = batch.lengths[context]
        columns = tf.maximum(tf.reduce_max(counts), 1)
        is_token = tf.sequence_mask(counts, columns)  # [b, C]

        def probabilities(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """Of the row's first token [b], and of those of the context [b, C]."""
            dense = parts.of_segment(values, batch, context).to_tensor(
                shape=tf.stack([tf.shape(counts)[0], columns])
            )
            dense = tf.where(is_token, dense, dense.dtype.min)
            first = values[:, :1] if _begins_with_class(parts) else tf.zeros_like(values[:, :0])
            scores = tf.nn.softmax(tf.concat([first, dense], axis=1))
            of_tokens = tf.where(is_token, scores[:, tf.shape(first)[1] :], 0.0)
            return tf.reduce_sum(scores[:, : tf.shape(first)[1]], axis=1), of_tokens

        none_starts, starts = probabilities(logits["start_logits"])
        none_ends, ends = probabilities(logits["end_logits"])
        length = self.max_answer_length
        ends = tf.pad(ends, [[0, 0], [0, length - 1]])
        # A token and those after it: [C, L].
        after = tf.range(columns)[:, tf.newaxis] + tf.range(length)[tf.newaxis, :]
        scores = starts[:, :, tf.newaxis] * tf.gather(ends, after, axis=1)  # [b, C, L]
        scores = tf.reshape(scores, tf.stack([-1, columns * length]))
        scores = tf.pad(scores, [[0, 0], [0, self.candidates]])
        best = tf.math.top_k(scores, self.candidates)
        first = best.indices // length
        return {
            "scores": best.values,
            "first": first,
            "last": first + best.indices % length,
            "null_score": none_starts * none_ends,
        }


def context_index(parts: Parts) -> int:
    """Which of a row's texts the context is: questions are where the padding is not."""
    return 0 if parts.packing.padding_side == "left" else 1


def _begins_with_class(parts: Parts) -> bool:
    """Whether a row's first token stands for there being no answer."""
    begin = parts.tokenizer["special_tokens"].get("start_of_sequence_id")
    return begin is not None and parts.packing.first(2) == begin["piece"]


class AnswerRows(Rows):
    """Questions with windows of their contexts as rows.

    Args:
      parts: encoder and preprocessor.
      spans: how answers are found.
      question, context: string [B].
    """

    def __init__(self, parts: Parts, spans: Spans, question: tf.Tensor, context: tf.Tensor):
        self._spans, self._tokens = spans, tokens_of(parts.preprocessor, context)
        # At least one token more of the context than windows have in common; of a long
        # question there would be as many windows as the context has tokens.
        room = parts.room(2)
        longest = min(LONGEST_QUESTION, room - spans.stride - 1)
        questions = parts.tokenize(question)[:, :longest]
        lengths = questions.row_lengths()
        # Not Sub alone, which would broadcast one question over many contexts.
        rooms = room - tf.add_n([lengths, tf.zeros_like(self._tokens.ids.row_lengths())])
        self._windows = Windows.of(self._tokens.ids, rooms, spans.stride)
        places = self._windows.places()
        segments = [
            tf.gather(questions, self._windows.owner),
            places.with_values(tf.gather(self._tokens.ids.values, places.values)),
        ]
        self.segments = segments if context_index(parts) == 1 else segments[::-1]

    def answers(self, of_rows: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Of what `Spans.of_rows` gives, of all windows."""
        windows, size = self._windows, self._spans.candidates
        scores = windows.by_text(tf.reshape(of_rows["scores"], [-1]), size).to_tensor()  # [B, K]
        starts, limits = self._bytes(of_rows["first"], of_rows["last"])
        starts, limits = (windows.by_text(each, size).to_tensor() for each in (starts, limits))
        # Windows of few tokens have candidates without a score, which lie outside the text.
        starts, limits = (tf.where(scores > 0, each, 0) for each in (starts, limits))
        texts = tf.strings.substr(self._tokens.text[:, tf.newaxis], starts, limits - starts)
        place = tf.where(scores > 0)  # [N, 2]
        row = place[:, 0]
        found = _Answers(
            row, *(tf.gather_nd(each, place) for each in (texts, scores, starts, limits))
        )
        found = found.merged()
        if self._spans.handle_impossible_answer:
            none = tf.reduce_min(windows.by_text(of_rows["null_score"]), axis=1)
            found = found.with_empty(none)
        return found.best(self._spans.top_k, tf.size(windows.per_text, tf.int64))

    def _bytes(self, first: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32 [R * K] each: bytes of the words from one token of a window to another.

        Args:
          first, last: int32 [R, K].
        """
        begin, count = self._windows.starts[:, tf.newaxis], self._windows.counts[:, tf.newaxis]
        end = begin + count - 1
        # Some are no answers, and are not looked at.
        first, last = (
            tf.maximum(tf.minimum(begin + tf.cast(each, tf.int64), end), 0)
            for each in (first, last)
        )
        words = self._tokens.words
        word_of = tf.concat([rows_of_values(words), [0]], axis=0)
        words = tf.concat([words, words[-1:]], axis=0)
        first = tf.maximum(tf.gather(words, tf.gather(word_of, first)), begin)
        last = tf.minimum(tf.gather(words, tf.gather(word_of, last) + 1) - 1, end)
        starts = tf.concat([self._tokens.starts, [0]], axis=0)
        limits = tf.concat([self._tokens.limits, [0]], axis=0)
        found = tf.gather(starts, first), tf.gather(limits, tf.maximum(last, 0))
        starts, limits = (tf.reshape(tf.cast(each, tf.int32), [-1]) for each in found)
        return starts, limits


@dataclasses.dataclass(frozen=True)
class _Answers:
    """Of all questions, in the order of windows, the likeliest of a window first.

    Attributes:
      row: int64 [N], the question's number.
      text: string [N].
      score: float32 [N].
      start, limit: int32 [N], bytes of the context.
    """

    row: tf.Tensor
    text: tf.Tensor
    score: tf.Tensor
    start: tf.Tensor
    limit: tf.Tensor

    def merged(self) -> _Answers:
        """Those that read the same as one, whatever their case: where the first one is."""
        lower = tf.strings.lower(self.text, encoding="utf-8")
        name, number = tf.unique(tf.strings.join([tf.strings.as_string(self.row), lower], ":"))
        count = tf.size(name)
        places = tf.range(tf.size(number))
        first = tf.math.unsorted_segment_min(places, number, count)
        row, text, start, limit = (
            tf.gather(each, first) for each in (self.row, self.text, self.start, self.limit)
        )
        score = tf.math.unsorted_segment_sum(self.score, number, count)
        return _Answers(row, text, score, start, limit)

    def with_empty(self, scores: tf.Tensor) -> _Answers:
        """With the empty answer of each question, with scores [B], behind the others."""
        zeros = tf.zeros_like(scores, tf.int32)
        return _Answers(
            tf.concat([self.row, tf.range(tf.size(scores, tf.int64))], axis=0),
            tf.concat([self.text, tf.fill(tf.shape(scores), "")], axis=0),
            tf.concat([self.score, scores], axis=0),
            tf.concat([self.start, zeros], axis=0),
            tf.concat([self.limit, zeros], axis=0),
        )

    def best(self, top_k: int, questions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The first ones of each question, [B, top_k], filled up with "" and 0."""
        order = tf.argsort(self.score, direction="DESCENDING", stable=True)
        order = tf.gather(order, tf.argsort(tf.gather(self.row, order), stable=True))
        counts = tf.math.bincount(
            tf.cast(self.row, tf.int32), minlength=tf.cast(questions, tf.int32), dtype=tf.int64
        )

        def dense(values: tf.Tensor) -> tf.Tensor:
            ragged = tf.RaggedTensor.from_row_lengths(
                tf.gather(values, order), counts, validate=False
            )
            return ragged.to_tensor(shape=[None, top_k])

        return {
            "answers": dense(self.text),
            "scores": dense(self.score),
            "starts": dense(self.start),
            "ends": dense(self.limit),
            "num_answers": tf.cast(tf.minimum(counts, top_k), tf.int32),
        }
