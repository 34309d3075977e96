"""Moses' rules in the graph, against sacremoses and transformers' own steps around it."""

import random

import pytest
import tensorflow as tf

from hubexport.errors import ConfigurationError
from hubexport.tokenizers.moses import rules as moses
from hubexport.tokenizers.moses.graph import Periods, Replacements, lower_case_sigma
from hubexport.tokenizers.tables.moses_characters import prefixes
from tests.tokenizers.texts import DIFFICULT, generated, real_texts, varied_code_points
from tests.tokenizers.texts import unassigned as is_unassigned

sacremoses = pytest.importorskip("sacremoses")
xlm = pytest.importorskip("transformers.models.xlm.tokenization_xlm")

_SOME = (
    "DOTMULTI DOTDOTMULTI DOT .. ... Mr. No. e.g. U.S. x. 5 5,000 1' ' '' ` `` « » ‘ ’ “ „ … — – ´ "
    "( ) % : ; , . ? ! @ # < > nº cm ºC 。 ． （ ） ％ ， \u00a0 \u00a0% \u00a0« »\u00a0 \r - . ' s"
)
WORDS = _SOME.split(" ")
OTHER_LANGUAGES = ("fr", "it", "es", "cs", "ro", "ru", "ar", "el", "hi", "tr", "zh_yue")


def _ours(language):
    steps = (
        *moses.unicode_punctuation(),
        *moses.normalize_punctuation(language),
        *moses.remove_control_characters(),
        *(moses.romanian() if language == "ro" else ()),
        *moses.clean(),
        *moses.separate(language),
    )
    replacements = Replacements(steps)
    periods = Periods(prefixes(language), korean=language == "ko")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def words(texts):
        return tf.strings.split(periods(replacements(texts)))

    return words


def _theirs(language):
    normalizer = sacremoses.MosesPunctNormalizer(language)
    tokenizer = sacremoses.MosesTokenizer(language)

    def words(text):
        text = normalizer.normalize(xlm.replace_unicode_punct(text))
        text = xlm.remove_non_printing_char(text)
        if language == "ro":
            text = xlm.romanian_preprocessing(text)
        return tokenizer.tokenize(text, return_str=False, escape=False)

    return words


def _differing(language, texts, words=None):
    ours, theirs = words or _ours(language), _theirs(language)
    found = []
    for begin in range(0, len(texts), 4096):
        part = texts[begin : begin + 4096]
        got = ours(tf.constant([text.encode() for text in part], tf.string)).to_list()
        for text, split in zip(part, got, strict=True):
            expected = theirs(text)
            if [word.decode() for word in split] != expected:
                found.append((text, split, expected))
    return found


@pytest.fixture(scope="module")
def english():
    return _ours("en")


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_difficult_and_generated_texts_in_english(english, count):
    assert _differing("en", DIFFICULT, english) == []
    assert _differing("en", generated(count, seed=5, words=WORDS), english) == []


@pytest.mark.parametrize("step", [49, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_code_points(english, step):
    assert _differing("en", varied_code_points()[::step], english) == []


@pytest.mark.exhaustive
def test_unassigned_code_points(english):
    unassigned = [text for text in varied_code_points(False) if is_unassigned(text[2])]
    assert _differing("en", unassigned[::400], english) == []


@pytest.mark.parametrize(
    "language",
    [
        "de",
        "ko",
        *(pytest.param(other, marks=pytest.mark.exhaustive) for other in OTHER_LANGUAGES),
    ],
)
def test_other_languages(language):
    with_period = [p + "." for words in prefixes(language) for p in words]
    some = random.Random(1).sample(with_period, 20)
    texts = generated(500, seed=6, words=[*WORDS, *some, *some])
    texts += [f"{word} {then}" for word in with_period for then in ("X", "x", "5", "", "..")]
    assert _differing(language, [*DIFFICULT, *texts]) == []


@pytest.mark.parametrize("count", [5, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_real_texts(english, count):
    for name, texts in real_texts(count).items():
        assert _differing("en", texts, english) == [], name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Smith No. 5 No. Xyz.", "Mr. Smith No. 5 No . Xyz ."),
        ("Yes. no. Yes. 1. End.", "Yes. no . Yes . 1 . End ."),
        ("the U.S. and e.g. this.", "the U.S. and e.g. this ."),
        ("end.' ", "end . '"),
        ("a...b ..", "a ... b .."),
        ("DOTDOTMULTI and DOTMULTIx", ".. and .x"),
        ("1,000, and a,b", "1,000 , and a , b"),
    ],
)
def test_words(english, text, expected):
    assert english(tf.constant([text])).to_list()[0] == expected.encode().split()


def test_final_sigma():
    texts = ["ΑΣ", "ΑΣ ΑΣΑ", "Σ", "Α.Σ.", "ΑΣ.Α", "ΑΣ\u0301", "1Σ", "ΣΣ ΣΣΣ", "\u0345Σ", "ʰΣ"]
    texts += generated(2_000, seed=9, words=["Σ", "Σ", "ΑΣ", "Α", "\u0301", ".", "'", ":"])
    lowered = lower_case_sigma(tf.constant([text.encode() for text in texts])).numpy().tolist()
    for text, got in zip(texts, lowered, strict=True):
        # One character after the other: no other sigma is lower-cased by what is around it.
        assert "".join(map(str.lower, got.decode())) == text.lower(), text


def test_languages_that_cannot_be_followed():
    for language in ("zh", "ja", "th"):
        with pytest.raises(ConfigurationError, match="cannot be tokenized in a graph"):
            moses.check_language(language)
    with pytest.raises(ConfigurationError, match="is not known"):
        moses.check_language("xx")
    for language in moses.supported_languages():
        moses.check_language(language)
    assert {"en", "de", "ar", "ru", "tr", "ko"} <= moses.supported_languages()
