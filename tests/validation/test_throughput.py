"""Throughput is measured in a process of its own, and kept once for each setting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hubexport
from hubexport import cli
from hubexport.errors import HubexportError
from hubexport.validation import throughput
from hubexport.validation.throughput import add_throughput, measure_throughput
from tests import tiny
from tests.artifacts import export_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("throughput")
    checkpoint = tiny.write_checkpoint(work, heads=False)
    export_encoder(checkpoint=checkpoint, export_path=work / "out")
    return work / "out"


@pytest.mark.usefixtures("forked_children", "gates_here")
def test_measured_through_the_command(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = tmp_path / "encoder"
    shutil.copytree(encoder, artifact)
    flags = ["--gates=integrity", "--throughput", "--update_record"]
    assert cli.run(["validate", f"--saved_model={artifact}", *flags]) == 0
    (entry,) = hubexport.load_record(artifact)["throughput"]
    length = tiny.CONFIG["max_position_embeddings"]  # shorter than 128
    assert (entry["batch_size"], entry["sequence_length"]) == (8, length)
    assert entry["device"] == "cpu" and entry["hardware"] and entry["runs"] >= 5
    assert 0 < entry["slowest"] <= entry["sequences_per_second"] <= entry["fastest"]
    said = f"throughput   {entry['sequences_per_second']:,.1f} sequences of {length} tokens"
    assert said in capsys.readouterr().out


@pytest.mark.usefixtures("gates_here")
def test_without_the_flag_nothing_is_said(
    encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["validate", f"--saved_model={encoder}", "--gates=integrity"]) == 0
    assert "throughput" not in capsys.readouterr().out
    assert "throughput" not in hubexport.load_record(encoder)


def test_a_later_one_of_the_same_setting_replaces(encoder: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "encoder"
    shutil.copytree(encoder, artifact)
    first = {"device": "cpu", "hardware": "a", "batch_size": 8, "sequence_length": 128, "runs": 5}
    add_throughput(artifact, first)
    add_throughput(artifact, {**first, "hardware": "b"})
    record = add_throughput(artifact, {**first, "runs": 6})
    assert [(each["hardware"], each["runs"]) for each in record["throughput"]] == [
        ("b", 5), ("a", 6),
    ]  # fmt: skip
    assert hubexport.load_record(artifact) == record


@pytest.mark.usefixtures("forked_children")
def test_what_cannot_run_is_an_error(encoder: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "encoder"
    shutil.copytree(encoder, artifact)
    shutil.rmtree(artifact / "variables")
    with pytest.raises(HubexportError, match="throughput cannot be measured"):
        measure_throughput(artifact)


def test_anybodys_encoder(
    encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throughput, "_SECONDS", 0.0)
    artifact = tmp_path / "encoder"
    shutil.copytree(encoder, artifact, ignore=shutil.ignore_patterns("assets.extra"))
    throughput.main([str(artifact), "cpu"])
    assert json.loads(capsys.readouterr().out)["sequences_per_second"] > 0
    with pytest.raises(HubexportError, match="no readable record"):
        add_throughput(artifact, {})


@pytest.mark.parametrize("flags", [
    ["--preprocessor=p"],
    ["--saved_model=e", "--device=tpu"],
    ["--saved_model=e", "--runtime=pjrt"],
])  # fmt: skip
def test_of_what_it_can_be_asked(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", "--throughput", *flags]) == 2
    assert "--throughput is of an encoder" in capsys.readouterr().err
