"""Packing token ids into the fixed-length inputs of an encoder, in the graph.

For BERT, ids, truncation and padding are those of Model Garden's `BertPackInputs`, that is of
tensorflow_text's `RoundRobinTrimmer` and `combine_segments` (tested against it). Written with
TensorFlow's own ops: tensorflow_text's Python adds Assert nodes, which TPU workers cannot run
inside `Dataset.map`, and its trimmer op is missing in some servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from hubexport.tokenizers.definition import PackingTemplate, Segment, Token

Lengths = list[tf.Tensor]
Rows = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def bert_pack_inputs(
    segments: Sequence[tf.RaggedTensor],
    seq_length: int | tf.Tensor,
    template: PackingTemplate,
    truncation: str = "round_robin",
) -> dict[str, tf.Tensor]:
    """One or two texts with the special tokens of the template, cut and padded to seq_length.

    What does not fit is cut off the segments' ends, see `TRUNCATIONS`. If seq_length cannot even
    hold the special tokens, the result is the first seq_length of them.

    Args:
      segments: 1 or 2 RaggedTensors of ids, [batch, (tokens)] or [batch, (words), (pieces)], in
        any mix.
      seq_length: a Python int >= 0 or a scalar integer tensor.
      template: the order of tokens and segments.
      truncation: a key of `TRUNCATIONS`.

    Returns:
      int32 [batch, seq_length] each: `input_word_ids`, `input_mask` (1 = token, 0 = padding) and
      `input_type_ids`, as the template says. The static shape is known as far as those of the
      segments and the value of seq_length are.

    Raises:
      ValueError: there are not 1 or 2 segments, or one is not ragged or has inner dimensions.
    """
    if not 1 <= len(segments) <= 2:
        raise ValueError(f"bert_pack_inputs takes 1 or 2 segments, not {len(segments)}.")
    rows = [rows_of(segment) for segment in segments]
    packed = pack_rows(rows, seq_length, template, truncation)
    _, starts, _ = rows[0]
    return with_shape(packed, starts, seq_length)


def with_shape(
    packed: Mapping[str, tf.Tensor], starts: tf.Tensor, seq_length: int | tf.Tensor
) -> dict[str, tf.Tensor]:
    """`packed`, whose ops forget its shape, with the shape that the graph can know.

    Args:
      packed: [B, S] each, by name.
      starts: [B], of a segment, as `rows_of` gives them.
      seq_length: S.
    """
    shape = tf.stack([tf.shape(starts)[0], tf.cast(seq_length, tf.int32)])
    return {name: tf.reshape(tensor, shape) for name, tensor in packed.items()}


def pack_rows(
    rows: Sequence[Rows], seq_length: int | tf.Tensor, template: PackingTemplate, truncation: str
) -> dict[str, tf.Tensor]:
    """`bert_pack_inputs` of segments that went through `rows_of`."""
    # B = batch size, P = places in the template, S = seq_length, T = tokens kept, specials included
    places = template.single if len(rows) == 1 else template.pair
    specials = [place for place in places if isinstance(place, Token)]
    length = tf.cast(seq_length, tf.int64)
    room = tf.maximum(length - len(specials), 0)
    kept = TRUNCATIONS[truncation]([lengths for _, _, lengths in rows], room)  # one or two of [B]

    # All ids in one row: first segment, second segment, the special tokens. Each packed row is a
    # chain of ranges of it, one for each place of the template.
    pool = [values for values, _, _ in rows]
    sizes = [tf.size(values, tf.int64) for values in pool]
    offsets = [tf.constant(0, tf.int64), sizes[0]]  # where each segment's ids begin
    special = tf.add_n(sizes)  # where the special tokens' ids begin
    ones = tf.ones_like(kept[0])  # [B]
    starts, counts = [], []
    for place in places:
        if isinstance(place, Segment):
            starts.append(rows[place.index][1] + offsets[place.index])
            counts.append(kept[place.index])
        else:
            starts.append(ones * special)
            counts.append(ones)
            pool.append(tf.constant([place.id], tf.int32))
            special += 1
    total = tf.minimum(tf.add_n(counts), length)  # [B]
    index = _ranges(starts, counts)  # [sum of T]
    splits = tf.concat([[0], tf.cumsum(tf.add_n(counts))], axis=0)
    ids = tf.gather(tf.concat(pool, axis=0), index)
    column = tf.range(length)[tf.newaxis, :]  # [1, S]

    def dense(values: tf.Tensor, padding: int) -> tf.Tensor:
        """[sum of T] -> [B, S], cut and padded at the right."""
        return tf.raw_ops.RaggedTensorToTensor(
            shape=tf.stack([tf.constant(-1, tf.int64), length]),
            values=values,
            default_value=tf.constant(padding, tf.int32),
            row_partition_tensors=[splits],
            row_partition_types=["ROW_SPLITS"],
        )

    def on_its_side(packed: tf.Tensor) -> tf.Tensor:
        """Rolls each row so that the padding comes first, where the template wants that."""
        if template.padding_side == "right":
            return packed
        source = tf.math.floormod(column + total[:, tf.newaxis], tf.maximum(length, 1))  # [B, S]
        return tf.gather(packed, source, batch_dims=1)

    return {
        "input_word_ids": on_its_side(dense(ids, template.padding_id)),
        "input_mask": on_its_side(tf.cast(column < total[:, tf.newaxis], tf.int32)),
        "input_type_ids": on_its_side(_types(places, counts, column, template)),
    }


def _types(
    places: Sequence[Token | Segment],
    counts: Lengths,
    column: tf.Tensor,
    template: PackingTemplate,
) -> tf.Tensor:
    """int32 [B, S]: a step function of the column, each place's type up to where it ends."""
    types = tf.zeros_like(column + counts[0][:, tf.newaxis], tf.int32) + template.padding_type_id
    end = tf.add_n(counts)[:, tf.newaxis]  # [B, 1]
    for number in reversed(range(len(places))):
        following = places[number + 1].type_id if number + 1 < len(places) else None
        if places[number].type_id != (template.padding_type_id if following is None else following):
            types = tf.where(column < end, places[number].type_id, types)
        end -= counts[number][:, tf.newaxis]
    return types


