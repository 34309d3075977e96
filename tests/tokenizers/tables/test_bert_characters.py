"""The stored answers of `tokenizers` are those of the installed one, and add up to its own."""

import json

import pytest

from hubexport.tokenizers.tables import bert_characters
from hubexport.tokenizers.tables.data import generate_bert_characters

tokenizers = pytest.importorskip("tokenizers")
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]

pytestmark = pytest.mark.skipif(
    f"tokenizers {tokenizers.__version__}" != bert_characters.SOURCE,
    reason=f"the stored tables are those of {bert_characters.SOURCE}",
)


@pytest.mark.exhaustive
def test_generating_again_gives_the_same():
    stored = generate_bert_characters.BERT_CHARACTERS.read_text("utf-8")
    assert json.loads(stored) == generate_bert_characters.bert_characters()


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "step"),
    [
        (True, True, 7),
        *(
            pytest.param(*settings, 1, marks=pytest.mark.exhaustive)
            for settings in ((True, True), (True, False), (False, True), (False, False))
        ),
    ],
)
def test_the_steps_add_up_to_the_normalizer(lowercase, strip_accents, step):
    normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=False,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    changed = bert_characters.normalized(lowercase, strip_accents)
    for character in CHARACTERS[::step]:
        expected = changed.get(ord(character), character)
        assert normalizer.normalize_str(character) == expected, character


def test_white_space_is_dropped_or_becomes_a_space():
    spaces = {c for c, text in bert_characters.normalized(False, False).items() if text == " "}
    kept = bert_characters.white_space() - bert_characters.removed()
    assert kept == spaces | {0x20}


def test_characters_that_are_reordered_are_those_with_a_combining_class():
    """U+302E (class 224) and U+1D165 (216) are spacing marks: swapped, and not dropped."""
    normalizer = tokenizers.normalizers.BertNormalizer(strip_accents=True)
    assert normalizer.normalize_str("\u302e\U0001d165") == "\U0001d165\u302e"
    assert {0x302E, 0x1D165} <= bert_characters.reordered()
    assert not bert_characters.reordered() & {0x41, 0x301, 0xE9}
