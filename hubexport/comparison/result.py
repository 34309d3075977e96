"""A comparison of two artifacts: every difference, by kind."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from hubexport.comparison.changes import Change
from hubexport.comparison.outputs import Outputs
from hubexport.comparison.variables import Variables

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What differs between a and b; `is_equal` where nothing does.

    Attributes:
      a, b: what was compared, as it was named.
      configuration: fields of the records, but those of the key report.
      key_report: which tensor of the checkpoint fills which variable, and what was skipped.
      variables: shapes, dtypes, values.
      program: signatures, objects, ops, functions, versions of TensorFlow.
      assets: files beside graph and variables.
      outputs: for a reference's inputs; None without a reference.
      page: lines of a unified diff of the pages.
      notes: what was not compared, and why.
    """

    a: str
    b: str
    configuration: tuple[Change, ...]
    key_report: tuple[Change, ...]
    variables: Variables
    program: tuple[Change, ...]
    assets: tuple[Change, ...]
    outputs: Outputs | None
    page: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (
            self.configuration
            or self.key_report
            or self.variables.changes
            or self.program
            or self.assets
            or (self.outputs and self.outputs.changes)
            or self.page
        )

    def record(self) -> dict[str, Any]:
        """Everything, for JSON; numbers that JSON does not know are words ("inf")."""
        fields = {
            "format": FORMAT,
            "a": self.a,
            "b": self.b,
            "equal": self.is_equal,
            "configuration": [each.record() for each in self.configuration],
            "key_report": [each.record() for each in self.key_report],
            "variables": self.variables.record(),
            "program": [each.record() for each in self.program],
            "assets": [each.record() for each in self.assets],
            "outputs": self.outputs and self.outputs.record(),
            "page": list(self.page),
            "notes": list(self.notes),
        }
        plain: dict[str, Any] = _plain(fields)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
