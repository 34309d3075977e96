"""Who decides about lower-casing: flag, tokenizer_config.json, letters; and what is said."""

import json

import pytest

from hubexport.errors import ConfigurationError, UsageError
from hubexport.tokenizers.casing import decide_lower_case, letter_case_evidence
from hubexport.tokenizers.sentencepiece.model import SentencePieceModel
from hubexport.tokenizers.wordpiece.vocabulary import Vocabulary, read_wordpiece
from tests.material import material

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused7]", "<S>")
LOWER = tuple(f"{a}{b}{c}" for a in "abcdefghijk" for b in "lmnopqrstu" for c in "uvwxyzabcd")
MIXED = (*LOWER, *(piece.capitalize() for piece in LOWER[:40]))


@pytest.fixture
def make(tmp_path):
    """A vocabulary, and tokenizer_config.json beside it, in a directory with a telling name."""
    directory = tmp_path / "uncased"
    directory.mkdir()

    def of(pieces, config=None, kind=Vocabulary):
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            (directory / "tokenizer_config.json").write_text(text)
        if kind is Vocabulary:
            return Vocabulary((*SPECIALS, *pieces), directory / "uncased_vocab.txt", "")
        return SentencePieceModel((*SPECIALS, *pieces), 1, b"", directory / "m.model", "")

    return of


def test_letters(make):
    assert letter_case_evidence(make(LOWER).pieces).cased == len(LOWER) == 1100
    mixed = letter_case_evidence(make(MIXED).pieces)
    assert (mixed.upper, mixed.examples) == (40, tuple(p.capitalize() for p in LOWER[:4]))
    assert letter_case_evidence(["1", "##,", "中", "ا", "[CLS]"]).cased == 0


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (LOWER, True),
        (MIXED, False),
        (("a", "B"), False),
        (LOWER[:999], None),  # too few to tell
        ((), None),
        ((*LOWER, "DNA"), None),  # one of 1,101, added by hand
    ],
)
def test_by_the_letters(make, pieces, expected):
    vocabulary = make(pieces)
    if expected is None:
        with pytest.raises(UsageError, match="--do_lower_case or --nodo_lower_case"):
            decide_lower_case(None, vocabulary)
    else:
        lower_case, reason, warnings = decide_lower_case(None, vocabulary)
        assert (lower_case, warnings) == (expected, [])
        assert "in the vocabulary" in reason


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("kind", [Vocabulary, SentencePieceModel])
def test_by_the_configuration(make, configured, kind):
    casing = decide_lower_case(None, make((), {"do_lower_case": configured}, kind))
    assert casing.lower_case is configured
    assert "tokenizer_config.json" in casing.reason


def test_configuration_from_another_directory(make, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert decide_lower_case(None, make(()), tmp_path).lower_case is True


@pytest.mark.parametrize("config", [None, {}, {"do_lower_case": None}])
@pytest.mark.parametrize("pieces", [LOWER, MIXED])
def test_sentencepiece_pieces_do_not_decide(make, config, pieces):
    with pytest.raises(UsageError, match="pieces of a SentencePiece model do not tell"):
        decide_lower_case(None, make(pieces, config, SentencePieceModel))


def test_contradicting_evidence_decides_nothing(make):
    with pytest.raises(UsageError, match="contradicts itself") as caught:
        decide_lower_case(None, make(MIXED, {"do_lower_case": True}))
    assert "40 of 1,140" in str(caught.value) and "do_lower_case: true" in str(caught.value)


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("pieces", [LOWER, MIXED, ()])
def test_flag_wins_and_contradictions_are_told(make, flag, pieces):
    casing = decide_lower_case(flag, make(pieces, {"do_lower_case": not flag}))
    assert casing.lower_case is flag
    assert casing.reason == ("--do_lower_case" if flag else "--nodo_lower_case")
    against = {LOWER: True, MIXED: False}.get(pieces, flag) != flag
    assert len(casing.warnings) == 1 + against
    assert "tokenizer_config.json says" in casing.warnings[0]


@pytest.mark.parametrize(("pieces", "flag", "warned"), [(LOWER, False, 0), (MIXED, True, 1)])
def test_flag_against_sentencepiece_pieces(make, pieces, flag, warned):
    """The model may fold case itself; but upper-case pieces are lost on lower-cased text."""
    model = make(pieces, kind=SentencePieceModel)
    assert len(decide_lower_case(flag, model).warnings) == warned


def test_flag_in_agreement_is_silent(make):
    assert decide_lower_case(False, make(MIXED)).warnings == []
    assert decide_lower_case(True, make(LOWER, {"do_lower_case": True})).warnings == []


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        ({"strip_accents": False}, True),
        ({"strip_accents": True}, False),
        ({"strip_accents": None}, False),
        ({"tokenize_chinese_chars": False}, True),
        ({"keep_accents": True}, True),
    ],
)
def test_settings_that_are_not_followed(make, config, warned):
    warnings = decide_lower_case(True, make(LOWER, config)).warnings
    assert [f"says {next(iter(config))}" in warning for warning in warnings] == [True] * warned


@pytest.mark.parametrize("content", ["{", "[]", '{"do_lower_case": "yes"}', "\udcff"])
def test_broken_configuration(make, content):
    vocabulary = make(LOWER)
    path = vocabulary.path.parent / "tokenizer_config.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match="beside the vocabulary"):
        decide_lower_case(None, vocabulary)


def test_real_vocabularies():
    expected = {"uncased_en": True, "cased_en": False, "multi_cased": False, "chinese": True}
    for name, lower_case in expected.items():
        vocabulary = read_wordpiece(material(f"wordpiece/{name}/vocab.txt"))
        assert decide_lower_case(None, vocabulary).lower_case is lower_case
