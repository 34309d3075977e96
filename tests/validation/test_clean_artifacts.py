"""Clean encoders pass every gate: of Hugging Face checkpoints, against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hubexport
from tests.artifacts import export_encoder, make_reference
from tests.validation.clean import assert_clean, exported

POOLED = ("pooled_output", "default")
BOTH = (*POOLED, "mlm_logits", "nsp_logits")


@pytest.fixture(scope="module")
def hf() -> Any:
    """`tests.oracles.hugging_face`, imported when needed."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import hugging_face

    return hugging_face


def saved(hf: Any, name: str, saver: str, directory: Path, **config: Any) -> Path:
    """A checkpoint of that class of transformers, written in that way; its path."""
    (directory / "model").mkdir()
    return hf.SAVERS[saver](hf.build(name, **config), directory / "model")


@pytest.mark.exhaustive
@pytest.mark.parametrize("saver", ["bin", "tar.gz"])
def test_other_file_formats(saver: str, hf: Any, tmp_path: Path) -> None:
    checkpoint = saved(hf, "BertForPreTraining", saver, tmp_path)
    artifact, reference = exported(checkpoint, tmp_path, "transformers")
    assert_clean(artifact, reference, BOTH)


@pytest.mark.parametrize("config", [
    pytest.param(
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5}, marks=pytest.mark.exhaustive
    ),
    pytest.param({"hidden_act": "relu"}, marks=pytest.mark.exhaustive),
], ids=str)  # fmt: skip
def test_formulas_of_the_configuration(config: dict[str, Any], hf: Any, tmp_path: Path) -> None:
    checkpoint = saved(hf, "BertModel", "safetensors", tmp_path, **config)
    artifact, reference = exported(checkpoint, tmp_path, "transformers")
    assert_clean(artifact, reference, POOLED)


@pytest.fixture(scope="module")
def without_pooler(hf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint that has no pooler, and its reference."""
    work = tmp_path_factory.mktemp("without_pooler")
    checkpoint = saved(hf, "BertForMaskedLM", "safetensors", work)
    reference = work / "reference"
    make_reference(source="transformers", checkpoint=checkpoint, output=reference)
    return checkpoint, reference


@pytest.mark.parametrize("pooler", [
    "mean",
    pytest.param("cls", marks=pytest.mark.exhaustive),
    pytest.param("identity", marks=pytest.mark.exhaustive),
    pytest.param("untrained", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_without_pooler(pooler: str, without_pooler: tuple[Path, Path], tmp_path: Path) -> None:
    """Of a random pooler there is no reference: then the other outputs are compared."""
    checkpoint, reference = without_pooler
    export_encoder(checkpoint=checkpoint, export_path=tmp_path / "encoder", pooler=pooler)
    pooled = () if pooler == "untrained" else POOLED
    assert_clean(tmp_path / "encoder", reference, (*pooled, "mlm_logits"))


@pytest.mark.parametrize("name", [
    "BertModel", pytest.param("BertForMaskedLM", marks=pytest.mark.exhaustive)
])  # fmt: skip
def test_sentence_transformers(name: str, hf: Any, tmp_path: Path) -> None:
    """`default` is the sentence embedding; so is `pooled_output` where there is no pooler."""
    pytest.importorskip("sentence_transformers")
    checkpoint = saved(hf, name, "safetensors", tmp_path)
    hf.write_sentence_transformers(checkpoint, {"pooling_mode": "mean"}, normalize=True, newer=True)
    artifact, reference = exported(checkpoint, tmp_path, "transformers")
    pooler = hubexport.load_record(artifact)["pooler"]
    assert pooler["default"] == "sentence_embedding"
    heads = () if name == "BertModel" else ("mlm_logits",)
    assert_clean(artifact, reference, (*POOLED, *heads))


@pytest.mark.parametrize("positions", [
    11, pytest.param(3, marks=pytest.mark.exhaustive)
])  # fmt: skip
def test_fewer_positions(positions: int, hf: Any, tmp_path: Path) -> None:
    """What is longer than the artifact's positions is not asked of it."""
    checkpoint = saved(hf, "BertModel", "safetensors", tmp_path)
    artifact, reference = exported(
        checkpoint, tmp_path, "transformers", max_position_embeddings=positions
    )
    report = assert_clean(artifact, reference, POOLED)
    numerics = next(gate for gate in report.gates if gate.name == "numerics")
    assert "full_length" in numerics.detail
    assert not any(each.what.startswith("full_length") for each in numerics.measurements)


@pytest.mark.parametrize("dtype", [
    "bfloat16", pytest.param("float16", marks=pytest.mark.exhaustive)
])  # fmt: skip
def test_shorter_formats(dtype: str, hf: Any, tmp_path: Path) -> None:
    """An encoder that computes in a shorter format is held to that format's limits."""
    checkpoint = saved(hf, "BertModel", "safetensors", tmp_path)
    artifact, reference = exported(checkpoint, tmp_path, "transformers", dtype=dtype)
    report = assert_clean(artifact, reference, POOLED)
    # It does round: float32's limits would not hold.
    numerics = next(gate for gate in report.gates if gate.name == "numerics")
    relative = [each for each in numerics.measurements if "relative Frobenius" in each.what]
    assert all(float(each.figure or 0) > 1e-5 for each in relative)
