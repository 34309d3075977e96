"""References of fairseq's own files are what the model gives that they were made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hubexport.errors import CheckpointError, TensorMismatchError
from hubexport.validation.references.job import make_reference
from tests.validation.references.expected import LEFT_PADDED, RANDOM_CASES, assert_outputs

if TYPE_CHECKING:
    from tests.oracles import fairseq
else:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import fairseq


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`make_reference` of a file into `tmp_path / "reference"`."""

    def call(checkpoint: Path) -> dict[str, Any]:
        return make_reference(
            source="transformers", checkpoint=checkpoint, output=tmp_path / "reference"
        )

    return call


def given_by(model: Any) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
    return lambda inputs: fairseq.expected_outputs(model, inputs)


@pytest.mark.parametrize("name", [
    "RobertaForMaskedLM",
    pytest.param("RobertaForSequenceClassification", marks=pytest.mark.exhaustive),
])  # fmt: skip
@pytest.mark.parametrize("layout", fairseq.LAYOUTS)
def test_every_release(layout: str, name: str, make: Any, tmp_path: Path) -> None:
    """Queries, keys and values are one matrix in the oldest."""
    model = fairseq.build(name)
    summary = make(fairseq.write_checkpoint(tmp_path / "model.pt", model, layout=layout))
    assert list(summary["cases"]) == RANDOM_CASES + LEFT_PADDED
    assert f"({name})" in summary["provenance"]["made_by"]
    reference = assert_outputs(tmp_path / "reference", given_by(model))
    assert reference.provenance.architecture["max_position_embeddings"] == 12
    assert reference.provenance.architecture["type_vocab_size"] == 0
    notes = " ".join(reference.provenance.notes)
    assert "no pooled_output" in notes and "not compared" not in notes


def test_another_activation(make: Any, tmp_path: Path) -> None:
    model = fairseq.build("RobertaForMaskedLM", hidden_act="relu")
    make(fairseq.write_checkpoint(tmp_path / "model.pt", model, legacy=True, optimizer=False))
    assert_outputs(tmp_path / "reference", given_by(model))


def test_both_heads(make: Any, tmp_path: Path) -> None:
    model = fairseq.build("RobertaForMaskedLM")
    mnli = fairseq.build("RobertaForSequenceClassification")
    file = fairseq.write_checkpoint(tmp_path / "model.pt", model, heads={"mnli": mnli})
    make(file)

    assert_outputs(
        tmp_path / "reference",
        lambda inputs: fairseq.expected_outputs(model, inputs, {"classifier": mnli}),
    )


def test_of_several_heads_none_is_compared(make: Any, tmp_path: Path) -> None:
    model = fairseq.build("RobertaForMaskedLM")
    heads = {
        name: fairseq.build("RobertaForSequenceClassification", num_labels=number)
        for name, number in (("mnli", 3), ("rte", 2))
    }
    summary = make(fairseq.write_checkpoint(tmp_path / "model.pt", model, heads=heads))
    notes = " ".join(summary["provenance"]["notes"])
    assert "not compared, of no part of the reference: classification_heads.mnli." in notes
    assert "classification_heads.rte." in notes
    assert_outputs(tmp_path / "reference", given_by(model))


def broken(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A file whose state dict was changed."""
    file = fairseq.write_checkpoint(path, fairseq.build("RobertaForMaskedLM"), layout="new")
    with fairseq.torch.serialization.safe_globals([fairseq.argparse.Namespace]):
        content = fairseq.torch.load(file)
    change(content["model"])
    fairseq.torch.save(content, file)
    return file


def test_all_that_is_missing_is_told_at_once(make: Any, tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        del state["encoder.sentence_encoder.embed_positions.weight"]
        del state["encoder.sentence_encoder.layers.1.fc2.bias"]
        del state["encoder.lm_head.dense.weight"]

    with pytest.raises(TensorMismatchError) as caught:
        make(broken(tmp_path / "model.pt", change))
    message = str(caught.value)
    assert "missing (3): roberta.embeddings.position_embeddings.weight" in message
    assert "roberta.encoder.layer.1.output.dense.bias" in message
    assert "lm_head.dense.weight" in message


def test_tensors_of_another_model(make: Any, tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state["encoder.sentence_encoder.gate"] = state["encoder.lm_head.bias"].clone()

    with pytest.raises(CheckpointError, match=r"encoder\.sentence_encoder\.gate"):
        make(broken(tmp_path / "model.pt", change))
