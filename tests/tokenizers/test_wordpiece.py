"""WordPiece in the graph against Hugging Face's `tokenizers`, id for id."""

import dataclasses
import functools
import itertools
from pathlib import Path

import pytest
import tensorflow as tf

from hubexport.errors import VocabularyError
from hubexport.saved_model.finish import finish
from hubexport.tokenizers import kinds
from hubexport.tokenizers.definition import AddedToken, PackingTemplate
from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText
from hubexport.tokenizers.wordpiece.definition import (
    hugging_face_tokenizer,
    wordpiece_from_vocabulary,
)
from hubexport.tokenizers.wordpiece.model import WordPieceModel
from hubexport.tokenizers.wordpiece.vocabulary import Vocabulary, read_wordpiece
from tests.material import material
from tests.tokenizers import texts

tokenizers = pytest.importorskip("tokenizers")

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SENTENCES = [
    "The quick brown fox jumps over the lazy dog, isn't it? Naïve café façade: 1,234.50!",
    "Быстрая коричневая лиса перепрыгивает через ленивую собаку. Ёлка и йод.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. ΟΔΥΣΣΕΥΣ",
    "天地玄黄宇宙洪荒。日月盈昃辰宿列張 漢字と仮名 カタカナ がぎぐ",
    "다람쥐 헌 쳇바퀴에 타고파 한국어",
    "नमस्ते दुनिया क्षत्रिय สวัสดีครับ السلام عليكم שלום עולם İstanbul ıi ß ﬁ",
]
# Pieces of characters that the kernel and `tokenizers` treat differently, or that no text spells.
ODD = ["\u2e52", "##\u2e52", "a\u2e52b", "\U0002b820", "##\U0002b821", "\u166d", "\U000111c9"]
ODD += [
    "new york",
    "##x y",
    "\u2028",
    "##\u2028",
    "a\x00",
    "\ue001",
    "##",
    "###",
    "##.",
    "...",
    "a.",
]
WORDS = ["[MASK]", "[UNK]", "##ing", "##", "a" * 101, "é" * 90 + "x" * 11, "x" * 409, "\u2e52"]
WORDS += ["a\u2e52b", "\U0002b820\U0002b821", "new york", "\ue001", "\u166d"]


@pytest.fixture(scope="module")
def pieces():
    """A vocabulary trained on a few sentences in several scripts."""
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=900, min_frequency=1, show_progress=False, special_tokens=SPECIALS
    )
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    lower = [tokenizers.normalizers.BertNormalizer().normalize_str(text) for text in SENTENCES]
    tokenizer.train_from_iterator([*SENTENCES, *lower], trainer)
    learned = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return tuple([piece for piece, _ in learned] + ODD)


def model_of(pieces, lower_case, strip_accents=None, **options):
    vocabulary = Vocabulary(tuple(pieces), Path("vocab.txt"), "")
    return dataclasses.replace(
        wordpiece_from_vocabulary(vocabulary, lower_case=lower_case, strip_accents=strip_accents),
        **options,
    )


def define(model, added_tokens=()):
    packing = PackingTemplate((), (), padding_id=0)
    return kinds.define(model, added_tokens=tuple(added_tokens), special_tokens={}, packing=packing)


@functools.cache
def made(model):
    """The graph's part, once for each model."""
    return define(model).make()


