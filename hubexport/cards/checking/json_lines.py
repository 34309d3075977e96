"""On which lines of a JSON file the keys of its object are."""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]


def key_lines(text: str) -> dict[str, int]:
    """The lines, counted from 1, of the keys of the object that `text` is.

    Of a key that is there twice it is the last, whose value Python's reader takes too. Text that is
    no JSON object, or breaks off, gives the keys before that place.
    """
    lines: dict[str, int] = {}
    decoder = json.JSONDecoder()
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        return lines
    position = _skip(text, position + 1)
    try:
        while text[position : position + 1] == '"':
            start = position
            key, position = scanstring(text, position + 1, True)
            position = _skip(text, position)
            if text[position : position + 1] != ":":
                break
            lines[key] = text.count("\n", 0, start) + 1
            _, position = decoder.raw_decode(text, _skip(text, position + 1))
            position = _skip(text, position)
            if text[position : position + 1] == ",":
                position = _skip(text, position + 1)
    except (ValueError, RecursionError):
        pass
    return lines


def _skip(text: str, position: int) -> int:
    """The next position that is not white space."""
    while text[position : position + 1] in (" ", "\t", "\r", "\n") and position < len(text):
        position += 1
    return position
