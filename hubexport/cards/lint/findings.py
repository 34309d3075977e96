"""What a checker of pages has to say: where, which rule, what is wrong and what would be right."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# error: the platform refuses the page, or shows it broken. warning: it is taken, but is not as a
# page should be. note: nothing to fix, something to know.
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a page.

    Attributes:
      line: counted from 1; 0 where what was checked has no lines.
      column: counted from 1; None for the whole line.
      rule: the rule's name, lower case with hyphens.
      message: what was found, and why that is wrong.
      suggestion: what to write instead, where that is known.
      severity: "error", "warning" or "note".
    """

    line: int
    column: int | None
    rule: str
    message: str
    suggestion: str | None = None
    severity: Severity = "error"

    def render(self, name: str) -> str:
        """The finding as one line, as compilers write them: `name:line:column: severity: ...`."""
        place = ":".join(str(part) for part in (name, self.line, self.column) if part)
        proposal = f"; {self.suggestion}" if self.suggestion else ""
        return f"{place}: {self.severity}: {self.message}{proposal} [{self.rule}]"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings from the top of the page to its end, each once."""
    return sorted(
        set(findings), key=lambda found: (found.line, found.column or 0, found.rule, found.message)
    )


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Those for which a page must not be published."""
    return [found for found in findings if found.severity == "error"]


def one_of(allowed: Collection[str], limit: int = 8) -> str:
    """The allowed values as a message lists them: all of a short list, the number of a long one."""
    if len(allowed) <= limit:
        return "one of " + ", ".join(allowed)
    return f"one of {len(allowed)} known values"


def is_number(value: Any) -> bool:
    """Whether a value from JSON or YAML is a finite number, which true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def load_list(name: str) -> dict[str, Any]:
    """A file of allowed values: data/`name`.json, written by data/generate.py."""
    path = Path(__file__).parent / "data" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
