"""What `make_reference` takes, refuses and writes, whoever computes the outputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import CheckpointError, ExportPathError, HubexportError, UsageError
from hubexport.validation.cases import ENCODER_INPUTS, random_cases
from hubexport.validation.reference_file import read_reference
from tests import tiny


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, Path]:
    """Arguments that make a reference without any other package."""
    checkpoint = tiny.write_checkpoint(tmp_path / "model")
    ids = np.zeros((1, 4), np.int32)
    arrays = {f"inputs/{name}": ids for name in ENCODER_INPUTS}
    np.savez(
        tmp_path / "recorded.npz",
        **arrays,
        **{"outputs/sequence_output": np.ones((1, 4, 16), np.float32)},
    )
    return {
        "checkpoint": checkpoint,
        "outputs_file": tmp_path / "recorded.npz",
        "output": tmp_path / "deep" / "reference",
    }


@pytest.fixture
def refused(recorded: dict[str, Path], tmp_path: Path) -> Callable[..., str]:
    """Expects an error, and everything as it was; gives the message."""

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def call(error: type[HubexportError], source: str = "file", **changes: Any) -> str:
        before = files()
        arguments = {**recorded, **changes}
        with pytest.raises(error) as caught:
            hubexport.make_reference(source=source, **arguments)
        assert files() == before
        return str(caught.value)

    return call


def test_the_summary(recorded: dict[str, Path]) -> None:
    summary = hubexport.make_reference(source="file", **recorded)
    assert summary["path"] == str(recorded["output"])
    assert summary["bytes"] == recorded["output"].stat().st_size
    assert summary["cases"] == {"recorded": ["sequence_output"]}
    assert summary["outputs"] == ["sequence_output"]
    provenance = read_reference(recorded["output"]).provenance
    assert summary["provenance"]["made_by"] == provenance.made_by
    assert [file["name"] for file in provenance.checkpoint] == [
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    ]


def test_the_output_is_replaced_only_when_asked(recorded: dict[str, Path], refused: Any) -> None:
    hubexport.make_reference(source="file", **recorded)
    first = recorded["output"].read_bytes()
    recorded["output"].write_bytes(b"something else")
    assert "--overwrite" in refused(ExportPathError)
    hubexport.make_reference(source="file", overwrite=True, **recorded)
    assert recorded["output"].read_bytes() == first
    assert [path.name for path in recorded["output"].parent.iterdir()] == ["reference"]


def test_outputs_that_must_not_be_written(
    recorded: dict[str, Path], refused: Any, tmp_path: Path
) -> None:
    assert "a directory" in refused(ExportPathError, output=tmp_path, overwrite=True)
    below_a_file = recorded["outputs_file"] / "reference"
    assert "no writable directory" in refused(ExportPathError, output=below_a_file)
    for path in (
        recorded["outputs_file"],
        tmp_path / "model" / "bert_config.json",
        tmp_path / "model" / "bert_model.ckpt.index",
    ):
        message = refused(ExportPathError, output=path, overwrite=True)
        assert "would be made of" in message


def test_arguments_that_do_not_go_together(refused: Any, tmp_path: Path) -> None:
    assert "transformers, model_garden, file" in refused(UsageError, "jax")
    message = refused(UsageError, "file", outputs_file=None, vocab_file=tmp_path, tokenizer="x")
    assert "--source=file does not take: --tokenizer, --vocab_file" in message
    assert "--source=file needs: --outputs" in message
    only = {"outputs_file": None}
    message = refused(UsageError, "transformers", do_lower_case=False, encoder_config="x", **only)
    assert "--source=transformers does not take: --do_lower_case, --encoder_config" in message
    message = refused(UsageError, "model_garden", do_lower_case=False, **only)
    assert "pass --vocab_file" in message
    message = refused(UsageError, "model_garden", vocab_file="x", tokenizer="x", **only)
    assert "both --tokenizer and --vocab_file" in message
    assert "negative" in refused(UsageError, seed=-1)
    message = refused(UsageError, bert_config=tmp_path, encoder_config=tmp_path)
    assert "both --bert_config and --encoder_config" in message


def test_checkpoints_of_another_kind(refused: Any, tmp_path: Path) -> None:
    message = refused(UsageError, "transformers", outputs_file=None)
    assert "--source=model_garden or --source=file" in message
    assert "no checkpoint at this path" in refused(CheckpointError, checkpoint=tmp_path / "none")
    (tmp_path / "model" / "bert_model.ckpt.data-00000-of-00001").unlink()
    message = refused(CheckpointError)
    assert "not there: bert_model.ckpt.data-00000-of-00001" in message


def test_a_hugging_face_checkpoint_is_not_for_model_garden(refused: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.oracles import hugging_face

    directory = tmp_path / "hf"
    hugging_face.save_safetensors(hugging_face.build("BertModel"), directory)
    message = refused(UsageError, "model_garden", checkpoint=directory, outputs_file=None)
    assert "--source=transformers or --source=file" in message


WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from hubexport import cli
sys.exit(cli.run(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("package", "source", "install"),
    [
        ("torch", "transformers", "pip install 'hubexport[reference-transformers]'"),
        ("transformers", "transformers", "pip install 'hubexport[reference-transformers]'"),
        ("official", "model_garden", "ENV/bin/pip install 'hubexport[reference-model-garden]'"),
    ],
)
def test_missing_packages(package: str, source: str, install: str, tmp_path: Path) -> None:
    if source == "transformers":
        pytest.importorskip("torch")
        from tests.oracles import hugging_face

        checkpoint = hugging_face.save_safetensors(
            hugging_face.build("BertModel"), tmp_path / "model"
        )
    else:
        checkpoint = tiny.write_checkpoint(tmp_path / "model")
    arguments = [
        "reference",
        f"--source={source}",
        f"--checkpoint={checkpoint}",
        f"--output={tmp_path / 'reference'}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"--source={source} needs packages that are not installed" in done.stderr
    assert f"No module named {package!r}" in done.stderr
    assert install in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reference").exists()


@pytest.mark.parametrize("saver", ["tar.gz", "sharded safetensors"])
def test_files_are_those_of_an_export(saver: str, tmp_path: Path) -> None:
    """So that an artifact can be told to be of the reference's checkpoint."""
    pytest.importorskip("transformers")
    pytest.importorskip("tensorflow")
    from tests.oracles import hugging_face

    (tmp_path / "model").mkdir()
    model = hugging_face.build("BertForPreTraining")
    checkpoint = hugging_face.SAVERS[saver](model, tmp_path / "model")
    record = hubexport.export_encoder(
        checkpoint=checkpoint, export_path=tmp_path / "out", dry_run=True
    )
    summary = hubexport.make_reference(
        source="transformers", checkpoint=checkpoint, output=tmp_path / "reference"
    )
    assert summary["provenance"]["checkpoint"] == record["checkpoint"]["files"]
    for name, size in summary["provenance"]["architecture"].items():
        assert record["architecture"][name] == size


def test_the_seed_decides_the_inputs(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    checkpoint = hugging_face.save_safetensors(hugging_face.build("BertModel"), tmp_path / "model")
    made = {}
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        hubexport.make_reference(
            source="transformers", checkpoint=checkpoint, output=tmp_path / name, seed=seed
        )
        made[name] = (tmp_path / name).read_bytes()
    assert made["first"] == made["again"] != made["other"]
    cases = read_reference(tmp_path / "first").cases
    for case in random_cases(50, 12, 3, seed=5):
        for key, value in case.inputs.items():
            np.testing.assert_array_equal(cases[case.name].inputs[key], value)
