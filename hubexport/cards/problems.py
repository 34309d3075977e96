"""What is wrong in files of model cards: where, what, and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError

_SHOWN_PROBLEMS = 40  # of one report; the rest is counted
_SHOWN = 80  # of a value that a message repeats


@dataclasses.dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; line and column are counted from 1."""

    line: int
    column: int


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong.

    Attributes:
      path: the file.
      mark: where in it.
      key: the path of the key in the card, such as `papers[1]`; empty for the file as a whole.
      message: what was found, and what is needed.
    """

    path: Path
    mark: Mark
    key: str
    message: str


class CardError(HubexportError):
    """Files of model cards that cannot be used as they are.

    Attributes:
      problems: all that was found, in reading order.
    """

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(set(problems)))
        facts = [
            (
                f"{problem.path.name}, line {problem.mark.line}, column {problem.mark.column}",
                f"{problem.key}: {problem.message}" if problem.key else problem.message,
            )
            for problem in self.problems[:_SHOWN_PROBLEMS]
        ]
        if len(self.problems) > _SHOWN_PROBLEMS:
            facts.append(("and", f"{len(self.problems) - _SHOWN_PROBLEMS} more"))
        super().__init__(
            "the model cards cannot be used", facts, "fix these; docs/model_cards.md has the keys."
        )


def shown(value: Any) -> str:
    """A value as messages repeat it: of bounded length, whatever a page made it.

    Values read from YAML can refer to themselves or hold numbers of thousands of digits, so that
    repr() is not an option for anything but short scalars.
    """
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "...")
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**20 else "a number of over 20 digits"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"a {type(value).__name__}"


def nearest(value: str, allowed: Collection[str]) -> str | None:
    """A suggestion: the allowed value that looks most like `value`, or None where none does."""
    by_key = {_key(candidate): candidate for candidate in allowed}
    found = difflib.get_close_matches(_key(value[:_SHOWN]), list(by_key), n=1, cutoff=0.6)
    return f"did you mean {by_key[found[0]]!r}?" if found else None


def hint(text: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?`, to end a message with, or nothing where no known word is like it."""
    found = nearest(text, known)
    return f"; {found}" if found else ""


def _key(value: str) -> str:
    return "".join(character for character in value.lower() if character.isalnum())
