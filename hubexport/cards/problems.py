"""What is wrong in files of model cards: where, what, and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable
from pathlib import Path

from hubexport.errors import HubexportError

_SHOWN_PROBLEMS = 40  # of one report; the rest is counted
_SHOWN_CHARACTERS = 60  # of a value that a message repeats


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
            "the model cards cannot be used", facts, "mend these; docs/model_cards.md has the keys."
        )


def shown(text: str) -> str:
    """A text as messages repeat it: quoted, of bounded length, on one line."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
    return repr(cut)


def nearest(text: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known word resembles the text."""
    by_lower = {word.lower(): word for word in known}
    found = difflib.get_close_matches(text[:100].lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""
