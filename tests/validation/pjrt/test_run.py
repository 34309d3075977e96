"""Bundles run on JAX's CPU device."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import HubexportError
from hubexport.validation.pjrt.job import run_in_child
from hubexport.validation.pjrt.run import run_bundle
from hubexport.validation.report import Report, read_report
from hubexport.validation.results import FAILED, NOT_RUN, PASSED, GateResult
from tests.validation.pjrt.support import Exported, one_case, run_python, some_cases

pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("tensorflow")

from hubexport.validation.pjrt.bundle import write_bundle

NUMERICS = ("numerics [HIGHEST]", "numerics [DEFAULT]")


@pytest.fixture(scope="module")
def report(bundle: Path, client: Any) -> Report:
    """Of the bundle as it was written."""
    return run_bundle(bundle, client, repeat=2)


def _gates(report: Report) -> dict[str, GateResult]:
    return {gate.name: gate for gate in report.gates}


def _change(bundle: Path, directory: Path, change: Callable[[dict[str, Any], Path], None]) -> Path:
    """A copy of a bundle with something else in it, the digests of the files right again."""
    shutil.copytree(bundle, directory)
    path = directory / "manifest.json"
    fields = json.loads(path.read_text("utf-8"))
    change(fields, directory)
    files = [*fields["weights"]["files"], *(program["file"] for program in fields["programs"])]
    for case in fields["cases"]:
        files += [*case["inputs"]["files"], *case["expected"]["files"]]
    for file in files:
        data = (directory / file["path"]).read_bytes()
        file.update(nbytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    path.write_text(json.dumps(fields), "utf-8")
    return directory


def test_passes(report: Report, exported: Exported) -> None:
    gates = _gates(report)
    assert {name: gate.status for name, gate in gates.items()} == {
        **dict.fromkeys(NUMERICS, PASSED),
        "determinism": PASSED,
    }
    assert report.passed
    outputs = {name for of_case in exported.outputs.values() for name in of_case} | {"default"}
    for name in NUMERICS:
        measured = {each.what for each in gates[name].measurements}
        assert measured == {
            f"{case}: {output}, {figure}"
            for case in exported.outputs
            for output in outputs
            for figure in ("relative Frobenius", "max abs", "1 - cosine")
        }
        # They are computed, not copied: two implementations never agree to the last bit.
        assert max(float(each.figure or 0) for each in gates[name].measurements) > 1e-9
    assert len(gates["determinism"].measurements) == 2 * len(exported.outputs)


def test_says_what_it_ran(report: Report, exported: Exported) -> None:
    import jax

    program = hashlib.sha256((exported.artifact / "saved_model.pb").read_bytes()).hexdigest()
    assert report.artifact["program"] == program
    assert (report.runtime, report.device) == ("pjrt", "cpu")
    assert report.precisions == {"HIGHEST": "float32", "DEFAULT": "float32"}
    assert report.versions["jax"] == jax.__version__
    assert report.versions["hubexport"] == hubexport.__version__
    assert report.reference is not None
    assert report.reference["made_by"] == "the tests' oracle"
    rows = report.information["milliseconds"]
    assert {(row["part"], row["precision"]) for row in rows} == {
        (part, precision) for part in ("encoder", "heads") for precision in ("HIGHEST", "DEFAULT")
    }
    shapes = {(row["batch_size"], row["sequence_length"]) for row in rows}
    assert shapes == {(3, 11), (5, 12)} and len(rows) == 2 * 2 * 2
    assert all(row["median"] > 0 and row["runs"] == 2 for row in rows)


@pytest.fixture(scope="module")
def small(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with one case, which compiles sooner."""
    directory = tmp_path_factory.mktemp("small") / "bundle"
    write_bundle(one_case(exported), directory)
    return directory


def test_in_a_process_with_jax_and_numpy_only(small: Path, report: Report, tmp_path: Path) -> None:
    code = """
import sys

def packages():
    return {
        name.partition(".")[0]
        for name, module in list(sys.modules.items())
        if "site-packages" in str(getattr(module, "__file__", None))
    }

import jax.extend.backend, numpy  # which import what they find
before = packages()
from hubexport.validation.pjrt.__main__ import main
status = main(sys.argv[1:])
print(status, *packages() - before - {"hubexport"})
"""
    path = tmp_path / "report.json"
    done = run_python(str(small), "--platform=cpu", f"--report={path}", code=code)
    assert (done.returncode, done.stderr) == (0, "")
    table, _, last = done.stdout.rstrip().rpartition("\n")
    assert last.split() == ["0"]
    assert "mlm_logits" in table and all(name in table for name in NUMERICS)
    said = read_report(path)
    assert said.passed
    for gate, theirs in zip(said.gates, report.gates, strict=True):
        assert (gate.name, gate.status) == (theirs.name, theirs.status)
        assert [each.what for each in gate.measurements] == [
            each.what for each in theirs.measurements if each.what.startswith("plain")
        ]


