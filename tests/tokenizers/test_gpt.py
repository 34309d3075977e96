"""OpenAI GPT's BPE in the graph against Hugging Face's `tokenizers`."""

import functools
import inspect
import itertools
import json
import random
import textwrap
from pathlib import Path

import pytest

from hubexport.errors import ConfigurationError, VocabularyError
from hubexport.tokenizers import kinds
from hubexport.tokenizers.definition import AddedToken, PackingTemplate
from hubexport.tokenizers.gpt import definition as gpt
from hubexport.tokenizers.tables import bert_characters
from tests.material import material
from tests.tokenizers.texts import DIFFICULT, differences, generated, real_texts, varied_code_points

tf = pytest.importorskip("tensorflow")
tokenizers = pytest.importorskip("tokenizers")

UNKNOWN = (AddedToken("<unk>", 0),)
CODE = inspect.getsource(json.decoder) + inspect.getsource(textwrap)
# Not in the vocabulary: as letters inside words, between and in place of them.
UNSEEN = ("Ω", "ж", "中", "中中", "\u0e01", "ẞ", "q\u0301", "\U0001f600")


@functools.cache
def trained():
    """A tokenizer.json with a few hundred merges, of code and of some of the difficult texts."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    texts = [text for text in DIFFICULT if not any(unseen in text for unseen in UNSEEN)]
    tokenizer.train_from_iterator([*CODE.split("\n"), *texts], trainer)
    return tokenizer.to_str()


def content():
    return json.loads(trained())


def model():
    return gpt.gpt_from_json(Path("tokenizer.json"), content())


def define(read, literals=()):
    return kinds.define(
        read, added_tokens=literals, special_tokens={}, packing=PackingTemplate((), (), 0)
    )


@functools.cache
def defined():
    definition = define(model())
    return definition, definition.make()


def traced(function):
    return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string)])


def with_specials(definition):
    from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText

    return SpecialTokensInText(definition.make(), definition.added_tokens)


@pytest.mark.parametrize("count", [5_000, pytest.param(40_000, marks=pytest.mark.exhaustive)])
def test_every_text_has_the_ids_of_the_reference(count):
    definition, tokenizer = defined()
    texts = [*DIFFICULT, CODE, *CODE.split("\n"), *generated(count, words=UNSEEN)]
    assert not differences(traced(tokenizer.tokenize), definition.reference(), texts)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_code_points_have_the_ids_of_the_reference(step):
    definition, tokenizer = defined()
    texts = varied_code_points()[::step]
    assert not differences(traced(tokenizer.tokenize), definition.reference(), texts)


def test_each_unknown_character_is_an_unknown_piece():
    definition, tokenizer = defined()
    tokens = tokenizer.tokenize(tf.constant(["жжж a中中b"])).to_list()
    assert [len(word) for word in tokens[0]] == [3, 1, 1, 1, 1]
    assert tokens[0][0] == [definition.unknown_id] * 3


def test_the_literal_of_the_unknown_piece_is_recognised():
    definition = define(model(), UNKNOWN)
    texts = [*DIFFICULT, *generated(2_000, seed=2, words=("<unk>", "<unk", "unk>", "</w>"))]
    tokenize = traced(with_specials(definition).tokenize)
    assert not differences(tokenize, definition.reference(), texts)


def test_a_change_of_the_merges_would_be_found():
    read = model()
    fewer = gpt.GPTModel(read.pieces, read.merges[:-20], "<unk>", (Path("here"),))
    tokenize = define(fewer).make().tokenize
    assert differences(tokenize, define(read).reference(), CODE.split("\n"))


def test_detokenize_is_the_references_decode():
    definition, tokenizer = defined()
    reference = gpt.hugging_face_tokenizer(model(), ())
    choose = random.Random(0)
    rows = [encoding.ids for encoding in reference.encode_batch([*DIFFICULT, *CODE.split("\n")])]
    count = len(definition.pieces)
    rows += [choose.choices(range(count), k=choose.randrange(0, 12)) for _ in range(1000)]
    decoded = tokenizer.detokenize(tf.ragged.constant(rows, tf.int32)).numpy().tolist()
    expected = reference.decode_batch(rows, skip_special_tokens=False)
    assert [text.decode() for text in decoded] == expected


def test_offsets_are_those_of_the_reference():
    definition = define(model(), UNKNOWN)
    reference = gpt.hugging_face_tokenizer(model(), UNKNOWN)
    texts = [*DIFFICULT, CODE, *generated(1_000, seed=3, words=(*UNSEEN, "<unk>", "가각", "é"))]
    # Of those the reference reports the place of the mark that they change places with.
    reordered = set(map(chr, bert_characters.reordered()))
    texts = [text for text in texts if not reordered & {*text}]
    wrapped = with_specials(definition)
    ids, starts, limits = (
        part.merge_dims(1, 2).to_list()
        for part in wrapped.tokenize_with_offsets(tf.constant([t.encode() for t in texts]))
    )
    assert ids == definition.reference()(texts)
    for text, *row, encoding in zip(
        texts, starts, limits, reference.encode_batch(texts), strict=True
    ):
        places = [0, *itertools.accumulate(len(character.encode()) for character in text)]
        expected = [(places[first], places[last]) for first, last in encoding.offsets]
        assert list(zip(*row, strict=True)) == expected, text


def test_batches_and_texts_of_unusual_sizes():
    definition, tokenizer = defined()
    tokenize = traced(tokenizer.tokenize)
    assert tokenize(tf.constant([], tf.string)).to_list() == []
    empty = tf.RaggedTensor.from_row_splits(tf.constant([], tf.int32), tf.constant([0], tf.int64))
    assert tokenizer.detokenize(empty).numpy().tolist() == []
    assert tokenize(tf.constant(["", " ", "\0"])).to_list() == [[], [], []]
    for texts in ([], [""], ["", " \0"]):
        for part in tokenizer.tokenize_with_offsets(tf.constant(texts, tf.string)):
            assert part.to_list() == [[] for _ in texts]
    texts = ["a\0b", "\0\0 \0", "word " * 200_000, "y" * 100_000, "\ue000\ue001\ue002 a\ue000"]
    assert not differences(tokenize, definition.reference(), texts)


def test_the_graph_has_no_assertions_and_no_tables():
    graph = traced(defined()[1].tokenize).get_concrete_function().graph.as_graph_def()
    ops = {node.op for node in graph.node} | {
        node.op for inner in graph.library.function for node in inner.node_def
    }
    assert not {op for op in ops if "Assert" in op or "HashTable" in op or "PyFunc" in op}


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("normalizer", None, "normalizer"),
        ("normalizer", {"strip_accents": False}, "normalizer"),
        ("normalizer", {"lowercase": False}, "normalizer"),
        ("normalizer", {"handle_chinese_chars": False}, "normalizer"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer.type"),
        ("decoder", {"suffix": "@@"}, "decoder"),
        ("model", {"type": "WordPiece"}, "model.type"),
        ("model", {"dropout": 0.1}, "model.dropout"),
        ("model", {"fuse_unk": True}, "model.fuse_unk"),
        ("model", {"byte_fallback": True}, "model.byte_fallback"),
        ("model", {"ignore_merges": True}, "model.ignore_merges"),
        ("model", {"end_of_word_suffix": None}, "model.end_of_word_suffix"),
        ("model", {"continuing_subword_prefix": "##"}, "model.continuing_subword_prefix"),
        ("model", {"unk_token": None}, "model.unk_token"),
    ],
)
def test_settings_that_are_not_followed_are_errors(part, value, named):
    stated = content()
    stated[part] = value and {**stated[part], **value}
    with pytest.raises(ConfigurationError, match=named):
        gpt.gpt_from_json(Path("tokenizer.json"), stated)


def test_stripping_accents_may_be_said_in_two_ways():
    stated = content()
    stated["normalizer"]["strip_accents"] = True
    assert gpt.gpt_from_json(Path("tokenizer.json"), stated) == model()


def test_the_files_say_the_same(tmp_path):
    read = model()
    vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocabulary.write_text(json.dumps(content()["model"]["vocab"]), "utf-8")
    merges.write_text("\n".join(map(" ".join, read.merges)) + "\n", "utf-8")
    from_files = gpt.read_gpt(vocabulary, merges)
    assert (from_files.pieces, from_files.merges) == (read.pieces, read.merges)


def test_vocabularies_that_cannot_be_followed_are_refused():
    with pytest.raises(VocabularyError, match=r"missing: <unk>"):
        gpt.GPTModel(("a",), (), "<unk>", (Path("here"),))
    with pytest.raises(VocabularyError, match="no characters"):
        gpt.GPTModel(("<unk>",), (), "<unk>", (Path("here"),))
    for character in ("\u302e", "\ue001</w>"):
        with pytest.raises(VocabularyError, match=r"U\+(302E|E001)"):
            gpt.GPTModel(("<unk>", character), (), "<unk>", (Path("here"),))
    with pytest.raises(VocabularyError, match="with an end of word inside"):
        gpt.GPTModel(("<unk>", "a", "</w>", "a</w>"), (("a", "</w>"),), "<unk>", (Path("here"),))


def test_the_alphabet():
    pieces = ("<unk>", "a", "b</w>", "ab</w>", "</w>", "中", "é</w>", "a</w")
    assert gpt.alphabet(pieces) == {"a", "b", "中", "é"}


def test_pieces_only_inside_or_only_at_the_end_of_words():
    """`b` and `c</w>` have no piece: they are unknown, though they are joined to others."""
    pieces = ("<unk>", "a", "a</w>", "b</w>", "c", "ac", "ab</w>")
    read = gpt.GPTModel(pieces, (("a", "c"), ("a", "b</w>")), "<unk>", (Path("here"),))
    definition = define(read)
    texts = ["ab", "ba", "ac", "aca", "bb", "cc", "acab", "abc", "xax", "a b c", "xx"]
    assert not differences(definition.make().tokenize, definition.reference(), texts)


def test_two_models_of_the_same_files_have_the_same_bytes():
    from hubexport.tokenizers.gpt import graph

    def made(read):
        return graph._model(read.pieces, read.merges, read.unknown, read.alphabet)

    assert made(model()) == made(model())


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.exhaustive)])
def test_the_published_vocabulary_on_texts_of_people(count):
    files = "gpt1/openai-gpt-vocab.json", "gpt1/openai-gpt-merges.txt"
    definition = define(gpt.read_gpt(*map(material, files)), UNKNOWN)
    tokenize, reference = traced(with_specials(definition).tokenize), definition.reference()
    texts = [text for texts in real_texts(count).values() for text in texts]
    assert not differences(tokenize, reference, [*texts, *DIFFICULT, *CODE.split("\n")])
