"""What a gate found: measurements, each with its limit, and whether they hold."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"

_LONGEST = 300
_OF_NODE = re.compile(r"^(.+)\n\s*\[\[\{\{", re.MULTILINE)

Value = float | int | str | None


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One thing that was looked at.

    Attributes:
      what: a phrase: "ragged: encoder_outputs[3], relative Frobenius".
      passed: whether it holds.
      figure: what was found: a number, or words; None where `what` says it all.
      limit: what it may be at most (a number), or should be (words); None as above.
    """

    what: str
    passed: bool
    figure: Value = None
    limit: Value = None

    @property
    def strain(self) -> float:
        """How near a number is to its limit: 1 at the limit; 0 where there are no numbers."""
        if not isinstance(self.figure, int | float) or not isinstance(self.limit, int | float):
            return 0.0 if self.passed else math.inf
        if math.isnan(self.figure):
            return math.inf
        return self.figure / self.limit if self.limit else (0.0 if self.passed else math.inf)


@dataclasses.dataclass(frozen=True)
class GateResult:
    """What one gate says.

    Attributes:
      name: of the gate; one that runs for several precisions says which in brackets.
      status: `PASSED`, `FAILED` or `NOT_RUN`.
      measurements: everything that was looked at.
      detail: for people: what the figures mean, what is probably wrong, or why it was not run.
      seconds: how long it took.
    """

    name: str
    status: str
    measurements: tuple[Measurement, ...] = ()
    detail: str = ""
    seconds: float = 0.0

    @property
    def failures(self) -> list[Measurement]:
        """The measurements that do not hold."""
        return [each for each in self.measurements if not each.passed]

    @property
    def worst(self) -> Measurement | None:
        """The measurement to show: the one nearest to its limit, or furthest beyond it."""
        pool = self.failures or [each for each in self.measurements if each.strain]
        return max(pool or self.measurements, key=lambda each: each.strain, default=None)

    def record(self) -> dict[str, Any]:
        """For JSON; a number that JSON does not know becomes words ("nan", "inf")."""
        fields = dataclasses.asdict(self)
        fields["measurements"] = [
            {key: _plain(value) for key, value in vars(each).items()} for each in self.measurements
        ]
        fields["seconds"] = round(self.seconds, 3)
        return fields

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> GateResult:
        """What `record` gave.

        Raises:
          KeyError, TypeError, ValueError: the fields are not of that form.
        """
        measurements = tuple(
            Measurement(
                str(each["what"]),
                bool(each["passed"]),
                _number(each["figure"]),
                _number(each["limit"]),
            )
            for each in fields["measurements"]
        )
        status = fields["status"]
        if status not in (PASSED, FAILED, NOT_RUN):
            raise ValueError(f"status {status!r}")
        return cls(
            str(fields["name"]),
            status,
            measurements,
            str(fields["detail"]),
            float(fields["seconds"]),
        )


def judge(name: str, measurements: Sequence[Measurement], detail: str = "") -> GateResult:
    """A gate's result: passed where every measurement holds.

    Raises:
      ValueError: there are none: a gate that looks at nothing must not pass.
    """
    if not measurements:
        raise ValueError(f"the gate {name!r} measured nothing")
    status = PASSED if all(each.passed for each in measurements) else FAILED
    return GateResult(name, status, tuple(measurements), detail)


def not_run(name: str, why: str) -> GateResult:
    """The result of a gate that had nothing to work on."""
    return GateResult(name, NOT_RUN, detail=why)


def at_most(what: str, figure: float, limit: float) -> Measurement:
    """A number that may be so large at most; a NaN never is."""
    return Measurement(what, bool(figure <= limit), float(figure), float(limit))


def failure(what: str, error: BaseException) -> Measurement:
    """What did not work, with the line of the error that says why."""
    return Measurement(what, False, in_a_line(error))


def in_a_line(error: BaseException) -> str:
    """What an error says: of those of graphs the line in front of the node's name, or the first."""
    of_node = _OF_NODE.search(str(error))
    lines = [of_node[1]] if of_node else str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip() if lines else ''}"[:_LONGEST]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Value:
    if value is None or isinstance(value, int | float):
        return value
    return float(value) if value in ("nan", "inf", "-inf") else str(value)
