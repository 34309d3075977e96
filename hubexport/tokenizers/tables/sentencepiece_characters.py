"""What Hugging Face's SentencePiece-like tokenizers do to single characters.

The tables are those of the Rust package `tokenizers` itself: see
data/generate_sentencepiece_characters.py.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from hubexport.tokenizers.tables.characters import members

_DATA = Path(__file__).with_name("data") / "sentencepiece_characters.json"
# Unicode, section 3.12: Hangul syllables are made of 19 leading, 21 vowel and 28 trailing jamo.
_HANGUL, _LEADING, _VOWEL, _TRAILING = range(0xAC00, 0xD7A4), 0x1100, 0x1161, 0x11A7


class SentencePieceCharacters(NamedTuple):
    """Attributes:

    version: of `tokenizers`.
    stripped: code point -> its compatibility decomposition (NFKD) without accents, of those that
      this changes.
    lower_case: code point -> lower case, of those that this changes.
    white_space: code points at which text is split into words.
    extending, prepended: code points that belong to the grapheme cluster of the character in
      front of them, behind them.
    apart: code points that nothing extends.
    """

    version: str
    stripped: dict[int, str]
    lower_case: dict[int, str]
    white_space: frozenset[int]
    extending: frozenset[int]
    prepended: frozenset[int]
    apart: frozenset[int]


@functools.cache
def sentencepiece_characters() -> SentencePieceCharacters:
    """The tables, read once."""
    data: dict[str, Any] = json.loads(_DATA.read_text("utf-8"))
    stripped = {c: _jamo(c) for c in _HANGUL}
    stripped |= dict.fromkeys(members(data["dropped"]), "")
    stripped |= {ord(line[0]): line[1:] for line in data["decomposed"]}
    return SentencePieceCharacters(
        data["tokenizers"],
        stripped,
        {ord(line[0]): line[1:] for line in data["lower_case"]},
        members(data["white_space"]),
        members(data["extending"]),
        members(data["prepended"]),
        members(data["apart"]) | {0},
    )


def _jamo(syllable: int) -> str:
    rest, trailing = divmod(syllable - _HANGUL.start, 28)
    leading, vowel = divmod(rest, 21)
    jamo = chr(_LEADING + leading) + chr(_VOWEL + vowel)
    return jamo + chr(_TRAILING + trailing) if trailing else jamo
