"""The stored characters and words of Moses' rules, against where they come from."""

import json
import unicodedata

import pytest

from hubexport.tokenizers.tables import moses_characters
from hubexport.tokenizers.tables.data import generate_moses


@pytest.mark.exhaustive
def test_stored_data_are_what_the_generator_writes():
    sacremoses = pytest.importorskip("sacremoses")
    installed = {
        "sacremoses": sacremoses.__version__,
        "unicode": unicodedata.unidata_version,
    }
    if installed != moses_characters.versions():
        pytest.skip(f"stored for {moses_characters.versions()}, installed: {installed}")
    stored = json.loads(generate_moses.MOSES.read_text("utf-8"))
    assert json.loads(json.dumps(generate_moses.moses())) == stored


def test_hangul_follows_its_rule():
    replacements = moses_characters.lower_case_without_accents()
    for syllable in range(0xAC00, 0xD7A4):
        expected = unicodedata.normalize("NFD", chr(syllable))
        assert replacements[syllable] == expected, hex(syllable)


def test_lower_case_of_single_characters():
    lower = moses_characters.lower_case()
    assert lower[ord("A")] == "a"
    assert lower[ord("İ")] == "i\u0307"
    assert ord("a") not in lower
    assert moses_characters.lower_case_without_accents()[ord("É")] == "e"


def test_prefixes_of_languages_without_a_list_are_english():
    english = moses_characters.prefixes("en")
    assert "Mr" in english.always
    assert "No" in english.before_digits
    assert "No" not in english.always
    assert moses_characters.prefixes("tr") == english
    assert moses_characters.prefixes("de") != english
