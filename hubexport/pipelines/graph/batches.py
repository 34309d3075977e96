"""From many texts to answers in batches: sorted by length, padded to the longest, in order again.

What a text costs depends on its tokens, and what a call holds in memory on its longest batch, both
whatever else it is called with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from hubexport.pipelines.graph.function import Function, Parts, Tensors


class Batches:
    """Runs functions on texts.

    Args:
      parts: what tokenizes and packs.
      max_seq_length: tokens, special ones included, of a row; longer texts are cut.
      batch_size: rows that are computed at once.
    """

    def __init__(self, parts: Parts, max_seq_length: int, batch_size: int):
        self.parts, self.max_seq_length, self.batch_size = parts, max_seq_length, batch_size

    def __call__(
        self, texts: Sequence[tf.Tensor], function: Function, training: bool
    ) -> dict[str, tf.Tensor]:
        """The function's outputs [B, ...] for texts [B] each.

        A batch of training is computed at once: what is kept for gradients is, too.
        """
        first, *others = texts
        if function.prompt:
            first = tf.strings.join([function.prompt, first])
        segments = [self._tokenize(text) for text in (first, *others)]
        # Not AddV2, which would broadcast one text over many.
        lengths = tf.add_n([segment.row_lengths() for segment in segments])
        lengths = tf.cast(lengths, tf.int32) + self.parts.specials[len(segments)]

        def answer(rows: tf.Tensor) -> Tensors:
            # At least one column: not every network is made for none.
            longest = tf.maximum(tf.reduce_max(tf.gather(lengths, rows)), 1)
            inputs = self.parts.preprocessor.bert_pack_inputs(
                [tf.gather(segment, rows) for segment in segments],
                seq_length=tf.minimum(longest, self.max_seq_length),
            )
            return function.answer(inputs, training)

        if training:
            return dict(answer(tf.range(tf.size(lengths))))
        # Stable, so that the same texts make the same batches; the longest first, so that what is
        # too large for the memory fails at once.
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)
        sorted_outputs = self._loop(order, answer, function)
        back = tf.math.invert_permutation(order)
        return {name: tf.gather(each, back) for name, each in sorted_outputs.items()}

    def _tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Text [B] -> ids [B, (pieces)]."""
        ids = self.parts.preprocessor.tokenize(text)
        while ids.ragged_rank > 1:
            splits = tf.gather(ids.values.row_splits, ids.row_splits)
            ids = tf.RaggedTensor.from_row_splits(ids.values.values, splits, validate=False)
        return ids

    def _loop(
        self, order: tf.Tensor, answer: Callable[[tf.Tensor], Tensors], function: Function
    ) -> dict[str, tf.Tensor]:
        """The outputs of rows in this order, computed a batch at a time."""
        names, size = list(function.outputs), self.batch_size
        batches = (tf.size(order) + size - 1) // size
        arrays = [
            tf.TensorArray(
                spec.dtype, batches, element_shape=[None, *spec.shape], infer_shape=False
            )
            for spec in function.outputs.values()
        ]

        def batch(i: tf.Tensor, done: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.Tensor]]:
            outputs = answer(order[i * size : (i + 1) * size])
            return i + 1, [
                array.write(i, outputs[name]) for name, array in zip(names, done, strict=True)
            ]

        # One after the other: batches side by side would each take the memory of one.
        _, arrays = tf.while_loop(
            lambda i, _: i < batches, batch, (tf.constant(0), arrays), parallel_iterations=1
        )
        return {name: array.concat() for name, array in zip(names, arrays, strict=True)}
