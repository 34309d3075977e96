"""Small models of transformers, their references, and the encoders exported from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.artifacts import export_encoder, make_reference
from tests.forks import forked_children
from tests.validation.here import gates_here

__all__ = ["forked_children", "gates_here"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint in transformers' layout, and what transformers makes of it."""

    checkpoint: Path
    reference: Path
    encoder: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """BertForPreTraining with random weights; tanh GELU is not its activation."""
    return _made("BertForPreTraining", tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The same without heads, which costs a third."""
    return _made("BertModel", tmp_path_factory.mktemp("plain"))


def _made(name: str, work: Path) -> Trained:
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    made = Trained(work / "model", work / "reference", work / "encoder")
    hugging_face.save_safetensors(hugging_face.build(name), made.checkpoint)
    make_reference(source="transformers", checkpoint=made.checkpoint, output=made.reference)
    export_encoder(checkpoint=made.checkpoint, export_path=made.encoder)
    return made
