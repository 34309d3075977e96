"""What a validation found, as a file and as a table. Needs numpy's scalars at most, no TensorFlow.

`docs/validation.md` documents the file.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError
from hubexport.validation.results import FAILED, PASSED, GateResult

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Report:
    """One run of gates on one device.

    Attributes:
      artifact: see `identity.artifact_identity`.
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
    # Numbers that are not finite are words already: Infinity and NaN are no JSON.
    text = json.dumps(report.record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(".partial", f".{path.name[:40]}.", path.parent)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
        partial = None
    except OSError as error:
        raise HubexportError(
            "the report cannot be written",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "choose a path that you may write to.",
        ) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)


def read_report(path: Path) -> Report:
    """Reads what `write_report` wrote.

    Raises:
      HubexportError: there is no such file, it is damaged, or of another version.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
        if not isinstance(fields, dict):
            raise TypeError("JSON that is no object")
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
        raise TypeError(f"{name}: {value!r}, which is no string")
    return value


def _mapping(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name}: {value!r}, which is no object")
    return value


def _words(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    value = _mapping(fields, name)
    return {key: _word(value, key) for key in value}