def traced(method):
    return tf.function(method, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def assert_same(model, samples):
    tokenize = traced(made(model).tokenize)
    assert texts.differences(tokenize, define(model).reference(), samples) == []


@pytest.mark.parametrize(
    ("lower_case", "count", "step"),
    [
        (True, 5_000, 7),
        (False, 1_000, 35),
        pytest.param(True, 40_000, 1, marks=pytest.mark.exhaustive),
        pytest.param(False, 10_000, 3, marks=pytest.mark.exhaustive),
    ],
)
def test_generated_texts_and_code_points(pieces, lower_case, count, step):
    """Most of lower-cased text, which has more to go wrong."""
    samples = [*texts.generated(count, words=WORDS), *texts.varied_code_points()[::step]]
    assert_same(model_of(pieces, lower_case), texts.DIFFICULT + samples)


@pytest.mark.parametrize(
    ("lower_case", "strip_accents", "options"),
    [
        (True, False, {}),
        (False, True, {}),
        (True, None, {"tokenize_chinese_chars": False}),
        (True, None, {"max_input_chars_per_word": 5}),
        (False, None, {"max_input_chars_per_word": 1}),
    ],
)
def test_other_settings(pieces, lower_case, strip_accents, options):
    model = model_of(pieces, lower_case, strip_accents, **options)
    samples = [*texts.generated(1_000, 1, WORDS), *texts.varied_code_points()[::59]]
    assert_same(model, texts.DIFFICULT + samples)


@pytest.mark.parametrize(
    ("name", "lower_case", "count"),
    [
        ("uncased_en", True, 50),
        pytest.param("cased_en", False, 200, marks=pytest.mark.exhaustive),
        pytest.param("multi_cased", False, 200, marks=pytest.mark.exhaustive),
        pytest.param("chinese", True, 200, marks=pytest.mark.exhaustive),
    ],
)
def test_real_vocabularies_and_texts(name, lower_case, count):
    vocabulary = read_wordpiece(material(f"wordpiece/{name}/vocab.txt"))
    model = wordpiece_from_vocabulary(vocabulary, lower_case=lower_case)
    samples = [text for lines in texts.real_texts(count).values() for text in lines]
    assert_same(model, texts.DIFFICULT + texts.generated(10 * count, 2, WORDS) + samples)


@pytest.mark.parametrize("step", [71, pytest.param(7, marks=pytest.mark.exhaustive)])
def test_code_points_that_are_not_assigned(pieces, step):
    """The kernel splits at some of them, in its ranges of CJK characters."""
    samples = [text for text in texts.varied_code_points(False) if texts.unassigned(text[2])]
    samples = [text for text in samples if ord(text[2]) < 0x30000][::step]
    samples += ["a\U0002a6deb", "a\U0002fa1eb"]
    assert_same(model_of(pieces, True), samples)
    assert_same(model_of(pieces, True, tokenize_chinese_chars=False), samples)


def test_literal_special_tokens_are_text_unless_they_are_cut_out(pieces):
    added = [AddedToken(piece, number) for number, piece in enumerate(SPECIALS)]
    samples = texts.generated(1_000, 5, [*SPECIALS, "[mask]", "x[MASK]y"]) + texts.DIFFICULT
    assert_same(model_of(pieces, True), samples)
    definition = define(model_of(pieces, True), added)
    tokenizer = SpecialTokensInText(made(model_of(pieces, True)), added)
    assert texts.differences(tokenizer.tokenize, definition.reference(), samples) == []


def test_words_are_those_of_the_reference(pieces):
    model = model_of(pieces, True)
    reference = hugging_face_tokenizer(model, ())
    samples = texts.DIFFICULT + texts.generated(1_000, 6, WORDS)
    ids = traced(made(model).tokenize)([text.encode() for text in samples])
    words = _cut(_cut(ids.flat_values, ids.values.row_splits), ids.row_splits)
    encodings = reference.encode_batch(samples, add_special_tokens=False)
    for text, found, encoding in zip(samples, words, encodings, strict=True):
        expected = [
            [number for number, _ in group]
            for _, group in itertools.groupby(
                zip(encoding.ids, encoding.word_ids, strict=True), lambda pair: pair[1]
            )
        ]
        assert found == expected, text


def _cut(values, splits):
    """`RaggedTensor.to_list` would take a hundred times as long."""
    values = values if isinstance(values, list) else values.numpy().tolist()
    return [values[first:last] for first, last in itertools.pairwise(splits.numpy().tolist())]


@pytest.mark.parametrize(("lower_case", "strip_accents"), [(True, None), (False, None)])
def test_offsets_are_those_of_the_reference(pieces, lower_case, strip_accents):
    model = model_of(pieces, lower_case, strip_accents)
    samples = texts.DIFFICULT + SENTENCES + [*texts.varied_code_points()[::59]]
    # Marks in canonical order: see test_offsets_beside_reordered_marks.
    nfc = tokenizers.normalizers.NFC().normalize_str
    samples += [nfc(text) for text in texts.generated(1_000, 7, [*WORDS, "e\u0301" * 101])]
    ids, starts, limits = (
        part.merge_dims(1, 2).to_list()
        for part in traced(made(model).tokenize_with_offsets)([text.encode() for text in samples])
    )
    encodings = hugging_face_tokenizer(model, ()).encode_batch(samples, add_special_tokens=False)
    for number, (text, encoding) in enumerate(zip(samples, encodings, strict=True)):
        places = [0, *itertools.accumulate(len(character.encode()) for character in text)]
        expected = [(places[first], places[last]) for first, last in encoding.offsets]
        assert ids[number] == encoding.ids, text
        assert list(zip(starts[number], limits[number], strict=True)) == expected, text


def test_offsets_beside_reordered_marks(pieces):
    """NFD swaps U+08DB, which is kept, and the shadda; the reference then takes one's place for
    the other's."""
    text = "\u08db\u0651a"
    model = model_of(pieces, True)
    _, starts, limits = made(model).tokenize_with_offsets([text.encode()])
    assert (starts.to_list(), limits.to_list()) == ([[[0]]], [[[6]]])
    assert hugging_face_tokenizer(model, ()).encode(text).offsets == [(1, 3)]


@pytest.mark.parametrize("cleanup", [False, True])
def test_detokenize_is_the_decoder_of_the_reference(pieces, cleanup):
    others = ["'s", "##'s", "n't", "do not", "not ."]
    model = model_of([*pieces, *others], True, cleanup=cleanup)
    added = [AddedToken("[MASK]", 4), AddedToken("<a new one>", len(model.pieces))]
    module = define(model, added).make()
    reference = hugging_face_tokenizer(model, added)
    count = len(model.pieces) + 1
    batch = [[], [5], [count - 1], list(range(count)), *([n, n] for n in range(count))]
    batch += [reference.encode(text).ids for text in texts.DIFFICULT + SENTENCES]
    found = module.detokenize(tf.ragged.constant(batch, tf.int32, row_splits_dtype=tf.int64))
    expected = [reference.decode(ids, skip_special_tokens=False) for ids in batch]
    assert [text.decode() for text in found.numpy()] == expected


def test_empty_batches_empty_texts_and_zero_bytes(pieces):
    module = made(model_of(pieces, True))
    tokenize, offsets = traced(module.tokenize), traced(module.tokenize_with_offsets)
    assert tokenize(tf.constant([], tf.string)).to_list() == []
    assert [part.to_list() for part in offsets(tf.constant([], tf.string))] == [[], [], []]
    assert tokenize([b"", b" ", b"\0", b""]).to_list() == [[], [], [], []]
    assert tokenize([b"t\0h\0e"]).to_list() == tokenize([b"the"]).to_list()
    empty = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int32), tf.zeros([1], tf.int64))
    assert module.detokenize(empty).numpy().tolist() == []