def _ranges(starts: Lengths, counts: Lengths) -> tf.Tensor:
    """The numbers of a row's ranges, row after row.

    Args:
      starts, counts: int64 [B] for each range of a row.
    """
    return tf.raw_ops.RaggedRange(
        starts=tf.reshape(tf.stack(starts, axis=1), [-1]),
        limits=tf.reshape(
            tf.stack([start + n for start, n in zip(starts, counts, strict=True)], axis=1), [-1]
        ),
        deltas=tf.constant(1, tf.int64),
    ).rt_dense_values


def rows_of(segment: tf.RaggedTensor) -> Rows:
    """A segment as one row of ids and each text's place in it.

    Returns:
      values int32 [tokens in all], starts int64 [batch], lengths int64 [batch].

    Raises:
      ValueError: it is not ragged, or has inner dimensions.
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
    return tf.cast(values, tf.int32), splits[:-1], splits[1:] - splits[:-1]


def _round_robin(lengths: Lengths, room: tf.Tensor) -> Lengths:
    """One token each in turns, the first segment first, until the room or a segment is used up.

    Dealt so, two segments get half of the room each, the first one the odd token; what one does
    not need of its half goes to the other. The rule of google-research/bert's
    `_truncate_seq_pair` and of tensorflow_text's `RoundRobinTrimmer`.

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


def _longest_first(lengths: Lengths, room: tf.Tensor) -> Lengths:
    """As `_round_robin`, but the odd token goes to the longer segment; to the second of equals.

    The rule of Hugging Face's tokenizers, which is also transformers' default.
    """
    if len(lengths) == 1:
        return [tf.minimum(lengths[0], room)]
    first, second = lengths
    odd_to_first = tf.cast(first > second, tf.int64) * (room % 2)
    odd_to_second = room % 2 - odd_to_first
    return [
        tf.minimum(first, tf.maximum(room // 2 + odd_to_first, room - second)),
        tf.minimum(second, tf.maximum(room // 2 + odd_to_second, room - first)),
    ]


TRUNCATIONS: Mapping[str, Callable[[Lengths, tf.Tensor], Lengths]] = {
    "round_robin": _round_robin,
    "longest_first": _longest_first,
}
"""How segments that do not fit share the room: the lengths and the room -> the lengths kept."""
