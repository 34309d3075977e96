"""A report for people: a table of the gates, and what they saw."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from hubexport.validation.report import Report
from hubexport.validation.results import FAILED, NOT_RUN, PASSED, GateResult, Measurement, Value

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
