"""The stored answers of `tokenizers` are those of the installed one, and add up to its own."""

import json

import pytest

from hubexport.tokenizers.tables.data import generate_sentencepiece_characters
from hubexport.tokenizers.tables.sentencepiece_characters import sentencepiece_characters

tokenizers = pytest.importorskip("tokenizers")
normalizers = tokenizers.normalizers
STORED = sentencepiece_characters()
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

pytestmark = pytest.mark.skipif(
    STORED.version != tokenizers.__version__,
    reason=f"the stored tables are those of tokenizers {STORED.version}",
)


@pytest.mark.exhaustive
def test_generating_again_gives_the_same():
    stored = generate_sentencepiece_characters.SENTENCEPIECE_CHARACTERS.read_text("utf-8")
    made = generate_sentencepiece_characters.sentencepiece_characters()
    assert json.loads(stored) == json.loads(json.dumps(made))


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_the_tables_are_the_steps(step):
    strip = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()]).normalize_str
    lower = normalizers.Lowercase().normalize_str
    for c in ALL[::step]:
        assert strip(chr(c)) == STORED.stripped.get(c, chr(c)), hex(c)
        assert lower(chr(c)) == STORED.lower_case.get(c, chr(c)), hex(c)


def test_no_replacement_is_too_long_for_the_op():
    assert max(len(text.encode()) for text in STORED.stripped.values()) <= 63


def test_classes():
    assert {0x20, 0x85, 0xA0, 0x3000} <= STORED.white_space
    assert not {0x200B, 0x1C, 0x2581} & STORED.white_space
    assert {0x301, 0x93F, 0x200D, 0x1F3FB} <= STORED.extending
    assert 0x600 in STORED.prepended
    assert {0, 0xA, 0xAD, 0x200B} <= STORED.apart
