"""How numbers and lists look on a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# What begins markup: anywhere, where a word begins or ends, and at the start of a line.
_MARKUP = re.compile(r"[\\`*<\[\]]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)|~(?=~)")
_BLOCK = re.compile(r"^(\d*)([#>+=~.)|-])")


def count(value: int) -> str:
    """28,763,648"""
    return f"{value:,}"


def figure(value: Any) -> str:
    """A measured number with three digits, `1.07e-06`; truth values and texts as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"


def number(value: float) -> str:
    """As a person writes it: 83.2, 12, 0.15; small ones as 3e-05."""
    return f"{value:.12g}"


def mebibytes(value: int) -> str:
    """A number of bytes in a unit that suits it."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value} bytes"


def both(words: Iterable[str]) -> str:
    """a; a and b; a, b and c"""
    listed = list(words)
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def said(words: Iterable[str], phrases: Mapping[str, str]) -> list[str]:
    """What each word stands for."""
    return [phrases[word] for word in words]


def plain(text: str) -> str:
    """A text of people: none of its characters is markup, wherever on the page it stands."""
    return _BLOCK.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", text))


def cell(text: Any) -> str:
    """A text inside a table's row: on one line, without ends of cells."""
    return " ".join(str(text).split()).replace("|", "\\|")


def sentence(text: str) -> str:
    """With a full stop at the end, if it has none of its kind."""
    return text if text.endswith((".", "!", "?", ".)")) else f"{text}."


def upper_first(text: str) -> str:
    """The first letter is a capital; the others stay as they are."""
    return text[:1].upper() + text[1:]


def quoted(text: str) -> str:
    """A text as a literal of Python."""
    return json.dumps(text, ensure_ascii=False)


FILTERS: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        count,
        figure,
        number,
        mebibytes,
        both,
        said,
        plain,
        cell,
        sentence,
        upper_first,
        quoted,
    )
}
