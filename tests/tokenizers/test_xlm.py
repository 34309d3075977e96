"""XLM's tokenizer in the graph, against transformers' XLMTokenizer."""

import itertools
import json
import unicodedata
from collections import Counter

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from hubexport.errors import ConfigurationError, VocabularyError
from hubexport.tokenizers import kinds
from hubexport.tokenizers.definition import AddedToken, PackingTemplate
from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText
from hubexport.tokenizers.tables.moses_characters import code_points
from hubexport.tokenizers.xlm import definition as xlm
from tests.tokenizers.texts import (
    DIFFICULT,
    differences,
    generated,
    real_texts,
    varied_code_points,
)

pytest.importorskip("sacremoses")
original = pytest.importorskip("transformers.models.xlm.tokenization_xlm")

SPECIALS = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10))]
_SOME = "Σ ΑΣ Σ.Σ Mr. No. e.g. .. ' ( % : 5,000 DOTMULTI <s> <special1> <unk> </w> \uac00 \uac01 \0"
WORDS = _SOME.split(" ")
SENTENCES = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Toate ființele umane se nasc libere și egale în demnitate și în drepturi.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
]


def _learn(words, count):
    """As fastBPE: the most frequent pair becomes a piece, again and again.

    Returns:
      The pieces and the lines of the merges.
    """
    split = {(*word[:-1], word[-1] + "</w>"): number for word, number in words.items()}
    pieces = {piece for symbols in split for piece in symbols}
    pieces |= {piece.removesuffix("</w>") for piece in pieces}
    lines = []
    for _ in range(count):
        pairs = Counter()
        for symbols, number in split.items():
            for pair in itertools.pairwise(symbols):
                pairs[pair] += number
        if not pairs:
            break
        (left, right), number = max(pairs.items(), key=lambda item: (item[1], item[0]))
        lines.append(f"{left} {right} {number}")
        pieces.add(left + right)
        split = {_join(symbols, left, right): number for symbols, number in split.items()}
    return sorted(pieces), lines


def _join(symbols, left, right):
    joined = []
    for symbol in symbols:
        if joined and joined[-1] == left and symbol == right:
            joined[-1] = left + right
        else:
            joined.append(symbol)
    return tuple(joined)


