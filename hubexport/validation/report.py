"""What a validation found, as a file and as a table. Needs numpy's scalars at most, no TensorFlow.

`docs/validation.md` documents the file.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError
from hubexport.files import replaced
from hubexport.validation.results import FAILED, NOT_RUN, PASSED, GateResult, Measurement, Value

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Report:
    """One run of gates on one device.

    Attributes:
      artifact: see `saved_model.identity.artifact_identity`.
      runtime: `tensorflow` or `pjrt`.
      device: `cpu`, `gpu`, ...: what the runtime calls the platform.
      hardware: the device's own name.
      versions: package -> version, `hubexport` among them.
      reference: where the reference outputs come from, as in its file; None where there were none.
      created: when, UTC: `2026-11-21T06:30:07Z`.
      gates: what they say, in the order they ran.
      precisions: how matrices were multiplied: label -> a key of `tolerance.UNIT_ROUNDOFF`; empty
        where the gates' names say all.
      information: what was seen beside the gates and is not judged: times, notes.
    """

    artifact: Mapping[str, str]
    runtime: str
    device: str
    hardware: str
    versions: Mapping[str, str]
    reference: Mapping[str, Any] | None
    created: str
    gates: Sequence[GateResult]
    precisions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    information: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no gate failed, and at least one ran."""
        statuses = [gate.status for gate in self.gates]
        return FAILED not in statuses and PASSED in statuses

    def record(self) -> dict[str, Any]:
        """For JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["gates"] = [gate.record() for gate in self.gates]
        return {"format_version": FORMAT_VERSION, **fields, "passed": self.passed}

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> Report:
        """What `record` gave.

        Raises:
          KeyError, TypeError, ValueError: the fields are not of that form, or contradict each
            other.
        """
        if fields["format_version"] != FORMAT_VERSION:
            found = fields["format_version"]
            raise ValueError(f"format_version {found!r}, this program reads {FORMAT_VERSION}")
        reference = fields["reference"]
        report = cls(
            artifact=_words(fields, "artifact"),
            runtime=_word(fields, "runtime"),
            device=_word(fields, "device"),
            hardware=_word(fields, "hardware"),
            precisions=_words(fields, "precisions"),
            versions=_words(fields, "versions"),
            reference=None if reference is None else _mapping(fields, "reference"),
            created=_word(fields, "created"),
            gates=tuple(GateResult.from_record(gate) for gate in fields["gates"]),
            information=_mapping(fields, "information"),
        )
        if fields["passed"] is not report.passed:
            raise ValueError(f"passed: {fields['passed']!r}, which its gates contradict")
        return report


def now() -> str:
    """The time, for `Report.created`."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_report(report: Report, path: Path) -> None:
    """Writes a report as JSON; the file appears complete or not at all.

    Raises:
      HubexportError: it cannot be written.
    """
    # Numbers that are not finite are words already: Infinity and NaN are not JSON.
    text = json.dumps(report.record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with replaced(path) as partial:
            partial.write_text(text, "utf-8")
    except OSError as error:
        raise HubexportError(
            "the report cannot be written",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "choose a path that you may write to.",
        ) from error


def read_report(path: Path) -> Report:
    """Reads what `write_report` wrote.

    Raises:
      HubexportError: there is no such file, it is damaged, or of another version.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
        if not isinstance(fields, dict):
            raise TypeError("JSON that is not an object")
        return Report.from_record(fields)
    except OSError as error:
        found = error.strerror or str(error)
        cause: Exception = error
    except KeyError as error:
        found, cause = f"no {error.args[0]!r}", error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        found, cause = str(error), error
    raise HubexportError(
        "the report cannot be read",
        [("file", str(path)), ("found", found)],
        "pass a file that `hubexport validate --report` wrote.",
    ) from cause


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r}, which is not a string")
    return value


def _mapping(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name}: {value!r}, which is not an object")
    return value


def _words(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    value = _mapping(fields, name)
    return {key: _word(value, key) for key in value}


_SHOWN = 8  # failures of a gate
_WIDTH = 100
_TICKS = {PASSED: "✓", FAILED: "✗", NOT_RUN: "–"}
_ASCII_TICKS = {PASSED: "+", FAILED: "x", NOT_RUN: "-"}
_FIGURE = re.compile(r"(?P<case>[^:]+): (?P<output>.+), (?P<kind>[^,]+)")
"""`Tolerance.measure`'s name of a figure."""


def render_table(report: Report, encoding: str | None = None) -> str:
    """The table, without a newline at the end.

    Below it: of failed gates what failed, the worst first, and what it means; of passed ones that
    compare outputs, the worst figure of each output.

    Args:
      encoding: of the terminal; sys.stdout's if None. Where it lacks ticks there are ASCII signs.
    """
    ticks = _ticks(encoding)
    names = ("", "gate", "status", "worst figure", "limit", "seconds")
    rows = [names, *(_row(gate, ticks) for gate in report.gates)]
    lines = [*_head(report), "", *_columns(rows)]
    for gate in report.gates:
        lines += _details(gate)
    failed = sum(gate.status == FAILED for gate in report.gates)
    verdict = "passed" if report.passed else f"failed ({failed} of {len(report.gates)} gates)"
    if not report.passed and not failed:
        verdict = "not passed: no gate ran"
    lines += ["", f"{ticks[PASSED if report.passed else FAILED]} {verdict}"]
    return "\n".join(line.rstrip() for line in lines)


def _ticks(encoding: str | None) -> Mapping[str, str]:
    name = encoding or getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "".join(_TICKS.values()).encode(name)
    except (UnicodeEncodeError, LookupError):
        return _ASCII_TICKS
    return _TICKS


def _head(report: Report) -> list[str]:
    digests = ", ".join(f"{name} {digest[:12]}" for name, digest in report.artifact.items())
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    reference = report.reference
    made_by = str(reference.get("made_by", "of unknown origin")) if reference else "none"
    facts = {
        "artifact": digests,
        "runtime": f"{report.runtime} on {report.device}: {report.hardware}",
        "versions": versions,
        "reference": made_by,
    }
    return [f"{name:<10} {value}" for name, value in facts.items()]


def _row(gate: GateResult, ticks: Mapping[str, str]) -> tuple[str, ...]:
    worst = None if gate.status == NOT_RUN else gate.worst
    return (
        ticks[gate.status],
        gate.name,
        gate.status,
        _text(worst.figure) if worst else "",
        _text(worst.limit) if worst else "",
        "" if gate.status == NOT_RUN else f"{gate.seconds:.1f}",
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _details(gate: GateResult) -> list[str]:
    lines: list[str] = []
    if gate.status == FAILED:
        failures = sorted(gate.failures, key=lambda each: each.strain, reverse=True)
        lines += [f"  {_failure(each)}" for each in failures[:_SHOWN]]
        if len(failures) > _SHOWN:
            lines.append(f"  ... ({len(failures) - _SHOWN} more)")
    elif gate.status == PASSED:
        lines += _per_output(gate.measurements)
    if gate.detail:
        indent = "  "
        lines += textwrap.wrap(gate.detail, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return ["", f"{gate.name}: {gate.status}", *lines] if lines else []


def _failure(measurement: Measurement) -> str:
    parts = [measurement.what]
    if measurement.figure is not None:
        parts.append(f"is {_text(measurement.figure)}")
    if measurement.limit is not None:
        at_most = isinstance(measurement.limit, int | float)
        parts.append(f"{'at most' if at_most else 'needed:'} {_text(measurement.limit)}")
    return "; ".join(parts)


def _per_output(measurements: Iterable[Measurement]) -> list[str]:
    """A line for each output: of each kind of figure the one nearest to its limit."""
    worst: dict[str, dict[str, Measurement]] = {}
    for each in measurements:
        if not (match := _FIGURE.fullmatch(each.what)) or not isinstance(each.figure, float):
            continue
        of_output = worst.setdefault(match["output"], {})
        before = of_output.get(match["kind"])
        if before is None or each.strain > before.strain:
            of_output[match["kind"]] = each
    if not worst:
        return []
    kinds = list(dict.fromkeys(kind for of_output in worst.values() for kind in of_output))
    rows = [("  output", *kinds, "of the limit")]
    for output, found in worst.items():
        figures = [_text(found[kind].figure) if kind in found else "" for kind in kinds]
        strain = max(each.strain for each in found.values())
        rows.append((f"  {output}", *figures, f"{strain:.0%}"))
    return _columns(rows)


def _text(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.2e}" if isinstance(value, float) else str(value)