@pytest.mark.parametrize(
    "text",
    [
        "the fox ",
        "é",
        *(pytest.param(one, marks=pytest.mark.exhaustive) for one in ("a", "한", ". ", " ", "中")),
    ],
)
def test_a_text_of_a_megabyte(pieces, text):
    model = model_of(pieces, True)
    long = text * (1_000_000 // len(text.encode()))
    module = made(model)
    ids = traced(module.tokenize)([b"a", long.encode(), b""])
    expected = define(model).reference()(["a", long, ""])
    assert ids.merge_dims(1, 2).to_list() == expected
    offsets = traced(module.tokenize_with_offsets)([b"a", long.encode(), b""])
    assert offsets[0].merge_dims(1, 2).to_list() == expected
    module.detokenize(ids.merge_dims(1, 2))


def test_the_graph_has_no_asserts_tables_or_python(pieces):
    module = made(model_of(pieces, True))
    detokenize = tf.function(
        module.detokenize, input_signature=[tf.RaggedTensorSpec([None, None], tf.int32, 1)]
    )
    functions = [traced(module.tokenize), traced(module.tokenize_with_offsets), detokenize]
    for function in functions:
        definition = function.get_concrete_function().graph.as_graph_def()
        nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
        ops = {node.op for node in nodes}
        assert not {op for op in ops if "Assert" in op or "Table" in op or "PyFunc" in op}, ops


def test_two_exports_are_the_same_and_keep_one_copy_of_each_buffer(pieces, tmp_path):
    for name in ("a", "b"):
        module = define(model_of(pieces, True)).make()
        root = tf.Module()
        root.tokenizer = module
        root.tokenize, root.offsets = traced(module.tokenize), traced(module.tokenize_with_offsets)
        tf.saved_model.save(root, str(tmp_path / name))
        finish(tmp_path / name)
    first, second = ((tmp_path / name / "saved_model.pb").read_bytes() for name in "ab")
    assert first == second
    buffer = module._normalizer._model.numpy().tobytes()
    assert first.count(buffer) == 1
    loaded = tf.saved_model.load(str(tmp_path / "a"))
    samples = [text.encode() for text in texts.DIFFICULT]
    assert loaded.tokenize(samples).to_list() == module.tokenize(samples).to_list()


def test_what_a_later_version_of_the_kernel_may_split_at_is_kept_from_it(pieces):
    """Code points that nobody has assigned yet become private use ones, which are never split."""
    module = made(model_of(pieces, True))
    found = module._normalizer.normalize(["A\u2e7fb \U00011f5fc \u2e5f".encode()])
    assert found.numpy()[0].decode() == "a\ue000b \ue000c \ue000"


def test_the_definition_tells_what_decides_the_ids(pieces):
    definition = define(model_of(pieces, True))
    assert definition.kind == "wordpiece"
    assert definition.unknown_id == pieces.index("[UNK]")
    assert definition.settings["strip_accents"] is True
    assert define(model_of(pieces, True, False)).settings["strip_accents"] is False
    assert definition.differences == definition.no_offsets == definition.no_detokenize == ""


def test_characters_that_nfd_may_reorder_are_told_of(pieces):
    model = model_of([*pieces, "\u302e", "##\U0001d165"], True)
    assert "U+302E, U+1D165" in define(model).differences
    assert define(dataclasses.replace(model, strip_accents=False)).differences == ""


def test_vocabularies_that_cannot_be_used(pieces):
    with pytest.raises(VocabularyError) as error:
        WordPieceModel(("a", "##" + "é" * 129), "[UNK]", True, True, (Path("v.txt"),))
    assert "'[UNK]', the piece for unknown words" in str(error.value)
    assert "pieces of more than 256 bytes: '##ééé" in str(error.value)
    longest = model_of([*pieces, "é" * 128, "z" * 256], False, max_input_chars_per_word=300)
    assert_same(longest, ["é" * 128, "z" * 256, "z" * 257, "z" * 301])
