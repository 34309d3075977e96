"""bert_pack_inputs: against independent implementations on random input, and by hand."""

import random

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from hubexport.tokenizers.conventions import CONVENTIONS  # noqa: E402
from hubexport.tokenizers.graph.packing import bert_pack_inputs  # noqa: E402

SPECIAL = {"start_of_sequence_id": 1, "end_of_segment_id": 2, "padding_id": 3}
BERT = CONVENTIONS["bert"].packing(SPECIAL)
NAMES = ["input_word_ids", "input_mask", "input_type_ids"]


def ragged(values, rank=1):
    return tf.ragged.constant(values, dtype=tf.int32, ragged_rank=rank)


def pack(segments, seq_length, template=BERT, truncation="round_robin"):
    packed = bert_pack_inputs(segments, seq_length, template, truncation)
    assert sorted(packed) == sorted(NAMES)
    assert {tensor.dtype for tensor in packed.values()} == {tf.int32}
    return [packed[name].numpy().tolist() for name in NAMES]


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
    ("model_type", "single", "pair", "types"),
    [
        ("roberta", [1, 7, 8, 2, 3, 3, 3, 3], [1, 7, 8, 2, 2, 9, 2, 3], [0] * 8),
        ("xlm", [1, 7, 8, 2, 3, 3, 3, 3], [1, 7, 8, 2, 9, 2, 3, 3], [0, 0, 0, 0, 1, 1, 0, 0]),
        ("xlnet", [3, 3, 3, 3, 7, 8, 2, 1], [3, 3, 7, 8, 2, 9, 2, 1], [3, 3, 0, 0, 0, 1, 1, 2]),
        ("gpt2", [7, 8, 3, 3, 3, 3, 3, 3], [7, 8, 9, 3, 3, 3, 3, 3], [0, 0, 1, 0, 0, 0, 0, 0]),
        ("t5", [7, 8, 2, 3, 3, 3, 3, 3], [7, 8, 2, 9, 2, 3, 3, 3], [0] * 8),
    ],
)
def test_conventions(model_type, single, pair, types):
    template = CONVENTIONS[model_type].packing(SPECIAL)
    first, second = ragged([[7, 8]]), ragged([[9]])
    ids, mask, _ = pack([first], 8, template)
    assert ids == [single]
    assert mask == [[int(number != 3) for number in single]]
    ids, mask, found = pack([first, second], 8, template)
    assert (ids, found) == ([pair], [types])
    assert mask == [[int(number != 3) for number in pair]]


@pytest.mark.parametrize(
    ("truncation", "lengths", "room", "kept"),
    [
        ("round_robin", (9, 9), 5, (3, 2)),
        ("round_robin", (1, 9), 5, (1, 4)),
        ("round_robin", (9, 1), 5, (4, 1)),
        ("round_robin", (2, 2), 5, (2, 2)),
        ("longest_first", (9, 9), 5, (2, 3)),
        ("longest_first", (9, 8), 5, (3, 2)),
        ("longest_first", (8, 9), 5, (2, 3)),
        ("longest_first", (1, 9), 5, (1, 4)),
        ("longest_first", (9, 2), 5, (3, 2)),
    ],
)
def test_truncation(truncation, lengths, room, kept):
    segments = [ragged([[10] * lengths[0]]), ragged([[20] * lengths[1]])]
    (ids,), _, _ = pack(segments, room + 3, truncation=truncation)
    assert (ids.count(10), ids.count(20)) == kept


@pytest.mark.parametrize("seq_length", [0, 1, 2, 3])
def test_too_short_for_the_specials(seq_length):
    segments = [ragged([[7, 8]]), ragged([[9]])]
    ids, mask, types = pack(segments, seq_length)
    assert ids == [[1, 2, 2][:seq_length]]
    assert mask == [[1] * seq_length]
    assert types == [[0, 0, 1][:seq_length]]
    ids, _, _ = pack(segments, seq_length, CONVENTIONS["xlnet"].packing(SPECIAL))
    assert ids == [[2, 2, 1][:seq_length]]


def test_static_shapes():
    specs = [tf.RaggedTensorSpec([None, None], tf.int32)]
    fixed = tf.function(lambda x: bert_pack_inputs([x], 16, BERT)).get_concrete_function(*specs)
    assert {tuple(shape) for shape in fixed.output_shapes.values()} == {(None, 16)}
    free = tf.function(lambda x, n: bert_pack_inputs([x], n, BERT)).get_concrete_function(
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


@pytest.mark.exhaustive
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
        expected = text_layers.BertPackInputs.bert_pack_inputs(segments, seq_length, **SPECIAL)
        found = bert_pack_inputs(segments, seq_length, BERT)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
            assert found[name].shape == expected[name].shape


# Each token of the vocabulary is a word "t<id>".
PROCESSORS = {
    "bert": lambda p: p.BertProcessing(("t2", 2), ("t1", 1)),
    "roberta": lambda p: p.RobertaProcessing(("t2", 2), ("t1", 1)),
    "xlnet": lambda p: p.TemplateProcessing(
        single="$A:0 t2:0 t1:2",
        pair="$A:0 t2:0 $B:1 t2:1 t1:2",
        special_tokens=[("t1", 1), ("t2", 2)],
    ),
    "t5": lambda p: p.TemplateProcessing(
        single="$A t2", pair="$A t2 $B t2", special_tokens=[("t2", 2)]
    ),
    "gpt2": lambda p: None,
}


@pytest.mark.parametrize("model_type", PROCESSORS)
def test_equal_to_hugging_face(model_type):
    """Packing, longest_first truncation, padding side and type ids of the Rust tokenizers."""
    tokenizers = pytest.importorskip("tokenizers")
    rng = random.Random(21)
    convention = CONVENTIONS[model_type]
    reference = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({f"t{i}": i for i in range(100)}, unk_token="t0")
    )
    reference.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    processor = PROCESSORS[model_type](tokenizers.processors)
    if processor is not None:
        reference.post_processor = processor
    side, type_id = convention.padding_side, convention.padding_type_id
    for _ in range(40):
        seq_length = rng.choice([5, 6, 7, 8, 11, 16, 33])
        reference.enable_truncation(seq_length, strategy="longest_first")
        reference.enable_padding(
            direction=side, pad_id=3, pad_type_id=type_id, pad_token="t3", length=seq_length
        )
        first, second = (
            [[rng.randrange(4, 99) for _ in range(rng.randrange(1, 20))] for _ in range(5)]
            for _ in range(2)
        )
        words = [[" ".join(f"t{i}" for i in row) for row in rows] for rows in (first, second)]
        pair = rng.random() < 0.7
        texts = list(zip(*words, strict=True)) if pair else words[0]
        expected = reference.encode_batch(texts)
        segments = [ragged(first), ragged(second)] if pair else [ragged(first)]
        ids, mask, types = pack(segments, seq_length, convention.packing(SPECIAL), "longest_first")
        assert ids == [encoding.ids for encoding in expected]
        assert mask == [encoding.attention_mask for encoding in expected]
        assert types == [encoding.type_ids for encoding in expected]
