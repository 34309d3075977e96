"""The catalogue, artifacts to render its pages of, and records of all that can be exported."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import pytest

from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.schema import EncoderCard
from hubexport.families.registry import families
from tests.cards.material import MODEL_CARDS
from tests.cards.rendering.exported import BASIC, Artifacts, enlarged, enlarged_pipeline
from tests.cards.rendering.pages import validation

Records = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Of the repository."""
    return load_catalogue(MODEL_CARDS)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Small ones, by name."""
    return Artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def basic(artifacts: Artifacts) -> Records:
    """Kind -> record of a small artifact that was validated."""
    kinds = ("encoder", "preprocessor")
    records = {kind: artifacts[name].record for kind, name in zip(kinds, BASIC, strict=True)}
    return {kind: {**record, "validation": [validation()]} for kind, record in records.items()}


@pytest.fixture(scope="session")
def records(basic: Mapping[str, Any], catalogue: Catalogue, artifacts: Artifacts) -> Records:
    """Handle -> record, of all models that can be exported; pipelines where their libraries are."""
    models = [*catalogue.encoders.values(), *catalogue.preprocessors.values()]
    found = {
        card.handle: enlarged(basic[card.kind], card)
        for card in models
        if not isinstance(card, EncoderCard) or card.family in families()
    }
    has_models = importlib.util.find_spec("sentence_transformers") is not None
    for pipeline in catalogue.pipelines.values() if has_models else ():
        record = artifacts[pipeline.task].record
        found[pipeline.handle] = enlarged_pipeline(record, pipeline, catalogue)
    return found
