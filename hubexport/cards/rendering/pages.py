"""A page's Markdown: the text below its head, the same for every platform but for addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hubexport.cards.agreement import check_agreement
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.collection import grid_of
from hubexport.cards.rendering.facts.encoder import EncoderFacts
from hubexport.cards.rendering.facts.model import Facts, Record
from hubexport.cards.rendering.facts.pipeline import PipelineFacts
from hubexport.cards.rendering.facts.preprocessor import PreprocessorFacts
from hubexport.cards.rendering.platforms import Platform
from hubexport.cards.rendering.templates import render
from hubexport.cards.schema import (
    Card,
    CollectionCard,
    EncoderCard,
    Model,
    PipelineCard,
    PreprocessorCard,
    PublisherCard,
)

Records = Mapping[str, Mapping[str, Any]]
"""Handle -> record of the artifact; models that have not been exported are left out."""


def body(card: Card, catalogue: Catalogue, records: Records, platform: Platform) -> str:
    """The text of a page, from its first `##` on.

    Raises:
      HubexportError: the artifact is not the model that the card speaks of.
    """
    if isinstance(card, CollectionCard):
        return collection_body(card, catalogue, records, platform)
    if isinstance(card, PublisherCard):
        return publisher_body(card, catalogue, platform)
    return render(f"{card.kind}.md.jinja", page=facts(card, catalogue, records, platform))


def facts(card: Model, catalogue: Catalogue, records: Records, platform: Platform) -> Facts:
    """What the templates of a model's page read.

    Raises:
      HubexportError: the artifact is not the model that the card speaks of.
    """
    check_agreement([card], records, catalogue)
    record = Record(records.get(card.handle, {}))
    if isinstance(card, EncoderCard):
        beside = Record(records.get(card.preprocessor, {}))
        return EncoderFacts(card, record, catalogue, platform, beside)
    if isinstance(card, PipelineCard):
        held, text = (Record(record.get(kind) or {}) for kind in ("encoder", "preprocessor"))
        encoder = EncoderFacts(catalogue.encoders[card.encoder], held, catalogue, platform, text)
        return PipelineFacts(card, record, catalogue, platform, encoder)
    return PreprocessorFacts(card, record, catalogue, platform)


def section(name: str, page: Facts) -> str:
    """One part of a model's page, for platforms that keep parts apart: `usage`, `overview`."""
    return render(f"{page.card.kind}/{name}.md.jinja", page=page)


def collection_body(
    card: CollectionCard, catalogue: Catalogue, records: Records, platform: Platform
) -> str:
    """The page of a collection: its models, and the table of a grid where they are one."""
    members = catalogue.members(card.handle)
    return render(
        "collection.md.jinja",
        card=card,
        groups=_by_kind(members),
        grid=grid_of(members, records),
        papers=[catalogue.papers[name] for name in card.papers],
        platform=platform,
    )


def publisher_body(card: PublisherCard, catalogue: Catalogue, platform: Platform) -> str:
    """The page of a publisher: its collections and its models."""
    collections = [each for each in catalogue.collections.values() if _is_of(each, card)]
    models = [each for each in catalogue.models if _is_of(each, card)]
    groups = {"Collections": collections, **_by_kind(models)}
    return render("publisher.md.jinja", card=card, groups=groups, platform=platform)


def _is_of(card: Model | CollectionCard, publisher: PublisherCard) -> bool:
    return card.publisher == publisher.publisher


_TITLES = {
    EncoderCard.kind: "Encoders",
    PreprocessorCard.kind: "Preprocessors",
    PipelineCard.kind: "Pipelines",
}


def _by_kind(models: Iterable[Model]) -> dict[str, list[Model]]:
    """Title -> the models of a kind; empty where there are none."""
    listed = list(models)
    return {
        title: [card for card in listed if card.kind == kind] for kind, title in _TITLES.items()
    }