def _write(directory, pieces, lines):
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*SPECIALS, *pieces]))}
    (directory / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (directory / "merges.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return directory / "vocab.json", directory / "merges.txt"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    words = Counter()
    for text in [*SENTENCES * 5, *DIFFICULT, *generated(200, seed=4)]:
        split = text.replace("\0", "").split()
        words.update(split)
        words.update(filter(None, original.lowercase_and_remove_accent(split)))
    return _write(tmp_path_factory.mktemp("xlm"), *_learn(words, 300))


def _define(files, language="en", lower_case=True):
    model = xlm.read_xlm(*files, language=language, do_lowercase_and_remove_accent=lower_case)
    added = tuple(AddedToken(piece, model.ids[piece]) for piece in SPECIALS if piece in model.ids)
    packing = PackingTemplate((), (), padding_id=2)
    return kinds.define(model, added_tokens=added, special_tokens={}, packing=packing)


def _traced(definition):
    tokenizer = SpecialTokensInText(definition.make(), definition.added_tokens)
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(tokenizer.tokenize, input_signature=signature, autograph=False)


@pytest.fixture(scope="module")
def english(files):
    definition = _define(files)
    return definition, _traced(definition), definition.reference()


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_difficult_and_generated_texts(english, count):
    _, tokenize, reference = english
    assert differences(tokenize, reference, DIFFICULT + SENTENCES) == []
    assert differences(tokenize, reference, generated(count, seed=11, words=WORDS)) == []


@pytest.mark.parametrize("step", [49, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_code_points(english, step):
    _, tokenize, reference = english
    assert differences(tokenize, reference, varied_code_points()[::step]) == []


@pytest.mark.parametrize(
    ("language", "lower_case"),
    [
        ("none", True),
        ("ko", False),
        pytest.param("en", False, marks=pytest.mark.exhaustive),
        pytest.param("ro", True, marks=pytest.mark.exhaustive),
        pytest.param("ru", True, marks=pytest.mark.exhaustive),
        pytest.param("ar", True, marks=pytest.mark.exhaustive),
    ],
)
def test_other_settings(files, language, lower_case):
    definition = _define(files, language, lower_case)
    tokenize, reference = _traced(definition), definition.reference()
    texts = [*DIFFICULT, *SENTENCES, *generated(500, seed=12, words=WORDS)]
    assert differences(tokenize, reference, [*texts, *varied_code_points()[::199]]) == []


@pytest.mark.parametrize(
    ("language", "count"),
    [
        ("en", 5),
        pytest.param("ar", 50, marks=pytest.mark.exhaustive),
        pytest.param("ru", 50, marks=pytest.mark.exhaustive),
    ],
)
def test_real_texts(files, language, count):
    definition = _define(files, language)
    tokenize, reference = _traced(definition), definition.reference()
    for name, texts in real_texts(count).items():
        assert differences(tokenize, reference, texts) == [], name


def test_without_special_tokens_in_text(files):
    model = xlm.read_xlm(*files, language="en")
    packing = PackingTemplate((), (), padding_id=2)
    definition = kinds.define(model, added_tokens=(), special_tokens={}, packing=packing)
    texts = ["a <s> b </s>", "<unk>", *generated(200, seed=13, words=WORDS)]
    assert differences(_traced(definition), definition.reference(), texts) == []
    assert definition.pieces == model.pieces


def test_accents_are_removed_from_each_character_alone(tmp_path):
    # The original decomposes whole texts, and so puts marks in canonical order. The marks that it
    # does not remove then are words of their own by Moses' rules, or all of one class.
    assert _classes_of_marks("alphanumeric") == {9}
    # But for Korean, where two marks that never meet can be in one word.
    assert _classes_of_marks("hangul") == {224}
    marks = ["\u302e", "\ua953"]
    files = _write(tmp_path, [*marks, *(f"{mark}</w>" for mark in marks)], ["a b 1"])
    for language, different in (("en", 0), ("ko", 1)):
        definition = _define(files, language)
        tokenize, reference = _traced(definition), definition.reference()
        texts = ["".join(marks), marks[0], "a"]
        assert len(differences(tokenize, reference, texts)) == different
        assert ("U+302E" in definition.differences) == bool(different)


def _classes_of_marks(name):
    marks = {chr(c) for c in code_points(name) if unicodedata.category(chr(c)) != "Mn"}
    return {unicodedata.combining(mark) for mark in marks} - {0}


def test_empty_batch_empty_text_and_zero_bytes(english, files):
    _, tokenize, _ = english
    assert tokenize(tf.constant([], tf.string)).to_list() == []
    assert tokenize(tf.constant(["", "\0", " "])).to_list() == [[], [], []]
    pretokenized = _define(files, None)
    texts = ["", "a\0b \0", "\u00a0 a\u2003b"]
    assert differences(_traced(pretokenized), pretokenized.reference(), texts) == []


def test_a_long_text(english):
    _, tokenize, reference = english
    text = " ".join(SENTENCES) * 100
    assert differences(tokenize, reference, [text]) == []
    assert tokenize(tf.constant(["x" * 1_000_000])).row_lengths().numpy()[0] > 1_000


def test_detokenize(english, files):
    definition, tokenize, _ = english
    tokenizer = original.XLMTokenizer(*map(str, files))
    texts = [*DIFFICULT, *SENTENCES, *generated(200, seed=14, words=WORDS)]
    ids = tokenize(tf.constant([text.encode() for text in texts]))
    # Ids beyond the vocabulary, and pieces of words that do not end.
    ids = tf.concat([ids, tf.ragged.constant([[10**6, -1, 20, 300], []], tf.int32)], axis=0)
    got = [text.decode() for text in definition.make().detokenize(ids).numpy()]
    assert got == [
        tokenizer.decode(row, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        for row in ids.to_list()
    ]


def test_definition(english, files):
    definition = english[0]
    assert definition.kind == "xlm"
    assert definition.unknown_id == SPECIALS.index("<unk>")
    assert definition.settings["language"] == "en"
    assert definition.settings["do_lowercase_and_remove_accent"]
    assert definition.files == files
    assert definition.no_offsets and not definition.no_detokenize
    assert _define(files, "none").settings["language"] == "none"
    assert not _define(files, "none").settings["do_lowercase_and_remove_accent"]


def test_saved_twice_it_is_named_the_same_and_has_no_assertions(files, tmp_path):
    names = []
    for name in ("first", "second"):
        module = tf.Module()
        module.tokenizer = _define(files).make()
        module.call = tf.function(
            module.tokenizer.tokenize,
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        tf.saved_model.save(module, str(tmp_path / name))
        graph = (
            saved_model_pb2.SavedModel.FromString((tmp_path / name / "saved_model.pb").read_bytes())
            .meta_graphs[0]
            .graph_def
        )
        nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
        assert not [node.name for node in nodes if node.op == "Assert"]
        names.append(sorted(node.attr["shared_name"].s for node in nodes))
    assert names[0] == names[1]
    loaded = tf.saved_model.load(str(tmp_path / "first"))
    texts = tf.constant([text.encode() for text in DIFFICULT])
    assert loaded.call(texts).to_list() == _define(files).make().tokenize(texts).to_list()


@pytest.mark.parametrize("language", ["zh", "ja", "th", "xx", "EN"])
def test_languages_that_cannot_be_followed(files, language):
    with pytest.raises(ConfigurationError):
        xlm.read_xlm(*files, language=language)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a b 3", "ab c 2", "a bc 1", "b c 1"], "several merges"),
        (["ab c 2", "a b 1"], "no earlier merge"),
        (["a b c d"], "not two pieces"),
        (["a"], "not two pieces"),
        (["< /w> 3"], "</w>"),
        ([], "cannot be read"),
    ],
)
def test_merges_that_cannot_be_followed(tmp_path, lines, found):
    files = _write(tmp_path, ["a", "b", "c"], lines)
    with pytest.raises(VocabularyError, match=found):
        xlm.read_xlm(*files, language="en")


def test_merges_that_never_apply_are_dropped(tmp_path):
    # As read between any white space, the second is of "b</w>" and a count.
    lines = ["a b</w> 9", "\u00a0 b</w> 3", "x</w> y 2", "zz z 1"]
    files = _write(tmp_path, ["a", "b", "b</w>", "ab</w>"], lines)
    model = xlm.read_xlm(*files, language="en")
    assert model.merges == (("a", "b</w>"),)
    assert len(model.warnings) == 1
    definition = _define(files)
    texts = ["ab b x y zzz \u00a0b", *generated(300, seed=15)]
    assert differences(_traced(definition), definition.reference(), texts) == []


def test_vocabularies_that_cannot_be_used(files, tmp_path):
    vocabulary = tmp_path / "vocab.json"
    for content in ("{", "[]", '{"a": 0}', '{"<unk>": 0, "a": 2}', '{"<unk>": 0, "a\\u0000": 1}'):
        vocabulary.write_text(content)
        with pytest.raises(VocabularyError):
            xlm.read_xlm(vocabulary, files[1], language="en")
    with pytest.raises(VocabularyError):
        xlm.read_xlm(files[0], tmp_path / "none.txt", language="en")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(VocabularyError):
        xlm.read_xlm(files[0], tmp_path / "binary.txt", language="en")
