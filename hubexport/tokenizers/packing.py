"""Packing token ids into the fixed-length inputs of a BERT-like encoder, in the graph.

Ids, truncation and padding are those of Model Garden's `BertPackInputs`, that is of
tensorflow_text's `RoundRobinTrimmer` and `combine_segments` (tested against it). Written with
TensorFlow's own ops: tensorflow_text's Python adds Assert nodes, which TPU workers cannot run
inside `Dataset.map`, and its trimmer op is missing in some servers.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def bert_pack_inputs(
    segments: Sequence[tf.RaggedTensor],
    seq_length: int | tf.Tensor,
    *,
    start_of_sequence_id: int,
    end_of_segment_id: int,
    padding_id: int,
) -> dict[str, tf.Tensor]:
    """start + segment + end (+ segment + end) + padding.

    What does not fit is cut off the segments' ends, so that they share the room round-robin: one
    token each in turns, the first segment first, until the room or a segment is used up. If
    seq_length cannot even hold the special tokens (2 with one segment, 3 with two), the result is
    the first seq_length of them.

    Args:
      segments: 1 or 2 RaggedTensors of ids, [batch, (tokens)] or [batch, (words), (pieces)], in
        any mix.
      seq_length: a Python int >= 0 or a scalar integer tensor.

    Returns:
      int32 [batch, seq_length] each: `input_word_ids`, `input_mask` (1 = token, 0 = padding) and
      `input_type_ids` (1 = second segment and the end token after it, else 0). The static shape
      is [None, seq_length] for a Python int, [None, None] for a tensor.

    Raises:
      ValueError: there are not 1 or 2 segments, or one is not ragged or has inner dimensions.
    """
    if not 1 <= len(segments) <= 2:
        raise ValueError(f"bert_pack_inputs takes 1 or 2 segments, not {len(segments)}.")
    # B = batch size, N = number of segments, S = seq_length, T = tokens kept, specials included
    rows = [_rows(segment) for segment in segments]
    length = tf.cast(seq_length, tf.int64)
    room = tf.maximum(length - (len(segments) + 1), 0)
    kept = _round_robin([lengths for _, _, lengths in rows], room)  # N times [B]
    total = tf.add_n(kept) + (len(segments) + 1)  # [B]

    # All ids in one row: first segment, second segment, start, end. Each packed row is a chain of
    # 2N + 1 ranges of it: start, first segment, end, ...
    pool, offset = [], tf.constant(0, tf.int64)
    begins = []  # N times [B]
    for values, starts, _ in rows:
        pool.append(tf.cast(values, tf.int32))
        begins.append(starts + offset)
        offset += tf.size(values, tf.int64)
    pool.append(tf.constant([start_of_sequence_id, end_of_segment_id], tf.int32))
    ones = tf.ones_like(total)
    chain = [(ones * offset, ones)]
    for begin, count in zip(begins, kept, strict=True):
        chain += [(begin, count), (ones * (offset + 1), ones)]
    range_starts = tf.reshape(tf.stack([start for start, _ in chain], axis=1), [-1])
    range_limits = tf.reshape(tf.stack([start + n for start, n in chain], axis=1), [-1])
    index = tf.raw_ops.RaggedRange(
        starts=range_starts, limits=range_limits, deltas=tf.constant(1, tf.int64)
    ).rt_dense_values  # [sum of T]
    ids = tf.raw_ops.RaggedTensorToTensor(
        shape=tf.stack([tf.constant(-1, tf.int64), length]),
        values=tf.gather(tf.concat(pool, axis=0), index),
        default_value=tf.constant(padding_id, tf.int32),
        row_partition_tensors=[tf.concat([[0], tf.cumsum(total)], axis=0)],
        row_partition_types=["ROW_SPLITS"],
    )  # [B, S]

    position = tf.range(length)  # [S]
    is_token = position < total[:, tf.newaxis]  # [B, S]
    packed = {"input_word_ids": ids, "input_mask": tf.cast(is_token, tf.int32)}
    if len(segments) == 1:
        packed["input_type_ids"] = tf.zeros_like(ids)
    else:
        in_second = position >= kept[0][:, tf.newaxis] + 2  # after the start and first end
        packed["input_type_ids"] = tf.cast(is_token & in_second, tf.int32)
    for tensor in packed.values():
        tensor.set_shape([None, seq_length if isinstance(seq_length, int) else None])
    return packed


def _rows(segment: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A segment's ids in one row, and where each example's begin and how many they are.

    Returns:
      values [tokens in all], starts int64 [batch], lengths int64 [batch].
    """
    if not isinstance(segment, tf.RaggedTensor):
        raise ValueError(f"bert_pack_inputs takes RaggedTensors, not {segment!r}.")
    splits, values = segment.row_splits, segment.values
    while isinstance(values, tf.RaggedTensor):
        splits, values = tf.gather(values.row_splits, splits), values.values
    if values.shape.rank != 1:
        raise ValueError(
            "bert_pack_inputs takes RaggedTensors without uniform inner dimensions, "
            f"not one of shape {segment.shape} with ragged rank {segment.ragged_rank}."
        )
    splits = tf.cast(splits, tf.int64)
    return values, splits[:-1], splits[1:] - splits[:-1]


def _round_robin(lengths: Sequence[tf.Tensor], room: tf.Tensor) -> list[tf.Tensor]:
    """How many tokens of each segment are kept.

    Dealt in turns, two segments get half of the room each, the first one the odd token; what one
    does not need of its half goes to the other.

    Args:
      lengths: 1 or 2 times int64 [batch].
      room: int64 scalar, >= 0.
    """
    if len(lengths) == 1:
        return [tf.minimum(lengths[0], room)]
    first, second = lengths
    return [
        tf.minimum(first, tf.maximum((room + 1) // 2, room - second)),
        tf.minimum(second, tf.maximum(room // 2, room - first)),
    ]
