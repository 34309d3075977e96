"""Kaggle's model-metadata.json and model-instance-metadata.json.

A Kaggle model holds several of the catalogue's: its variations, preprocessors among them. What is
said of it is therefore the same whichever card it is made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.metadata.common import data_of, distinct, fine_tunable
from hubexport.cards.schema import CollectionCard, EncoderCard, Model
from hubexport.errors import HubexportError

# Of data sets and notebooks; Kaggle says no limit for models.
MAX_SUBTITLE = 80


def model_metadata(card: Model, catalogue: Catalogue, description: str) -> dict[str, Any]:
    """What model-metadata.json holds.

    Args:
      card: one of the model's variations.
      catalogue: where the other variations are.
      description: the model's page, Markdown.
    """
    variations = _variations(card, catalogue)
    subject = _subject(variations, catalogue)
    subtitle = subject.description if len(subject.description) <= MAX_SUBTITLE else None
    return _known(
        ownerSlug=card.publisher,
        title=subject.title,
        slug=card.kaggle.model,
        subtitle=subtitle,
        # People decide when it is seen; to publish by mistake cannot be undone.
        isPrivate=True,
        description=description,
        publishTime=_first_day(variations, catalogue),
        provenanceSources="\n".join(
            distinct(catalogue.source(each).origin.release for each in variations)
        ),
    )


def instance_metadata(
    card: Model,
    record: Mapping[str, Any] | None,
    catalogue: Catalogue,
    *,
    overview: str,
    usage: str,
) -> dict[str, Any]:
    """What model-instance-metadata.json holds.

    Args:
      card: the variation.
      record: of the artifact (docs/record.md); None where there is none yet.
      catalogue: where its data sets are, and the encoder that it was made of.
      overview, usage: Markdown; in `usage` Kaggle replaces its variables, such as `${PATH}`.

    Raises:
      HubexportError: the card states no licence, or one for which Kaggle has no name.
    """
    return _known(
        ownerSlug=card.publisher,
        modelSlug=card.kaggle.model,
        instanceSlug=card.kaggle.variation,
        framework=card.kaggle.framework,
        overview=overview or None,
        usage=usage or None,
        licenseName=_licence(card, catalogue),
        fineTunable=fine_tunable(card, record),
        trainingData=distinct(each.title for each in data_of(card, catalogue)) or None,
        **_lineage(card, catalogue),
    )


def dumps(metadata: Mapping[str, Any]) -> str:
    """The text of a file of metadata."""
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _variations(card: Model, catalogue: Catalogue) -> list[Model]:
    """The encoders of the Kaggle model that a card belongs to; without any, the card."""

    def together(other: Model) -> bool:
        return (other.publisher, other.kaggle.model) == (card.publisher, card.kaggle.model)

    return [other for other in catalogue.encoders.values() if together(other)] or [card]


def _subject(variations: list[Model], catalogue: Catalogue) -> Model | CollectionCard:
    """What names all variations: the only one, or the smallest collection that has them all."""
    first, *others = variations
    shared = [
        catalogue.collections[handle]
        for handle in first.collections
        if others and all(handle in other.collections for other in others)
    ]
    return min(shared, key=lambda each: len(catalogue.members(each.handle)), default=first)


def _first_day(variations: list[Model], catalogue: Catalogue) -> str | None:
    """The day of the first release, as far as all are known."""
    days = [catalogue.source(each).origin.released_on for each in variations]
    return None if None in days else min(filter(None, days))


def _licence(card: Model, catalogue: Catalogue) -> str:
    licence = catalogue.source(card).licence
    if licence is None:
        raise HubexportError(
            "Kaggle asks for a model's licence, and the card states none",
            [("model", card.handle)],
            "add `licence` with `spdx` and `evidence` to the card, or leave the model off Kaggle.",
        )
    name = LICENCES[licence.spdx].kaggle
    if name is None:
        raise HubexportError(
            "Kaggle has no name for the model's licence",
            [
                ("model", card.handle),
                ("licence", licence.spdx),
                ("stated at", licence.evidence),
            ],
            "leave the model off Kaggle, or add Kaggle's name to the table of licences, if it has "
            "one by now.",
        )
    return name


def _lineage(card: Model, catalogue: Catalogue) -> dict[str, str]:
    """Whether an encoder is a variant of another, and where that is.

    All variants are external ones: Kaggle takes its own models as bases only once they are there.
    """
    source = catalogue.source(card)
    if not isinstance(source, EncoderCard):
        return {}
    if source.derived_from is None:
        return {"modelInstanceType": "BaseModel"}
    origin = catalogue.encoders[source.derived_from.handle].origin
    url = next(iter(origin.checkpoints), origin.release)
    return {"modelInstanceType": "ExternalVariant", "externalBaseModelUrl": url}
