"""The characters and words that Moses' rules speak of, from sacremoses and from Python."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hubexport.tokenizers.tables.characters import members, re2_class

_DATA = Path(__file__).parent / "data" / "moses.json"
_SYLLABLES = 0xAC00, 0xD7A3
_JAMO = 0x1100, 0x1161, 0x11A7  # leading, vowel, trailing; the first trailing one means none

Class = Literal[
    "alphanumeric",
    "alphabetic",
    "hangul",
    "lower",
    "number",
    "white_space",
    "digit",
    "other",
    "cased",
    "case_ignorable",
]
"""The first five are sacremoses' lists, the others Python's: `str.isspace`, general category Nd,
general categories C*, and what `str.lower` looks at next to a capital sigma. `hangul` is what
Korean adds to alphanumeric and alphabetic characters."""


class Prefixes(NamedTuple):
    """Words behind which a period is part of the word: always, or in front of ASCII digits."""

    always: tuple[str, ...]
    before_digits: tuple[str, ...]


def re2(*names: Class) -> str:
    """Classes as what stands between the brackets of an RE2 class."""
    return re2_class(c for name in names for c in code_points(name))


@functools.cache
def code_points(name: Class) -> frozenset[int]:
    """The members of a class."""
    return members(_content()[name])


def prefixes(language: str) -> Prefixes:
    """Of a language; those of English for one without a list."""
    lists = _content()["prefixes"]
    found = lists.get(language, lists["en"])
    return Prefixes(tuple(found["always"]), tuple(found["before_digits"]))


def languages() -> frozenset[str]:
    """The languages that have a list of prefixes."""
    return frozenset(_content()["prefixes"])


def lower_case() -> Mapping[int, str]:
    """Python's `str.lower` of each code point by itself that it changes."""
    return _map("lower_case")


def lower_case_without_accents() -> dict[int, str]:
    """Lower case, canonical decomposition, no nonspacing marks (Mn), and lower case again."""
    return {**_map("lower_case_without_accents"), **_hangul_decompositions()}


def versions() -> dict[str, str]:
    """Where it all comes from: of `sacremoses`, and of Unicode in Python."""
    return {name: _content()[name] for name in ("sacremoses", "unicode")}


def _hangul_decompositions() -> dict[int, str]:
    # Source: The Unicode Standard, 3.12, Conjoining Jamo Behavior.
    first, last = _SYLLABLES
    found = {}
    for syllable in range(first, last + 1):
        rest, trailing = divmod(syllable - first, 28)
        jamo = [_JAMO[0] + rest // 21, _JAMO[1] + rest % 21]
        if trailing:
            jamo.append(_JAMO[2] + trailing)
        found[syllable] = "".join(map(chr, jamo))
    return found


@functools.cache
def _map(name: str) -> dict[int, str]:
    return {int(key, 16): value for key, value in _content()[name].items()}


@functools.cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_DATA.read_text("utf-8"))
    return content
