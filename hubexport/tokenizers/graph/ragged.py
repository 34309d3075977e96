"""What tokens in texts are, as RaggedTensors."""

from __future__ import annotations

import tensorflow as tf


def without_words(tokens: tf.RaggedTensor) -> tf.RaggedTensor:
    """[batch, (words), (pieces)] or [batch, (pieces)] -> [batch, (pieces)]."""
    if tokens.ragged_rank == 1:
        return tokens
    splits = tf.gather(tokens.values.row_splits, tokens.row_splits)
    return tf.RaggedTensor.from_row_splits(tokens.flat_values, splits, validate=False)


def rows_of_values(splits: tf.Tensor) -> tf.Tensor:
    """int64 [splits[-1]]: each value's row.

    `value_rowids` and tf.repeat would take rows x longest row of memory.
    """
    return tf.searchsorted(splits, tf.range(splits[-1]), side="right", out_type=tf.int64) - 1
