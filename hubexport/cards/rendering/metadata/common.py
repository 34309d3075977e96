"""What more than one platform asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Dataset, DataUse
from hubexport.cards.schema import EncoderCard, Model, PipelineCard, PreprocessorCard


def fine_tunable(card: Model, record: Mapping[str, Any] | None) -> bool:
    """Whether an artifact is for training, too: its record says; preprocessors never are.

    Without a record it is, since the exporter makes all variables of encoders trainable, and
    float32 unless it is told otherwise.
    """
    record = record or {}
    root = (record.get("saved_model") or {}).get("root") or {}
    encoder = (record.get("encoder") or {}) if isinstance(card, PipelineCard) else record
    stored = (encoder.get("architecture") or {}).get("variable_dtype", "float32")
    trainable = stored == "float32" and root.get("trainable_variables", 1) > 0
    return not isinstance(card, PreprocessorCard) and trainable


def distinct(texts: Iterable[str | None]) -> list[str]:
    """The texts that there are, each once, in the order of their first places."""
    return [text for text in dict.fromkeys(texts) if text]


def data_of(card: Model, catalogue: Catalogue) -> list[Dataset]:
    """What the weights were trained on, or the vocabulary was made from."""
    uses: tuple[DataUse, ...]
    source = catalogue.source(card)
    uses = source.training_data if isinstance(source, EncoderCard) else source.vocabulary_data
    return [catalogue.datasets[use.dataset] for use in uses]
