"""Every model that transformers' first releases had a shortcut name for: an encoder with its heads,
a preprocessor and a page; docs/models.md."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubexport.cards.loading import Catalogue, load_catalogue
from tests.cards.material import MODEL_CARDS
from tests.forks import ROOT
from tests.planned import planned

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.cards.rendering.exported import BASIC, MAKERS, PREPROCESSORS, artifacts_for
from tests.oracles import shortcuts


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(MODEL_CARDS)


def test_every_name(catalogue: Catalogue) -> None:
    published = {handle for handle in catalogue.encoders if handle.startswith("huggingface/")}
    assert {f"huggingface/{name}" for name in shortcuts.MODELS} == published


@pytest.mark.parametrize("name", shortcuts.MODELS)
def test_of_its_true_shape(name: str, catalogue: Catalogue, tmp_path: Path) -> None:
    """Every tensor has its variable; what is made of them is what was counted, and what the card
    says; and pages of the family are rendered from a real export, with its preprocessor's."""
    shortcut, card = shortcuts.MODELS[name], catalogue.encoders[f"huggingface/{name}"]
    record, _ = planned(shortcuts.write(name, tmp_path / name), read=False, **shortcut.options)
    assert record["family"]["name"] == card.family or name.startswith("xlm-roberta")
    assert tuple(record["heads"]) == shortcut.heads
    architecture = record["architecture"]
    assert round(architecture["num_parameters"] / 1e6, 2) == shortcut.millions
    assert not record["skipped_tensors"]
    for size in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"):
        stated = getattr(card.architecture, size)
        assert stated is None or stated == architecture[size], size
    assert artifacts_for(card)
    assert PREPROCESSORS.get(card.family, BASIC[1]) in MAKERS
    assert catalogue.preprocessors[card.preprocessor].languages == card.languages


def test_the_page_is_up_to_date() -> None:
    script = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "generate_models.py")))
    assert script.page() == (ROOT / "docs" / "models.md").read_text("utf-8")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["distilbert-base-uncased", "xlnet-base-cased"])
def test_whole(name: str, tmp_path: Path) -> None:
    """Exported with random weights of its true shape, and compared with its reference."""
    import torch
    import transformers

    from hubexport.validation.gates import numerics
    from hubexport.validation.reference_file import read_reference
    from tests.artifacts import export_encoder, make_reference
    from tests.validation.faults import failing, judged
    from tests.validation.gates.contexts import context

    shortcut = shortcuts.MODELS[name]
    made_by: Any = getattr(transformers, shortcut.made_by)
    torch.manual_seed(0)
    made_by(made_by.config_class(**shortcut.config)).save_pretrained(tmp_path / "checkpoint")
    make_reference(
        source="transformers", checkpoint=tmp_path / "checkpoint", output=tmp_path / "reference"
    )
    export_encoder(checkpoint=tmp_path / "checkpoint", export_path=tmp_path / "encoder")
    given = context(tmp_path / "encoder", reference=read_reference(tmp_path / "reference"))
    assert not failing(judged(given, numerics))