def test_a_changed_weight_fails(bundle: Path, client: Any, tmp_path: Path) -> None:
    def negate(fields: dict[str, Any], directory: Path) -> None:
        tensors = fields["weights"]["tensors"]
        names = [tensor["name"] for tensor in tensors]
        number = names.index("encoder/layer_1/intermediate/dense/bias")
        start = sum(4 * int(np.prod(tensor["shape"])) for tensor in tensors[:number])
        (file,) = fields["weights"]["files"]
        data = bytearray((directory / file["path"]).read_bytes())
        data[start + 3] ^= 0x80  # the sign of the first element
        (directory / file["path"]).write_bytes(data)

    report = run_bundle(_change(bundle, tmp_path / "b", negate), client)
    assert not report.passed
    gates = _gates(report)
    assert gates["determinism"].status == PASSED
    for name in NUMERICS:
        assert gates[name].status == FAILED
        failing = {each.what.split(": ")[1].split(",")[0] for each in gates[name].failures}
        assert "encoder_outputs[0]" not in failing
        assert {"encoder_outputs[1]", "sequence_output", "mlm_logits"} <= failing
        assert "encoder_outputs[1]" in gates[name].detail


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_fails(value: float, bundle: Path, client: Any, tmp_path: Path) -> None:
    def poison(fields: dict[str, Any], directory: Path) -> None:
        (file,) = fields["weights"]["files"]
        path = directory / file["path"]
        weights = np.frombuffer(path.read_bytes(), "<f4").copy()
        weights[-1] = value  # of a head, the last that was lowered
        path.write_bytes(weights.tobytes())

    report = run_bundle(_change(bundle, tmp_path / "b", poison), client)
    failures = _gates(report)[NUMERICS[0]].failures
    assert failures and {each.what.split(": ")[1].split(",")[0] for each in failures} <= {
        "mlm_logits", "nsp_logits"
    }  # fmt: skip
    assert _gates(report)["determinism"].status == PASSED


def test_exchanged_arguments_and_results_fail(bundle: Path, client: Any, tmp_path: Path) -> None:
    def exchange(fields: dict[str, Any], directory: Path) -> None:
        for program in fields["programs"]:
            names = [result["name"] for result in program["results"]]
            if "pooled_output" in names:
                inputs = program["arguments"]
                i, j = (inputs.index(name) for name in ("input_word_ids", "input_type_ids"))
                inputs[i], inputs[j] = inputs[j], inputs[i]

    report = run_bundle(_change(bundle, tmp_path / "b", exchange), client)
    failing = {each.what for each in _gates(report)[NUMERICS[0]].failures}
    assert any("encoder_outputs[0]" in what for what in failing)
    assert not any("mlm_logits" in what for what in failing)


def test_a_missing_output_fails(bundle: Path, client: Any, tmp_path: Path) -> None:
    def rename(fields: dict[str, Any], directory: Path) -> None:
        for program in fields["programs"]:
            for result in program["results"]:
                result["name"] = result["name"].replace("pooled_output", "other")

    report = run_bundle(_change(bundle, tmp_path / "b", rename), client)
    failures = _gates(report)[NUMERICS[1]].failures
    assert {(each.what, each.figure) for each in failures} == {
        (f"{case.name}: pooled_output", "missing") for case in some_cases()
    }
    assert "other" in _gates(report)[NUMERICS[1]].detail


def test_a_program_that_cannot_be_compiled_fails(bundle: Path, client: Any, tmp_path: Path) -> None:
    def damage(fields: dict[str, Any], directory: Path) -> None:
        path = directory / fields["programs"][0]["file"]["path"]
        path.write_text(path.read_text().replace("stablehlo.add", "stablehlo.ad"))

    report = run_bundle(_change(bundle, tmp_path / "b", damage), client, repeat=1)
    gates = _gates(report)
    assert [gates[name].status for name in NUMERICS] == [FAILED, PASSED]
    assert gates["determinism"].status == FAILED
    failures = gates[NUMERICS[0]].failures
    assert {each.what for each in failures} == {"plain: runs", "segments: runs"}
    assert all("stablehlo.ad" in str(each.figure) for each in failures)


def test_what_does_not_repeat_fails(bundle: Path, client: Any) -> None:
    class Unsteady:
        """The device, which gives another last bit in every 9th result."""

        def __init__(self) -> None:
            self.count = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def fetch(self, results: Any) -> list[np.ndarray]:
            self.count += 1
            values = client.fetch(results)
            if self.count % 9 == 0:
                values[0] = np.nextafter(values[0], np.float32(9))
            return values

    report = run_bundle(bundle, Unsteady())  # type: ignore[arg-type]
    gates = _gates(report)
    assert [gates[name].status for name in NUMERICS] == [PASSED, PASSED]
    assert gates["determinism"].status == FAILED
    assert {each.limit for each in gates["determinism"].failures} == {"equal bits"}


def test_for_timing_only(seeded: Path, client: Any) -> None:
    report = run_bundle(seeded, client, repeat=1)
    gates = _gates(report)
    assert [gates[name].status for name in NUMERICS] == [NOT_RUN, NOT_RUN]
    assert "drawn from a seed" in gates[NUMERICS[0]].detail
    assert gates["determinism"].status == PASSED
    assert len(report.information["milliseconds"]) == 2 * 2


def test_run_in_child(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the child finds the package from anywhere
    report = run_in_child(small, "cpu", tmp_path / "r.json", repeat=1)
    assert report.passed and report == read_report(tmp_path / "r.json")
    assert len(report.information["milliseconds"]) == 4


def test_what_the_child_says_is_handed_on(bundle: Path, tmp_path: Path) -> None:
    old = tmp_path / "r.json"
    old.write_text("{}")
    with pytest.raises(HubexportError, match="no such device"):
        run_in_child(bundle, "tpu", old)
    assert not old.exists()
    with pytest.raises(HubexportError, match="no readable bundle"):
        run_in_child(tmp_path / "none", "cpu", tmp_path / "r.json")
