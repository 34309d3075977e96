"""`export_encoder(validate=True)`: an artifact that does what its checkpoint does, or none."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hubexport
from hubexport import cli
from hubexport.children import Ended
from hubexport.errors import HubexportError, UsageError
from hubexport.exporting import validation
from hubexport.exporting.validation import ValidationError
from hubexport.packages import MissingPackageError
from hubexport.validation import job, processes
from hubexport.validation.reference_file import ReferenceError
from hubexport.validation.report import Report, read_report
from hubexport.validation.runner import Request
from tests import tiny
from tests.artifacts import make_reference
from tests.forks import forked_children
from tests.validation.here import gates_here

__all__ = ["forked_children", "gates_here"]

FEW = ("integrity", "interface", "numerics")


Patch = pytest.MonkeyPatch


@pytest.fixture
def few_gates(monkeypatch: Patch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Few gates are run, which have tests of their own, and in this process; all are asked for."""
    asked = []

    def run_few(request: Request, done: Callable[[], object]) -> Report:
        asked.append(request.only)
        work = tmp_path_factory.mktemp("gates")
        few = dataclasses.asdict(dataclasses.replace(request, only=FEW))
        (work / "request").write_text(json.dumps(few))
        processes.main([str(work / "request"), str(work / "report")])
        return read_report(work / "report")

    monkeypatch.setattr(job, "run_processes", run_few)
    yield
    assert asked == [list(job.NAMES)]


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint of transformers, and its reference."""
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face as oracle

    work = tmp_path_factory.mktemp("hugging_face")
    checkpoint = oracle.save_safetensors(oracle.build("BertForPreTraining"), work / "model")
    make_reference(source="transformers", checkpoint=checkpoint, output=work / "reference")
    return checkpoint, work / "reference"


@pytest.fixture
def tf1(tmp_path: Path) -> Path:
    """The prefix of a google-research/bert checkpoint."""
    return tiny.write_checkpoint(tmp_path / "checkpoint")


def refused(error: type[HubexportError], work: Path, **arguments: Any) -> str:
    """Expects an export to fail and to leave nothing; gives the message."""
    (work / "target").mkdir()
    with pytest.raises(error) as caught:
        hubexport.export_encoder(export_path=work / "target" / "deep" / "encoder", **arguments)
    assert list((work / "target").rglob("*")) == []
    return str(caught.value)


def assert_validated(record: dict[str, Any], artifact: Path, made_by: str) -> dict[str, Any]:
    """Asserts that the record tells of one validation that passed; gives that entry."""
    assert hubexport.load_record(artifact) == record
    (entry,) = record["validation"]
    assert entry["passed"] is True
    assert (entry["runtime"], entry["device"]) == ("tensorflow", "cpu")
    assert made_by in entry["reference"]["made_by"]
    ours = {file["sha256"] for file in record["checkpoint"]["files"]}
    assert {file["sha256"] for file in entry["reference"]["checkpoint"]} == ours
    assert sorted(path.name for path in artifact.parent.iterdir()) == [artifact.name]
    return entry


@pytest.mark.usefixtures("forked_children", "gates_here")
def test_without_a_reference(
    hugging_face: tuple[Path, Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    """One is made; the figures of the comparison are in the record."""
    monkeypatch.setattr(job, "NAMES", FEW)
    artifact = tmp_path / "out" / "encoder"
    record = hubexport.export_encoder(
        checkpoint=hugging_face[0], export_path=artifact, validate=True, pooler="mean"
    )
    entry = assert_validated(record, artifact, "transformers")
    assert {gate["name"]: gate["status"] for gate in entry["gates"]} == dict.fromkeys(FEW, "passed")
    errors = next(gate["outputs"] for gate in entry["gates"] if gate["name"] == "numerics")
    assert set(errors) == {
        "encoder_outputs[0]", "encoder_outputs[1]", "sequence_output", "pooled_output", "default",
        "mlm_logits", "nsp_logits",
    }  # fmt: skip
    assert all(0 < each["max_abs"] < 1e-4 for each in errors.values())


@pytest.mark.exhaustive
@pytest.mark.usefixtures("few_gates")
def test_without_a_reference_of_tf1(tf1: Path, tmp_path: Path) -> None:
    """Its configuration and vocabulary are handed on."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    config = (tf1.parent / "bert_config.json").rename(tmp_path / "other_name.json")
    artifact = tmp_path / "out" / "encoder"
    record = hubexport.export_encoder(
        checkpoint=tf1,
        bert_config=config,
        vocab_file=tiny.write_vocabulary(tmp_path / "vocab.txt"),
        do_lower_case=True,
        export_path=artifact,
        validate=True,
    )
    entry = assert_validated(record, artifact, "tf-models-official")
    assert not any("no cases of text" in note for note in entry["reference"]["notes"])


