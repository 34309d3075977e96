"""Validation results in a record: short, one for each runtime and device, of this artifact only."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from hubexport.errors import HubexportError
from hubexport.saved_model.identity import artifact_identity
from hubexport.saved_model.record import RECORD_PATH, SCHEMA_VERSION, load_record
from hubexport.validation.record_entries import add_to_record, summary
from hubexport.validation.report import Report
from hubexport.validation.results import GateResult, Measurement, at_most, judge, not_run

NUMERICS = GateResult(
    "numerics",
    "passed",
    (
        at_most("plain: encoder_outputs[0], relative Frobenius", 1e-7, 1e-5),
        at_most("plain: encoder_outputs[0], max abs", 3e-7, 1e-5),
        at_most("plain: encoder_outputs[0], 1 - cosine", 1e-12, 1e-8),
        at_most("ragged: encoder_outputs[0], relative Frobenius", 2e-7, 1e-5),
        at_most("ragged: encoder_outputs[0], max abs", 1e-7, 1e-5),
        at_most("plain: default, relative Frobenius", 9e-6, 1e-5),
    ),
    "Well.",
    1.2345,
)
INTERFACE = judge("interface", [Measurement("default: dtype", True, "float32", "float32")])


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Files of an artifact's names, and a record; nothing here loads them."""
    directory = tmp_path / "artifact"
    for name, data in {
        "saved_model.pb": b"program",
        "variables/variables.index": b"index",
        "variables/variables.data-00000-of-00001": b"values",
        "assets/vocab.txt": b"[PAD]\n",
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    (directory / RECORD_PATH).parent.mkdir()
    record = {
        "schema_version": SCHEMA_VERSION,
        "created": "then",
        "kind": "encoder",
        "µ": [1, None, {"a": 2}],
    }
    (directory / RECORD_PATH).write_text(json.dumps(record), "utf-8")
    return directory


def report(artifact: Path, *gates: GateResult, **fields: Any) -> Report:
    made = Report(
        artifact=artifact_identity(artifact),
        runtime="tensorflow",
        device="cpu",
        hardware="some processor, 2 cores",
        precisions={"float32": "float32"},
        versions={"tensorflow": "2.20.0"},
        reference={"source": "file", "made_by": "x", "checkpoint": [], "notes": []},
        created="2026-11-21T06:30:07Z",
        gates=gates or (NUMERICS, INTERFACE),
        information={"milliseconds": [1.0] * 1000},
    )
    return dataclasses.replace(made, **fields)


def test_an_entry(artifact: Path) -> None:
    before = load_record(artifact)
    record = add_to_record(artifact, [report(artifact)])
    assert record == load_record(artifact)
    (entry,) = record.pop("validation")
    assert record == before  # and nothing else changes
    assert list(entry) == [
        "runtime", "device", "hardware", "precisions", "versions", "reference", "created",
        "passed", "gates", "files",
    ]  # fmt: skip
    assert entry["files"] == {
        path.relative_to(artifact).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in artifact.rglob("*")
        if path.is_file() and path != artifact / RECORD_PATH
    }
    assert entry["passed"] is True and entry["hardware"] == "some processor, 2 cores"
    numerics, interface = entry["gates"]
    assert numerics == {
        "name": "numerics",
        "status": "passed",
        "seconds": 1.2,
        "measurements": 6,
        "failures": 0,
        "worst": {
            "what": "plain: default, relative Frobenius",
            "passed": True,
            "figure": 9e-6,
            "limit": 1e-5,
        },
        "detail": "Well.",
        "outputs": {  # the largest of all cases
            "encoder_outputs[0]": {"relative_frobenius": 2e-7, "max_abs": 3e-7},
            "default": {"relative_frobenius": 9e-6},
        },
    }
    assert interface["worst"]["what"] == "default: dtype"
    assert "outputs" not in interface


def test_the_files_beside_the_record_are_left_alone(artifact: Path) -> None:
    files = {p: p.read_bytes() for p in artifact.rglob("*") if p.is_file()}
    add_to_record(artifact, [report(artifact)])
    del files[artifact / RECORD_PATH]
    assert {p for p in artifact.rglob("*") if p.is_file()} == {*files, artifact / RECORD_PATH}
    assert all(path.read_bytes() == data for path, data in files.items())


def test_gates_that_failed_or_did_not_run(artifact: Path) -> None:
    failed = judge("batch", [at_most("row", 3.0, 1.0), at_most("other", 0.5, 1.0)], "why")
    (entry,) = add_to_record(
        artifact, [report(artifact, failed, not_run("training", "nothing to train"))]
    )["validation"]
    assert entry["passed"] is False
    batch, training = entry["gates"]
    assert (batch["status"], batch["failures"], batch["worst"]["what"]) == ("failed", 1, "row")
    assert (training["status"], training["worst"], training["detail"]) == (
        "not run",
        None,
        "nothing to train",
    )


def strict(path: Path) -> Any:
    """A record, read by the rules of JSON, which knows no NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads((path / RECORD_PATH).read_text("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_errors_that_are_no_numbers(value: float, artifact: Path) -> None:
    """A NaN is neither hidden behind other cases' errors, nor written as what JSON lacks."""
    kinds = ("relative Frobenius", "max abs")
    gate = judge(
        "numerics",
        [at_most(f"plain: default, {kind}", value, 1.0) for kind in kinds]
        + [at_most(f"ragged: default, {kind}", 0.5, 1.0) for kind in kinds],
    )
    add_to_record(artifact, [report(artifact, gate)])
    (entry,) = strict(artifact)["validation"]
    (found,) = entry["gates"]
    assert found["worst"]["figure"] == str(value)
    assert found["outputs"]["default"] == {
        "relative_frobenius": str(value),
        "max_abs": str(value),
    }


def test_a_later_run_on_the_same_replaces_the_earlier(artifact: Path) -> None:
    add_to_record(artifact, [report(artifact)])
    failed = judge("numerics", [at_most("row", 3.0, 1.0)])
    record = add_to_record(artifact, [report(artifact, failed, created="later")])
    (entry,) = record["validation"]
    assert (entry["created"], entry["passed"]) == ("later", False)


@pytest.mark.parametrize(
    "other", [{"runtime": "pjrt"}, {"device": "gpu"}, {"hardware": "another processor"}]
)
def test_another_runtime_device_or_hardware_is_another_entry(
    other: dict[str, str], artifact: Path
) -> None:
    add_to_record(artifact, [report(artifact)])
    record = add_to_record(artifact, [report(artifact, **other)])
    first, second = record["validation"]
    assert (first["runtime"], first["device"]) == ("tensorflow", "cpu")
    assert other.items() <= second.items()


def test_several_at_once_the_last_of_the_same_counts(artifact: Path) -> None:
    reports = [
        report(artifact, created="1"),
        report(artifact, device="tpu", created="2"),
        report(artifact, created="3"),
    ]
    record = add_to_record(artifact, reports)
    assert [(each["device"], each["created"]) for each in record["validation"]] == [
        ("cpu", "3"),
        ("tpu", "2"),
    ]


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "assets/vocab.txt"]
)
def test_of_another_artifact(name: str, artifact: Path) -> None:
    made = report(artifact)
    (artifact / name).write_bytes(b"changed")
    before = (artifact / RECORD_PATH).read_bytes()
    with pytest.raises(HubexportError, match="of another artifact") as caught:
        add_to_record(artifact, [report(artifact), made])
    part = {"saved_model.pb": "program"}.get(name, name.partition("/")[0])
    message = str(caught.value)
    assert str(artifact) in message and f"{part} {made.artifact[part][:12]}, here " in message
    assert message.count("SHA-256 of") == 1
    assert (artifact / RECORD_PATH).read_bytes() == before


