"""bert_pack_inputs: against Model Garden's on random input, and by hand where that cannot go."""

import random

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from hubexport.tokenizers.packing import bert_pack_inputs  # noqa: E402

IDS = {"start_of_sequence_id": 1, "end_of_segment_id": 2, "padding_id": 3}


def ragged(values, rank=1):
    return tf.ragged.constant(values, dtype=tf.int32, ragged_rank=rank)


def pack(segments, seq_length):
    packed = bert_pack_inputs(segments, seq_length, **IDS)
    names = ["input_word_ids", "input_mask", "input_type_ids"]
    assert sorted(packed) == sorted(names)
    assert {tensor.dtype for tensor in packed.values()} == {tf.int32}
    return [packed[name].numpy().tolist() for name in names]


def test_one_segment():
    ids, mask, types = pack([ragged([[7, 8, 9], [], [7]])], 4)
    assert ids == [[1, 7, 8, 2], [1, 2, 3, 3], [1, 7, 2, 3]]
    assert mask == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]
    assert types == [[0] * 4] * 3


def test_two_segments_of_different_rank():
    ids, mask, types = pack([ragged([[7, 8], [7]]), ragged([[[9], [10, 11]], [[], []]], 2)], 9)
    assert ids == [[1, 7, 8, 2, 9, 10, 11, 2, 3], [1, 7, 2, 2, 3, 3, 3, 3, 3]]
    assert mask == [[1] * 8 + [0], [1] * 4 + [0] * 5]
    assert types == [[0, 0, 0, 0, 1, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("lengths", "room", "kept"),
    [((9, 9), 5, (3, 2)), ((1, 9), 5, (1, 4)), ((9, 1), 5, (4, 1)), ((2, 2), 5, (2, 2))],
)
def test_round_robin(lengths, room, kept):
    segments = [ragged([[10] * lengths[0]]), ragged([[20] * lengths[1]])]
    (ids,), _, _ = pack(segments, room + 3)
    assert (ids.count(10), ids.count(20)) == kept


@pytest.mark.parametrize("seq_length", [0, 1, 2, 3])
def test_too_short_for_the_specials(seq_length):
    segments = [ragged([[7, 8]]), ragged([[9]])]
    ids, mask, types = pack(segments, seq_length)
    assert ids == [[1, 2, 2][:seq_length]]
    assert mask == [[1] * seq_length]
    assert types == [[0, 0, 1][:seq_length]]


def test_static_shapes():
    specs = [tf.RaggedTensorSpec([None, None], tf.int32)]
    fixed = tf.function(lambda x: bert_pack_inputs([x], 16, **IDS)).get_concrete_function(*specs)
    assert {tuple(shape) for shape in fixed.output_shapes.values()} == {(None, 16)}
    free = tf.function(lambda x, n: bert_pack_inputs([x], n, **IDS)).get_concrete_function(
        *specs, tf.TensorSpec([], tf.int32)
    )
    assert {tuple(shape) for shape in free.output_shapes.values()} == {(None, None)}
    for function in (fixed, free):
        assert "Assert" not in {op.type for op in function.graph.get_operations()}


def test_wrong_arguments():
    segment = ragged([[7]])
    for segments in ([], [segment] * 3, [tf.constant([[1]])]):
        with pytest.raises(ValueError, match="bert_pack_inputs takes"):
            pack(segments, 8)
    with pytest.raises(ValueError, match="uniform inner dimensions"):
        pack([tf.RaggedTensor.from_row_splits(tf.zeros([2, 2], tf.int32), [0, 2])], 8)


def test_equal_to_model_garden():
    """Both ranks, 1 and 2 segments, lengths from 0 on, as int and as tensor, empty batches."""
    text_layers = pytest.importorskip("official.nlp.modeling.layers.text_layers")
    rng = random.Random(20)

    def tokens(longest):
        return [rng.randrange(4, 99) for _ in range(rng.randrange(longest + 1))]

    def segment(batch, rank):
        if rank == 1:
            return ragged([tokens(rng.choice([0, 3, 9, 20])) for _ in range(batch)])
        return ragged([[tokens(3) for _ in tokens(6)] for _ in range(batch)], 2)

    for _ in range(250):
        batch, rank = rng.choice([0, 1, 2, 7]), rng.choice([1, 2])
        seq_length = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 33])
        segments = [segment(batch, rank) for _ in range(rng.choice([1, 2]))]
        if rng.random() < 0.5:
            seq_length = tf.constant(seq_length)
        expected = text_layers.BertPackInputs.bert_pack_inputs(segments, seq_length, **IDS)
        found = bert_pack_inputs(segments, seq_length, **IDS)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
            assert found[name].shape == expected[name].shape
