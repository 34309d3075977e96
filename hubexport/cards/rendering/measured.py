"""What validation measured, as the record has it, in the form that pages show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN = ("sequence_output", "pooled_output", "default")
"""Of the encoder's outputs; those of heads are shown, too."""


@dataclass(frozen=True)
class OutputError:
    """The largest errors of one output over all cases."""

    gate: str
    output: str
    relative_frobenius: Any
    max_abs: Any


@dataclass(frozen=True)
class Validation:
    """One run of the gates on one device.

    Attributes:
      entry: as in the record: `runtime`, `device`, `hardware`, `versions`, `reference`, ...
      passed, failed, not_run: names of gates.
      errors: of the outputs that readers use, of every gate that compared them.
      worst: (gate, what, figure, limit) of the measurement nearest to its limit, by gate.
    """

    entry: Mapping[str, Any]
    passed: Sequence[str]
    failed: Sequence[str]
    not_run: Sequence[str]
    errors: Sequence[OutputError]
    worst: Sequence[tuple[str, str, Any, Any]]

    @property
    def day(self) -> str:
        """When, without the time of day."""
        return str(self.entry["created"])[:10]

    @property
    def where(self) -> str:
        """Hardware and program: `Intel(R) Xeon(R), TensorFlow 2.20.0`."""
        versions = self.entry.get("versions") or {}
        programs = [f"{name} {version}" for name, version in sorted(versions.items())]
        return ", ".join([str(self.entry["hardware"]), *programs])


@dataclass(frozen=True)
class Throughput:
    """One figure of `hubexport validate --throughput`.

    Attributes:
      where: device, hardware, program, and the day.
      sequences: what they are, in words.
      batch_size: of the inputs.
      per_second: sequences, of the median run.
    """

    where: str
    sequences: str
    batch_size: int
    per_second: float


def throughputs(record: Mapping[str, Any]) -> list[Throughput]:
    """The entries of a record's `throughput`, in its order."""
    return [_throughput(entry) for entry in record.get("throughput") or []]


def _throughput(entry: Mapping[str, Any]) -> Throughput:
    versions = entry.get("versions") or {}
    programs = [f"{name} {version}" for name, version in sorted(versions.items())]
    where = [str(entry["device"]).upper(), str(entry["hardware"]), *programs]
    if created := entry.get("created"):
        where.append(str(created)[:10])
    length, texts = entry["sequence_length"], entry.get("texts")
    sequences = f"{length} tokens, without padding"
    if texts:
        sequences = f"{texts}, {entry['tokens_per_text']:.1f} tokens on average, padded to {length}"
    rate = entry["sequences_per_second"]
    return Throughput(", ".join(where), sequences, entry["batch_size"], rate)


def validations(record: Mapping[str, Any]) -> list[Validation]:
    """The entries of a record's `validation`, newest first."""
    entries = sorted(
        record.get("validation") or [],
        key=lambda entry: (str(entry["created"]), entry["runtime"], entry["device"]),
        reverse=True,
    )
    heads = (record.get("heads") or {}).values()
    shown = {*_SHOWN, *(output for head in heads for output in head["outputs"])}
    return [_validation(entry, shown) for entry in entries]


def _validation(entry: Mapping[str, Any], shown: Collection[str]) -> Validation:
    gates = entry.get("gates") or []
    names = {
        status: [gate["name"] for gate in gates if gate["status"] == status]
        for status in ("passed", "failed", "not run")
    }
    errors = [
        OutputError(gate["name"], output, found.get("relative_frobenius"), found.get("max_abs"))
        for gate in gates
        for output, found in (gate.get("outputs") or {}).items()
        if output in shown and gate["name"].startswith(("numerics", "end to end"))
    ]
    worst = [
        (gate["name"], each["what"], each["figure"], each["limit"])
        for gate in gates
        if (each := gate.get("worst")) and not isinstance(each["figure"], bool)
        if isinstance(each["figure"], int | float) and isinstance(each["limit"], int | float)
    ]
    return Validation(entry, names["passed"], names["failed"], names["not run"], errors, worst)
