"""The stored classes of code points against the package that they come from."""

import json
import unicodedata

import pytest

from hubexport.tokenizers.tables import unicode_classes
from hubexport.tokenizers.tables.characters import members
from hubexport.tokenizers.tables.data import generate_unicode_classes


@pytest.mark.exhaustive
def test_generated_again_they_are_the_same():
    tokenizers = pytest.importorskip("tokenizers")
    if tokenizers.__version__ != unicode_classes.version():
        pytest.skip(f"the table is of tokenizers {unicode_classes.version()}")
    stored = json.loads(generate_unicode_classes.UNICODE_CLASSES.read_text("utf-8"))
    generated = json.loads(json.dumps(generate_unicode_classes.classes()))
    assert generated == stored


def test_they_do_not_overlap():
    classes = [unicode_classes.letters(), unicode_classes.numbers(), unicode_classes.white_space()]
    assert sum(map(len, classes)) == len(frozenset.union(*classes))


@pytest.mark.parametrize(
    ("characters", "category"),
    [
        (unicode_classes.letters(), "L"),
        (unicode_classes.numbers(), "N"),
    ],
)
def test_they_are_the_general_categories_of_some_unicode_version(characters, category):
    """All that this Python's older Unicode assigns must be equal."""
    of_python = {c for c in range(0x110000) if unicodedata.category(chr(c)).startswith(category)}
    differing = {c for c in characters ^ of_python if unicodedata.category(chr(c)) != "Cn"}
    assert not differing


def test_white_space_is_unicodes_property():
    expected = members(
        [(9, 13), (32, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)]
        + [(0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]
    )
    assert unicode_classes.white_space() == expected
