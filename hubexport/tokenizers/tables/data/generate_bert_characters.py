"""Asks the installed `tokenizers` what its BERT parts do to each code point.

    python hubexport/tokenizers/tables/data/generate_bert_characters.py

writes bert_characters.json. Code points are hexadecimal; "a-b" is a range.

    removed, white_space, punctuation, cjk   what the sets of `bert_characters` hold
    lower         code point -> its lower case, where that differs
    without_marks code point -> its NFD without non-spacing marks, where that differs; without
                  Hangul syllables, which decompose by a rule, and the marks themselves
    marks         non-spacing marks, which NFD without them drops
    reordered     code points with a combining class that are not such marks
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from hubexport.tokenizers.tables.bert_characters import HANGUL
from hubexport.tokenizers.tables.characters import CODE_POINTS, ranges

BERT_CHARACTERS = Path(__file__).with_name("bert_characters.json")
_CHARACTERS = [*map(chr, CODE_POINTS)]


def bert_characters() -> dict[str, object]:
    """The tables of the installed version, in the form of bert_characters.json."""
    import tokenizers
    from tokenizers.normalizers import NFD, BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    def changed(**step: bool) -> dict[str, str]:
        """What one step alone does."""
        off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False}
        normalizer = BertNormalizer(**{**off, "lowercase": False, **step})
        results = {c: normalizer.normalize_str(c) for c in _CHARACTERS}
        return {c: result for c, result in results.items() if result != c}

    cleaned = changed(clean_text=True)
    bare = changed(strip_accents=True)
    # White space parts "a" and "a"; punctuation is a word between them.
    split = BertPreTokenizer().pre_tokenize_str
    words = {c: len(split(f"a{c}a")) for c in _CHARACTERS}
    nfd = NFD().normalize_str

    def has_class(c: str) -> bool:
        """Whether NFD moves it past a mark of a lower class, or one of a higher class past it."""
        return nfd(c) == c and (nfd(f"\u0301{c}")[0] == c or nfd(f"{c}\u0334")[0] != c)

    kept = [c for c in _CHARACTERS if bare.get(c) != "" and cleaned.get(c) != ""]
    return {
        "source": f"tokenizers {tokenizers.__version__}",
        "removed": _runs(c for c, result in cleaned.items() if not result),
        "white_space": _runs(c for c, count in words.items() if count == 2),
        "punctuation": _runs(c for c, count in words.items() if count == 3),
        "cjk": _runs(changed(handle_chinese_chars=True)),
        "marks": _runs(c for c, result in bare.items() if not result),
        "reordered": _runs(c for c in kept if has_class(c)),
        "lower": _map(changed(lowercase=True)),
        "without_marks": _map({c: r for c, r in bare.items() if r and ord(c) not in HANGUL}),
    }


def _runs(characters: Iterable[str]) -> str:
    pairs = ranges(map(ord, characters))
    return " ".join(f"{a:04x}" if a == b else f"{a:04x}-{b:04x}" for a, b in pairs)


def _map(changes: dict[str, str]) -> dict[str, str]:
    return {
        f"{ord(c):04x}": " ".join(f"{ord(part):04x}" for part in result)
        for c, result in changes.items()
    }


def main() -> None:
    """Writes the table."""
    # One entry per line: another version is a diff of a few lines.
    BERT_CHARACTERS.write_text(json.dumps(bert_characters(), indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
