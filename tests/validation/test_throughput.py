"""Throughput is measured in a process of its own, and kept once for each setting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import hubexport
from hubexport import cli
from hubexport.errors import HubexportError
from hubexport.validation import throughput
from hubexport.validation.artifact import LoadedEncoder
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
    encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throughput, "_SECONDS", 0.05)
    artifact = tmp_path / "encoder"
    shutil.copytree(encoder, artifact)
    flags = ["--gates=integrity", "--throughput", "--update_record"]
    assert cli.run(["validate", f"--saved_model={artifact}", *flags]) == 0
    full, *padded = hubexport.load_record(artifact)["throughput"]
    length = tiny.CONFIG["max_position_embeddings"]  # shorter than 128
    assert full["batch_size"] == 8 and "texts" not in full and "tokens_per_text" not in full
    assert [(each["texts"], each["batch_size"]) for each in padded] == [
        ("questions", 1), ("questions", 32), ("sentences", 32), ("paragraphs", 32),
    ]  # fmt: skip
    for entry in (full, *padded):
        assert entry["sequence_length"] == length
        assert entry["device"] == "cpu" and entry["hardware"] and entry["runs"] >= 3
        assert 0 < entry["slowest"] <= entry["sequences_per_second"] <= entry["fastest"]
    said = capsys.readouterr().out
    rate = f"{full['sequences_per_second']:,.1f}"
    assert f"throughput   {rate} sequences of {length} tokens a second" in said
    rows = [line.split() for line in said.splitlines()]
    for each in padded:
        texts, size, tokens = each["texts"], each["batch_size"], each["tokens_per_text"]
        assert [texts, f"{size}", f"{tokens}", f"{each['sequences_per_second']:,.1f}"] in rows


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
    texts = {**first, "texts": "sentences", "tokens_per_text": 33.3}
    add_throughput(artifact, [first, texts])
    add_throughput(artifact, [{**first, "hardware": "b"}])
    record = add_throughput(artifact, [{**first, "runs": 6}])
    assert [
        (each["hardware"], each["runs"], each.get("texts")) for each in record["throughput"]
    ] == [("a", 5, "sentences"), ("b", 5, None), ("a", 6, None)]
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
) -> None:
    artifact = tmp_path / "encoder"
    shutil.copytree(encoder, artifact, ignore=shutil.ignore_patterns("assets.extra"))
    throughput.main([str(artifact), "cpu", "0"])
    lines = capsys.readouterr().out.splitlines()
    assert all(json.loads(line)["sequences_per_second"] > 0 for line in lines)
    assert len(lines) == len(throughput.BATCHES)
    with pytest.raises(HubexportError, match="no readable record"):
        add_throughput(artifact, [])


@pytest.mark.parametrize("flags", [
    ["--preprocessor=p"],
    ["--saved_model=e", "--device=tpu"],
    ["--saved_model=e", "--runtime=pjrt"],
])  # fmt: skip
def test_of_what_it_can_be_asked(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", "--throughput", *flags]) == 2
    assert "--throughput is of an encoder" in capsys.readouterr().err


def test_lengths_are_those_of_texts() -> None:
    means = {
        (each.texts, len(each.lengths)): sum(each.lengths) / len(each.lengths)
        for each in throughput.BATCHES
    }
    assert means["questions", 32] == pytest.approx(14.6, abs=0.5)
    assert means["sentences", 32] == pytest.approx(33.5, abs=0.5)
    assert means["paragraphs", 32] == pytest.approx(163, rel=0.03)


def test_rows_are_padded_on_the_right_and_always_the_same(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, np.ndarray]] = []

    class Watched(LoadedEncoder):
        def with_rows(self, name: str, tensors: Any, run: Any, training: bool = False) -> Any:
            tf.py_function(
                lambda *values: seen.append(
                    {key: value.numpy() for key, value in zip(tensors, values, strict=True)}
                ),
                list(tensors.values()),
                [],
            )
            return super().with_rows(name, tensors, run, training)

    monkeypatch.setattr("hubexport.validation.artifact.LoadedEncoder", Watched)
    throughput.main([str(encoder), "cpu", "0"])
    capsys.readouterr()
    limit = tiny.CONFIG["max_position_embeddings"]
    each = len(seen) // len(throughput.BATCHES)
    assert len(seen) == each * len(throughput.BATCHES)
    for number, batch in enumerate(throughput.BATCHES):
        runs = seen[number * each : (number + 1) * each]
        for inputs in runs:
            mask = inputs["input_mask"]
            assert mask.sum(axis=1).tolist() == [min(length, limit) for length in batch.lengths]
            assert (np.diff(mask, axis=1) <= 0).all()
            assert not inputs["input_word_ids"][mask == 0].any()
            np.testing.assert_array_equal(inputs["input_word_ids"], runs[0]["input_word_ids"])
