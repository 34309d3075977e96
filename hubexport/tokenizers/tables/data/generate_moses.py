"""Writes moses.json: the characters and words that the rules of Moses tokenizers speak of.

    python hubexport/tokenizers/tables/data/generate_moses.py

Classes of characters and non-breaking prefixes are those of the package `sacremoses`. White space,
digits, control characters and lower case are those of the Python that runs this, since the
tokenizers that are to be followed are written in Python.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOSES = Path(__file__).with_name("moses.json")
_SIGMA = "\u03a3"


def moses() -> dict[str, Any]:
    """The content of moses.json; ranges are [first, last], keys of maps are hexadecimal."""
    import sacremoses

    tokenizer = sacremoses.MosesTokenizer("en")
    korean = sacremoses.MosesTokenizer("ko")
    sets = {
        "alphanumeric": map(ord, tokenizer.IsAlnum),
        "alphabetic": map(ord, tokenizer.IsAlpha),
        "hangul": map(ord, set(korean.IsAlnum) - set(tokenizer.IsAlnum)),
        "lower": map(ord, tokenizer.IsLower),
        "number": map(ord, tokenizer.IsN),
        "white_space": _where(str.isspace),
        "digit": _where(lambda c: unicodedata.category(c) == "Nd"),
        "other": _where(lambda c: unicodedata.category(c).startswith("C")),
        "cased": _where(_is_cased),
        "case_ignorable": _where(lambda c: _is_final("A" + c) and not _is_cased(c)),
    }
    return {
        "sacremoses": sacremoses.__version__,
        "unicode": unicodedata.unidata_version,
        **{name: _ranges(set(members)) for name, members in sets.items()},
        "lower_case": _changed(str.lower),
        "lower_case_without_accents": _changed(_lower_without_accents),
        "prefixes": {language: _prefixes(language) for language in _languages()},
    }


def _prefixes(language: str) -> dict[str, list[str]]:
    """The words whose period stays with them: always, or in front of digits."""
    import sacremoses

    tokenizer = sacremoses.MosesTokenizer(language)
    numeric = set(tokenizer.NUMERIC_ONLY_PREFIXES)
    always = set(tokenizer.NONBREAKING_PREFIXES) - numeric
    # One with a space in it cannot be a word of a text.
    return {
        "always": sorted(prefix for prefix in always if len(prefix.split()) == 1),
        "before_digits": sorted(prefix for prefix in numeric if len(prefix.split()) == 1),
    }


def _languages() -> list[str]:
    """The languages with a list of their own; all others have that of English."""
    from sacremoses.corpus import NonbreakingPrefixes

    return sorted(set(NonbreakingPrefixes().available_langs.values()))


def _lower_without_accents(character: str) -> str:
    decomposed = unicodedata.normalize("NFD", character.lower())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn").lower()


def _is_final(before: str) -> bool:
    """Whether a capital sigma behind this has the form that a word ends in."""
    return (before + _SIGMA).lower().endswith("\u03c2")


def _is_cased(character: str) -> bool:
    """Whether it is cased, and does not count as absent next to a sigma."""
    return _is_final(character)


def _changed(function: Callable[[str], str]) -> dict[str, str]:
    """The characters that a function changes; without Hangul syllables, which follow a rule."""
    return {
        f"{ord(c):x}": function(c)
        for c in _characters()
        if function(c) != c and not 0xAC00 <= ord(c) <= 0xD7A3
    }


def _where(condition: Callable[[str], bool]) -> list[int]:
    return [ord(c) for c in _characters() if condition(c)]


def _characters() -> list[str]:
    return [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]


def _ranges(code_points: set[int]) -> list[list[int]]:
    from hubexport.tokenizers.tables.characters import ranges

    return [list(pair) for pair in ranges(code_points)]


def main() -> None:
    """Writes the file, one entry a line."""
    rows = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in moses().items()]
    MOSES.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