@pytest.mark.usefixtures("few_gates")
def test_an_artifact_that_fails(hugging_face: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, reference = hugging_face
    message = refused(
        ValidationError,
        tmp_path,
        checkpoint=checkpoint,
        hidden_act="gelu_tanh",
        validate=True,
        reference=reference,
    )
    assert "was not put in place" in message
    assert "numerics" in message and "interface" not in message
    assert "encoder_outputs[0]" in message
    assert "measurements failed" in message


def test_a_reference_of_another_checkpoint(
    hugging_face: tuple[Path, Path], tf1: Path, tmp_path: Path
) -> None:
    message = refused(
        ReferenceError, tmp_path, checkpoint=tf1, validate=True, reference=hugging_face[1]
    )
    assert "the reference was made from another checkpoint" in message
    assert "model.safetensors" in message and "bert_model.ckpt.index" in message


def test_a_file_that_is_no_reference(tf1: Path, tmp_path: Path) -> None:
    (tmp_path / "reference").write_text("no tensors")
    refused(
        ReferenceError, tmp_path, checkpoint=tf1, validate=True, reference=tmp_path / "reference"
    )


def test_a_checkpoint_that_no_reference_can_be_made_of(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the other program says is said, since the user has to fix it."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")

    def without_pooler(values: dict[str, Any]) -> None:
        for name in [name for name in values if "pooler" in name]:
            del values[name]

    def run_here(arguments: list[str]) -> Ended:
        return Ended(cli.run(arguments[2:]), *capsys.readouterr())

    monkeypatch.setattr(validation, "run_python", run_here)
    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint", change=without_pooler)
    message = refused(
        ValidationError, tmp_path, checkpoint=checkpoint, pooler="cls", heads="mlm", validate=True
    )
    assert "no reference could be made" in message
    assert "--source=model_garden" in message
    assert "missing: bert/pooler/dense" in message


@pytest.mark.parametrize(("arguments", "message"), [
    ({"reference": "reference"}, "--reference is for --validate"),
    ({"validate": True, "dry_run": True}, "--validate and --dry_run"),
    ({"validate": True, "dry_run": True, "reference": "reference"}, "--validate and --dry_run"),
])  # fmt: skip
def test_arguments_that_do_not_go_together(
    arguments: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said at once: the checkpoint is not even looked for."""
    checkpoint = tmp_path / "absent"
    assert message in refused(UsageError, tmp_path, checkpoint=checkpoint, **arguments)
    flags = [
        f"--{key}" if value is True else f"--{key}={value}" for key, value in arguments.items()
    ]
    paths = [f"--checkpoint={checkpoint}", f"--export_path={tmp_path / 'out'}"]
    assert cli.run(["encoder", *paths, *flags]) == UsageError.exit_code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_transformers_is_not_installed(
    package: str,
    hugging_face: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: Patch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # Python's way to say that there is none
    message = refused(MissingPackageError, tmp_path, checkpoint=hugging_face[0], validate=True)
    assert f"No module named '{package}'\n" in message
    assert "hubexport[reference-transformers]" in message
    assert "--reference" in message


def test_the_model_garden_is_not_installed(tf1: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "official", None)
    message = refused(MissingPackageError, tmp_path, checkpoint=tf1, validate=True)
    assert "No module named 'official'" in message
    assert "hubexport[reference-model-garden]" in message


@pytest.mark.usefixtures("few_gates")
def test_with_a_reference(
    hugging_face: tuple[Path, Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    """Then nothing is needed that could make one."""
    for package in ("torch", "transformers", "official"):
        monkeypatch.setitem(sys.modules, package, None)
    checkpoint, reference = hugging_face
    artifact = tmp_path / "out" / "encoder"
    record = hubexport.export_encoder(
        checkpoint=checkpoint, export_path=artifact, validate=True, reference=reference
    )
    assert_validated(record, artifact, "transformers")
