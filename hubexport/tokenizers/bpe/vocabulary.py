"""The vocabularies of byte pair encoding (BPE), `vocab.json` or `encoder.json`: piece -> id."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import VocabularyError, some_of

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_vocabulary(path: str | Path) -> dict[str, int]:
    """`vocab.json` or `encoder.json`: an object of piece -> id.

    Raises:
      VocabularyError: the file cannot be read, or is not of this form.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path, "vocabulary"))
    except (ValueError, RecursionError) as error:
        raise VocabularyError(
            "the vocabulary is not JSON",
            [("vocabulary", str(path)), ("found", str(error))],
            "pass the vocab.json (or encoder.json) that was published with the checkpoint.",
        ) from error
    return vocabulary_of(content, str(path))


def vocabulary_of(content: Any, source: str) -> dict[str, int]:
    """Checks what was parsed from JSON to be an object of piece -> id.

    Raises:
      VocabularyError: it is not.
    """
    if not isinstance(content, dict) or not content:
        raise VocabularyError(
            "the vocabulary is not an object of pieces and ids",
            [("vocabulary", source), ("found", kind_of(content))],
            'pass a file like {"hello": 0, "world": 1}.',
        )
    wrong = [
        f"{piece!r}: {number!r}"
        for piece, number in content.items()
        if type(number) is not int or number < 0 or not is_text(piece)
    ]
    if wrong:
        raise VocabularyError(
            "the vocabulary has entries that are not a piece and its id",
            [("vocabulary", source), ("found", some_of(wrong))],
            "pass the file as it was published with the checkpoint.",
        )
    return content


def pieces_by_id(
    vocabulary: Mapping[str, int], source: str, added: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """The pieces in the order of their ids.

    Args:
      vocabulary: piece -> id.
      source: what to call the files in an error.
      added: literal -> id of added tokens, which may fill gaps in the vocabulary.

    Raises:
      VocabularyError: an id is missing below the vocabulary's last, or belongs to two pieces.
    """
    pieces: dict[int, str] = {}
    twice = []
    for piece, number in vocabulary.items():
        if pieces.setdefault(number, piece) != piece:
            twice.append(f"{number} is of {pieces[number]!r} and {piece!r}")
    for literal, number in (added or {}).items():
        if number <= max(pieces):
            pieces.setdefault(number, literal)
    count = max(pieces) + 1
    # The gaps are only listed if there are few enough ids to go through.
    problems = [("ids of two pieces", some_of(twice))] if twice else []
    if count != len(pieces):
        gaps = [str(i) for i in range(min(count, 2 * len(pieces))) if i not in pieces]
        problems.append(
            (
                "ids without a piece",
                f"{count - len(pieces):,}" + (f": {some_of(gaps)}" if gaps else ""),
            )
        )
    if problems:
        raise VocabularyError(
            "the vocabulary's ids are not 0, 1, 2, ... without gaps",
            [("vocabulary", f"{source} ({len(vocabulary):,} pieces)"), *problems],
            "pass the file as it was published with the checkpoint.",
        )
    return tuple(pieces[number] for number in range(count))


def read_text(path: Path, name: str) -> str:
    """A file's text.

    Raises:
      VocabularyError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VocabularyError(
            f"the {name} cannot be read",
            [(name, str(path)), ("found", getattr(error, "strerror", None) or str(error))],
            "pass the files of the vocabulary as they were published with the checkpoint.",
        ) from error


def is_text(value: Any) -> bool:
    """Whether it is a string, not empty, that UTF-8 can hold: JSON may have lone surrogates."""
    return isinstance(value, str) and bool(value) and not _SURROGATE.search(value)


def kind_of(content: Any) -> str:
    """What was parsed from JSON, in words."""
    size = f" of {len(content):,}" if hasattr(content, "__len__") else ""
    return f"{type(content).__name__}{size}"
