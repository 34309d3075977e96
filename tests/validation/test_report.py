"""Reports: written, read, refused, and as a table."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubexport.errors import HubexportError
from hubexport.validation.report import Report, now, read_report, render_table, write_report
from hubexport.validation.results import GateResult, Measurement, at_most, judge, not_run

SECONDS = 1.25


def _gate(name: str, *measurements: Measurement, detail: str = "") -> GateResult:
    return dataclasses.replace(judge(name, measurements, detail), seconds=SECONDS)


NUMERICS = _gate(
    "numerics [HIGHEST]",
    at_most("plain: encoder_outputs[0], relative Frobenius", 1e-7, 1e-6),
    at_most("plain: encoder_outputs[0], max abs", 2e-7, 1e-6),
    at_most("ragged: encoder_outputs[0], relative Frobenius", 5e-7, 1e-6),
    at_most("ragged: encoder_outputs[0], max abs", 1e-7, 1e-6),
    at_most("ragged: pooled_output, relative Frobenius", 3e-8, 1e-6),
    at_most("ragged: pooled_output, max abs", 4e-8, 1e-6),
)
FAILING = _gate(
    "batch",
    *(at_most(f"row {i}", i * 1e-3, 1e-3) for i in range(12)),
    Measurement("shape", False, "shape (1,)", "shape (2,)"),
    at_most("sum", math.nan, 1.0),
    detail="Rows depend on each other. " * 8,
)
SKIPPED = not_run("end to end", "there is no --preprocessor")


def _report(*gates: GateResult) -> Report:
    return Report(
        artifact={"program": "0123456789abcdef", "variables": "fedcba9876543210"},
        runtime="pjrt",
        device="cpu",
        hardware="some processor",
        versions={"hubexport": "1.2.3", "jax": "0.10.2"},
        reference={"source": "transformers", "made_by": "transformers 5.23.0 (BertModel)"},
        created=now(),
        gates=gates,
        precisions={"HIGHEST": "float32"},
        information={"milliseconds": [1.5]},
    )


def test_read_is_what_was_written(tmp_path: Path) -> None:
    report = _report(NUMERICS, SKIPPED)
    path = tmp_path / "new" / "report.json"
    write_report(report, path)
    assert read_report(path) == report
    fields = json.loads(path.read_text("utf-8"))
    assert fields["format_version"] == 1 and fields["passed"] is True
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_numbers_that_json_does_not_know(tmp_path: Path) -> None:
    infinite = _gate("x", at_most("a", math.inf, 1.0), at_most("b", math.nan, 1.0))
    path = tmp_path / "report.json"
    write_report(_report(infinite), path)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(path.read_text("utf-8"), parse_constant=refuse)
    a, b = read_report(path).gates[0].measurements
    assert a.figure == math.inf and isinstance(b.figure, float) and math.isnan(b.figure)
    assert not read_report(path).passed


@pytest.mark.parametrize(
    ("gates", "passed"),
    [
        ([NUMERICS], True),
        ([NUMERICS, SKIPPED], True),
        ([NUMERICS, FAILING], False),
        ([SKIPPED], False),
        ([], False),
    ],
)
def test_passed(gates: list[GateResult], passed: bool) -> None:
    report = _report(*gates)
    assert report.passed is passed
    assert render_table(report, "utf-8").splitlines()[-1][0] == ("✓" if passed else "✗")


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda fields: fields.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_set("format_version", 2), "format_version 2"),
        (lambda fields: fields.pop("gates"), "no 'gates'"),
        (_set("gates", [{"name": "x"}]), "no "),
        (_set("gates", 3), "not iterable"),
        (_set("device", None), "device: None"),
        (_set("artifact", ["x"]), "artifact: ['x']"),
        (_set("versions", {"jax": 1}), "jax: 1"),
        (_set("reference", "x"), "reference: 'x'"),
        (_set("passed", False), "its gates contradict"),
        (lambda fields: fields["gates"][0].update(status="fine"), "status 'fine'"),
        (lambda fields: fields["gates"][0].update(status="failed"), "its gates contradict"),
    ],
)
def test_damaged(change: Callable[[dict[str, Any]], Any], found: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(_report(NUMERICS), path)
    fields = json.loads(path.read_text("utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(HubexportError, match="cannot be read") as refused:
        read_report(path)
    assert found in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_no_report(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(data)
    for each in (path, tmp_path, tmp_path / "missing"):
        with pytest.raises(HubexportError, match="cannot be read"):
            read_report(each)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(HubexportError, match="cannot be written"):
        write_report(_report(NUMERICS), tmp_path / "report.json")
    assert os.listdir(tmp_path) == ["report.json"]


def test_table() -> None:
    text = render_table(_report(NUMERICS, FAILING, SKIPPED), "utf-8")
    lines = text.splitlines()
    rows = {line.split("  ")[1]: line for line in lines if line[:1] in "✓✗–" and "  " in line}
    assert rows["numerics [HIGHEST]"].split()[-3:] == ["5.00e-07", "1.00e-06", "1.2"]
    assert rows["batch"].startswith("✗") and rows["end to end"].startswith("–")
    assert "some processor" in text and "transformers 5.23.0" in text and "0123456789ab" in text
    # Of each output the figures nearest to their limits, of whatever case.
    (layer,) = (line for line in lines if "encoder_outputs[0]" in line)
    assert layer.split() == ["encoder_outputs[0]", "5.00e-07", "2.00e-07", "50%"]
    (pooled,) = (line for line in lines if "pooled_output" in line)
    assert pooled.split() == ["pooled_output", "3.00e-08", "4.00e-08", "4%"]
    assert "there is no --preprocessor" in text
    assert max(map(len, lines)) <= 100


def test_failures_are_shown_the_worst_first() -> None:
    lines = render_table(_report(FAILING), "utf-8").splitlines()
    start = lines.index("batch: failed")
    shown = [line.strip() for line in lines[start + 1 : start + 10]]
    assert {shown[0].split(";")[0], shown[1].split(";")[0]} == {"shape", "sum"}
    assert "sum; is nan; at most 1.00e+00" in shown[:2]
    assert "shape; is shape (1,); needed: shape (2,)" in shown[:2]
    assert shown[2].startswith("row 11; is 1.10e-02") and shown[7].startswith("row 6")
    assert shown[8] == "... (4 more)"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no such encoding"])
def test_signs_for_every_terminal(encoding: str) -> None:
    text = render_table(_report(NUMERICS, FAILING, SKIPPED), encoding)
    assert text.isascii()
    assert "\n+  numerics" in text and "\nx  batch" in text and "\n-  end to end" in text
