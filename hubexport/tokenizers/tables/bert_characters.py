"""What the `tokenizers` package's BertNormalizer and BertPreTokenizer do to each code point.

The package decides by Unicode tables of several versions at once, and by ranges of its own. These
are its own answers, stored by data/generate_bert_characters.py.

BertNormalizer cleans text (drops control characters, makes white space a space), pads CJK
characters with spaces, drops non-spacing marks from the text's NFD, and lower-cases, in this order
and each where asked for. Every step looks at one character at a time, NFD's order of several
combining characters apart: see `reordered`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from hubexport.tokenizers.tables.characters import members

_DATA = Path(__file__).parent / "data" / "bert_characters.json"

HANGUL = range(0xAC00, 0xD7A4)
"""The syllables; their decomposition is a rule, Unicode 3.12."""


@functools.cache
def normalized(lowercase: bool, strip_accents: bool) -> dict[int, str]:
    """BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents, lowercase).

    Args:
      lowercase: whether to lower-case.
      strip_accents: whether to decompose (NFD) and drop non-spacing marks.

    Returns:
      Code point -> text, only where that is not the same. Not to be changed: it is shared.
    """
    changed: dict[int, str] = {}
    if strip_accents:
        changed |= {c: _jamo(c) for c in HANGUL}
        changed |= _map("without_marks") | dict.fromkeys(_set("marks"), "")
    if lowercase:
        lower = {chr(c): text for c, text in _map("lower").items()}
        for c, text in changed.items():
            changed[c] = "".join(lower.get(part, part) for part in text)
        changed |= {ord(c): text for c, text in lower.items() if ord(c) not in changed}
    # Cleaning is the first step, and nothing changes a space.
    changed |= dict.fromkeys(white_space() - {0x20}, " ")
    changed |= dict.fromkeys(removed(), "")
    return {c: text for c, text in changed.items() if text != chr(c)}


def removed() -> frozenset[int]:
    """Code points that cleaning drops: controls, formats, private use, U+0000 and U+FFFD."""
    return _set("removed")


def white_space() -> frozenset[int]:
    """Code points that BertPreTokenizer splits at and drops. Some never reach it: `removed`."""
    return _set("white_space")


def punctuation() -> frozenset[int]:
    """Code points that BertPreTokenizer makes words of."""
    return _set("punctuation")


def cjk() -> frozenset[int]:
    """Code points that BertNormalizer(handle_chinese_chars=True) pads with spaces."""
    return _set("cjk")


def reordered() -> frozenset[int]:
    """Code points that NFD may reorder among their neighbours, and that are not dropped.

    They have a combining class but are not non-spacing marks to the package, so that
    `normalized` (with strip_accents) leaves two of them in the order of the text where NFD swaps
    them.
    """
    return _set("reordered")


@functools.cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_DATA.read_text("utf-8"))
    return data


@functools.cache
def _set(name: str) -> frozenset[int]:
    runs = [[int(c, 16) for c in run.split("-")] for run in _data()[name].split()]
    return members((run[0], run[-1]) for run in runs)


@functools.cache
def _map(name: str) -> dict[int, str]:
    return {
        int(c, 16): "".join(chr(int(part, 16)) for part in text.split())
        for c, text in _data()[name].items()
    }


def _jamo(code_point: int) -> str:
    """The parts of a Hangul syllable: 19 leading consonants, 21 vowels, 27 trailing or none."""
    leading, rest = divmod(code_point - HANGUL.start, 21 * 28)
    vowel, trailing = divmod(rest, 28)
    jamo = chr(0x1100 + leading) + chr(0x1161 + vowel)
    return jamo + chr(0x11A7 + trailing) if trailing else jamo


SOURCE: str = _data()["source"] if _DATA.exists() else ""
"""The package and version whose answers these are."""
