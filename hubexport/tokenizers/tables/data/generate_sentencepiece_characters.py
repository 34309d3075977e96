"""Writes sentencepiece_characters.json from the installed Rust `tokenizers`.

    python hubexport/tokenizers/tables/data/generate_sentencepiece_characters.py

Everything is found out by asking the package what it does to each code point, so that its own
Unicode version counts and not that of Python.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from hubexport.tokenizers.tables.characters import CODE_POINTS, ranges
from hubexport.tokenizers.tables.sentencepiece_proto import build_charsmap

SENTENCEPIECE_CHARACTERS = Path(__file__).with_name("sentencepiece_characters.json")

_HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic


def sentencepiece_characters() -> dict[str, Any]:
    """What `hubexport.tokenizers.tables.sentencepiece_characters` reads."""
    from tokenizers import normalizers, pre_tokenizers

    strip = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()])
    stripped = {c: strip.normalize_str(chr(c)) for c in CODE_POINTS if c not in _HANGUL}
    lower = {c: normalizers.Lowercase().normalize_str(chr(c)) for c in CODE_POINTS}
    split = pre_tokenizers.WhitespaceSplit().pre_tokenize_str
    return {
        "tokenizers": importlib.metadata.version("tokenizers"),
        "dropped": ranges(c for c, text in stripped.items() if not text),
        "decomposed": _lines(stripped),
        "lower_case": _lines(lower),
        "white_space": ranges(c for c in CODE_POINTS if not split(chr(c))),
        **_graphemes(),
    }


def _lines(replacements: dict[int, str]) -> list[str]:
    """Each changed character with what stands in its place, which is not empty."""
    return [chr(c) + text for c, text in replacements.items() if text and text != chr(c)]


def _graphemes() -> dict[str, Any]:
    """How characters form grapheme clusters, seen through a character map.

    The `Precompiled` normalizer gives a short cluster the replacement of its first match and
    drops the rest: where that happens, there is a cluster.
    """
    from tokenizers import normalizers

    def replaced(key: str, text: str) -> bool:
        charsmap = build_charsmap({key.encode(): b"X"})
        return normalizers.Precompiled(charsmap).normalize_str(text) == "X"

    base = normalizers.Precompiled(build_charsmap({b"a": b"X"})).normalize_str
    extending = [c for c in CODE_POINTS if base("a" + chr(c)) == "X"]
    # Clusters of six bytes and more are not looked at: characters of four have no followers.
    short = [c for c in CODE_POINTS if c < 0x10000 and c]
    prepended = [c for c in short if replaced(chr(c), chr(c) + "a")]
    apart = [c for c in short if not replaced(chr(c), chr(c) + "\u0301")]
    return {
        "extending": ranges(extending),
        "prepended": ranges(prepended),
        "apart": ranges(apart),
    }


def main() -> None:
    """Writes the table."""
    # One entry per line: a new version is a diff of a few lines.
    entries = []
    for name, value in sorted(sentencepiece_characters().items()):
        text = json.dumps(value)
        if isinstance(value, list) and isinstance(value[0], str):
            text = json.dumps(value, indent=0)
        entries.append(f"{json.dumps(name)}: {text}")
    SENTENCEPIECE_CHARACTERS.write_text("{\n" + ",\n".join(entries) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
