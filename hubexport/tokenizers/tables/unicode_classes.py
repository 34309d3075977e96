"""Letters, numbers and white space of the regular expressions in Hugging Face's tokenizers."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TypedDict

from hubexport.tokenizers.tables.characters import members

_DATA = Path(__file__).parent / "data" / "unicode_classes.json"


class _Classes(TypedDict):
    tokenizers: str
    letters: list[tuple[int, int]]
    numbers: list[tuple[int, int]]
    white_space: list[tuple[int, int]]


def letters() -> frozenset[int]:
    r"""Code points of \p{L}."""
    return members(_classes()["letters"])


def numbers() -> frozenset[int]:
    r"""Code points of \p{N}."""
    return members(_classes()["numbers"])


def white_space() -> frozenset[int]:
    r"""Code points of \s."""
    return members(_classes()["white_space"])


def version() -> str:
    """The version of `tokenizers` that was asked."""
    return _classes()["tokenizers"]


@functools.cache
def _classes() -> _Classes:
    classes: _Classes = json.loads(_DATA.read_text("utf-8"))
    return classes
