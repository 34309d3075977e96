"""Validation results in an artifact's record: short, and never of another artifact."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError
from hubexport.saved_model.identity import artifact_identity, file_digests
from hubexport.saved_model.record import load_record, replace_record
from hubexport.validation.report import Report
from hubexport.validation.results import GateResult

_FIGURE = re.compile(r"[^:]+: (?P<output>.+), (?P<kind>relative Frobenius|max abs)")
_KEYS = {"relative Frobenius": "relative_frobenius", "max abs": "max_abs"}


def add_to_record(directory: Path, reports: list[Report]) -> dict[str, Any]:
    """Writes reports into the record; an older one of the same device and runtime is replaced.

    Args:
      directory: the artifact.
      reports: of this artifact.

    Returns:
      The new record.

    Raises:
      HubexportError: the artifact has no record, or a report is of another artifact.
    """
    record = load_record(directory)
    identity = artifact_identity(directory)
    for report in reports:
        _check_identity(directory, identity, report)
    entries = {_key(entry): entry for entry in record.get("validation", [])}
    files = file_digests(directory)
    for report in reports:
        entry = {**summary(report), "files": files}
        entries[_key(entry)] = entry
    record["validation"] = list(entries.values())
    return replace_record(directory, record)


def summary(report: Report) -> dict[str, Any]:
    """What a record keeps of a report: of each gate the worst, of each output its errors."""
    fields = report.record()
    kept = ("runtime", "device", "hardware", "precisions", "versions", "reference", "created")
    return {
        **{name: fields[name] for name in kept},
        "passed": report.passed,
        "gates": [_gate(gate) for gate in report.gates],
    }


def _gate(gate: GateResult) -> dict[str, Any]:
    worst = gate.worst
    fields: dict[str, Any] = {
        "name": gate.name,
        "status": gate.status,
        "seconds": round(gate.seconds, 1),
        "measurements": len(gate.measurements),
        "failures": len(gate.failures),
        "worst": GateResult("", gate.status, (worst,)).record()["measurements"][0]
        if worst
        else None,
        "detail": gate.detail,
    }
    if outputs := _outputs(gate):
        fields["outputs"] = outputs
    return fields


def _outputs(gate: GateResult) -> dict[str, dict[str, float | str]]:
    """Output -> its largest error of each kind, over all cases; "nan" and "inf" are words."""
    found: dict[str, dict[str, float]] = {}
    for each in gate.measurements:
        match = _FIGURE.fullmatch(each.what)
        if match and isinstance(each.figure, int | float):
            errors = found.setdefault(match["output"], {})
            key = _KEYS[match["kind"]]
            before, figure = errors.get(key, 0.0), float(each.figure)
            errors[key] = figure if math.isnan(figure) or figure > before else before
    return {
        output: {
            key: value if math.isfinite(value) else str(value) for key, value in errors.items()
        }
        for output, errors in found.items()
    }


def _key(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return entry["runtime"], entry["device"], entry["hardware"]


def _check_identity(directory: Path, identity: Mapping[str, str], report: Report) -> None:
    theirs = report.artifact
    other = [
        f"{name} {theirs.get(name, 'absent')[:12]}, here {identity.get(name, 'absent')[:12]}"
        for name in sorted({*identity, *theirs})
        if identity.get(name) != theirs.get(name)
    ]
    if other:
        raise HubexportError(
            "the report is of another artifact",
            [("artifact", str(directory)), *(("SHA-256 of", each) for each in other)],
            "validate this artifact, or pass the one that the report was made for.",
        )
