"""One small model of transformers, its reference, and the encoder that was exported from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import hubexport

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint in transformers' layout, and what transformers makes of it."""

    checkpoint: Path
    reference: Path
    encoder: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """BertForPreTraining with random weights; tanh GELU is not its activation."""
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    work = tmp_path_factory.mktemp("trained")
    checkpoint = work / "checkpoint"
    hugging_face.build("BertForPreTraining", **SIZES).save_pretrained(checkpoint)
    hubexport.make_reference(
        source="transformers", checkpoint=checkpoint, output=work / "reference"
    )
    hubexport.export_encoder(checkpoint=checkpoint, export_path=work / "encoder")
    return Trained(checkpoint, work / "reference", work / "encoder")
