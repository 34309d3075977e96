"""From many texts to answers in batches: sorted by length, padded to the longest, in order again.

What a text costs depends on its tokens, and what a call holds in memory on its longest batch, both
whatever else it is called with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from hubexport.pipelines.graph.function import Batch, Function, Parts, Tensors


class Batches:
    """Runs functions on texts.

    Args:
      parts: what tokenizes and packs.
      batch_size: rows that are computed at once.
    """

    def __init__(self, parts: Parts, batch_size: int):
        self.parts, self.batch_size = parts, batch_size

    def __call__(
        self, texts: Sequence[tf.Tensor], function: Function, training: bool
    ) -> dict[str, Any]:
        """The function's outputs [B, ...] for texts [B] each, without its prompt.

        A batch of training is computed at once: what is kept for gradients is, too.
        """
        if function.rows is None:
            segments = [self.parts.tokenize(text) for text in texts]
            return self._of_rows(segments, function, training)
        rows = function.rows(texts)
        return rows.answers(self._of_rows(rows.segments, function, training))

    def _of_rows(
        self, segments: Sequence[tf.RaggedTensor], function: Function, training: bool
    ) -> dict[str, Any]:
        """The function's outputs [R, ...] for segments [R, (tokens)]."""
        counts = [tf.cast(segment.row_lengths(), tf.int32) for segment in segments]
        # Not AddV2, which would broadcast one text over many.
        lengths = tf.add_n(counts) + self.parts.packing.specials(len(segments))

        def answer(rows: tf.Tensor) -> Tensors:
            # At least one column: not every network is made for none.
            longest = tf.maximum(tf.reduce_max(tf.gather(lengths, rows)), 1)
            inputs = self.parts.preprocessor.bert_pack_inputs(
                [tf.gather(segment, rows) for segment in segments],
                seq_length=tf.minimum(longest, self.parts.max_seq_length),
            )
            return function.answer(
                Batch(inputs, [tf.gather(count, rows) for count in counts], training)
            )

        if training:
            return dict(answer(tf.range(tf.size(lengths))))
        # Stable, so that the same texts make the same batches; the longest first, so that what is
        # too large for the memory fails at once.
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)
        sorted_outputs = self._loop(order, answer, function)
        back = tf.math.invert_permutation(order)
        return {name: tf.gather(each, back) for name, each in sorted_outputs.items()}

    def _loop(
        self, order: tf.Tensor, answer: Callable[[tf.Tensor], Tensors], function: Function
    ) -> dict[str, Any]:
        """The outputs of rows in this order, computed a batch at a time."""
        size = self.batch_size
        batches = (tf.size(order) + size - 1) // size
        # Of what is ragged, the values, and behind them how many each row has.
        specs = [each for spec in function.outputs.values() for each in _stored(spec)]
        arrays = [
            tf.TensorArray(
                spec.dtype, batches, element_shape=[None, *spec.shape], infer_shape=False
            )
            for spec in specs
        ]

        def batch(i: tf.Tensor, done: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.Tensor]]:
            outputs = answer(order[i * size : (i + 1) * size])
            parts = [part for name in function.outputs for part in _parts(outputs[name])]
            return i + 1, [array.write(i, each) for array, each in zip(done, parts, strict=True)]

        # One after the other: batches side by side would each take the memory of one.
        _, arrays = tf.while_loop(
            lambda i, _: i < batches, batch, (tf.constant(0), arrays), parallel_iterations=1
        )
        done = iter(array.concat() for array in arrays)
        return {name: _joined(spec, done) for name, spec in function.outputs.items()}


def _stored(spec: tf.TensorSpec | tf.RaggedTensorSpec) -> list[tf.TensorSpec]:
    """What is kept of an output: of one row, or of one of its values."""
    if isinstance(spec, tf.TensorSpec):
        return [spec]
    return [tf.TensorSpec(spec.shape[1:], spec.dtype), tf.TensorSpec([], tf.int64)]


def _parts(output: tf.Tensor | tf.RaggedTensor) -> list[tf.Tensor]:
    if isinstance(output, tf.RaggedTensor):
        return [output.values, output.row_lengths()]
    return [output]


def _joined(
    spec: tf.TensorSpec | tf.RaggedTensorSpec, parts: Iterator[tf.Tensor]
) -> tf.Tensor | tf.RaggedTensor:
    if isinstance(spec, tf.TensorSpec):
        return next(parts)
    return tf.RaggedTensor.from_row_lengths(next(parts), next(parts), validate=False)