def test_parts_that_only_one_of_them_has(artifact: Path) -> None:
    made = report(artifact)
    (artifact / "assets" / "vocab.txt").unlink()
    with pytest.raises(HubexportError, match=r"assets .*, here absent"):
        add_to_record(artifact, [made])


def test_no_record(artifact: Path) -> None:
    (artifact / RECORD_PATH).unlink()
    with pytest.raises(HubexportError, match="no readable record"):
        add_to_record(artifact, [report(artifact)])
    assert not (artifact / RECORD_PATH).exists()


def left_alone(artifact: Path, before: bytes) -> bool:
    extra = artifact / RECORD_PATH
    return extra.read_bytes() == before and os.listdir(extra.parent) == [extra.name]


def test_no_room(artifact: Path) -> None:
    before = (artifact / RECORD_PATH).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))  # the system refuses larger files
    try:
        with pytest.raises(HubexportError, match="record cannot be written") as caught:
            add_to_record(artifact, [report(artifact)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert left_alone(artifact, before)


def test_a_record_that_cannot_be_replaced(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (artifact / RECORD_PATH).read_bytes()

    def refuse(*paths: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(HubexportError, match="record cannot be written"):
        add_to_record(artifact, [report(artifact)])
    assert left_alone(artifact, before)


def test_a_summary_is_short(artifact: Path) -> None:
    many = [at_most(f"case {i}: default, max abs", i / 1e6, 1.0) for i in range(1000)]
    made = summary(report(artifact, judge("numerics", many)))
    assert len(json.dumps(made)) < 1500
    assert made["gates"][0]["outputs"] == {"default": {"max_abs": 999 / 1e6}}
