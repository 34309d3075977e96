"""The YAML at the top of a Hugging Face card, and the repository that the card is in."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

import yaml

from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Licence
from hubexport.cards.rendering.metadata.common import data_of, distinct
from hubexport.cards.rendering.metadata.model_index import model_index
from hubexport.cards.rendering.metadata.widget import widget
from hubexport.cards.schema import (
    Card,
    CollectionCard,
    EncoderCard,
    Model,
    PipelineCard,
    PreprocessorCard,
    PublisherCard,
)
from hubexport.errors import HubexportError

LIBRARY = "tf-keras"
MAX_REPOSITORY = 96  # characters

_Values: TypeAlias = dict[str, Any]
_PART = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]*\w)?", re.ASCII)


def front_matter(card: Card, record: Mapping[str, Any] | None, catalogue: Catalogue) -> str:
    """The YAML with its fences, `---` before and after it.

    Args:
      card: what the page is about; that of a publisher is the page of an organisation.
      record: of the artifact; the Hub has a key for a pipeline's example only.
      catalogue: where data sets are, the encoder that another was made of, and members.
    """
    found = {**_values(card, catalogue), "widget": widget(card, record or {})}
    values = {key: value for key, value in found.items() if value is not None}
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return f"---\n{text}---\n"


def repository(card: Card) -> str:
    """`publisher/name`, where slashes in the name are dashes: the Hub has two levels only.

    The page of a publisher is in `publisher/README`.

    Raises:
      HubexportError: a name that the Hub does not take.
    """
    name = getattr(card, "name", "README").replace("/", "-")
    found = f"{card.publisher}/{name}"
    parts = (card.publisher, name)
    if len(found) > MAX_REPOSITORY or not all(_PART.fullmatch(part) for part in parts):
        raise HubexportError(
            "Hugging Face takes no repository of this name",
            [("card", card.handle), ("repository", found)],
            f"choose a name of ASCII letters, digits and single - . _ between them, with at most "
            f"{MAX_REPOSITORY} characters.",
        )
    return found


@functools.singledispatch
def _values(card: Card, catalogue: Catalogue) -> _Values:
    """Keys and values; None for what is not known."""
    raise TypeError(f"a {type(card).__name__} is not a card")


@_values.register
def _(card: EncoderCard, catalogue: Catalogue) -> _Values:
    family = card.family.replace("_", "-")
    return {
        **_model(card, catalogue, [*card.hugging_face.tags, family]),
        **_base_of_encoder(card, catalogue),
        "model-index": model_index(card.title, card.evaluation, catalogue.datasets) or None,
    }


@_values.register
def _(card: PreprocessorCard, catalogue: Catalogue) -> _Values:
    return {
        **_model(card, catalogue, card.hugging_face.tags),
        "base_model": card.hugging_face.base_model,
    }


@_values.register
def _(card: PipelineCard, catalogue: Catalogue) -> _Values:
    """Results are those of the encoder's card, if this one has none."""
    encoder = catalogue.encoders[card.encoder]
    family = encoder.family.replace("_", "-")
    results = card.evaluation or encoder.evaluation
    own = card.hugging_face.base_model
    return {
        **_model(card, catalogue, [*card.hugging_face.tags, family]),
        **({"base_model": own} if own else _base_of_encoder(encoder, catalogue)),
        "model-index": model_index(card.title, results, catalogue.datasets) or None,
    }


@_values.register
def _(card: CollectionCard, catalogue: Catalogue) -> _Values:
    """What members have in common; languages are those of all."""
    members = catalogue.members(card.handle)
    sources = [catalogue.source(member) for member in members]
    languages = distinct(language for source in sources for language in source.languages)
    tags = [set(member.hugging_face.tags) for member in members]
    licences = {each.licence and each.licence.spdx: each.licence for each in sources}
    return {
        "model_name": card.title,
        "language": languages or None,
        **(_licence(*licences.values()) if len(licences) == 1 else {}),
        "library_name": LIBRARY,
        "tags": sorted(set.intersection(*tags)) or None if tags else None,
    }


@_values.register
def _(card: PublisherCard, catalogue: Catalogue) -> _Values:
    """Pages of organisations are spaces of the Hub, with keys of their own."""
    return {"title": card.title, "sdk": "static", "pinned": False}


def _model(card: Model, catalogue: Catalogue, tags: Any) -> _Values:
    return {
        "model_name": card.title,
        "language": distinct(catalogue.source(card).languages),
        **_licence(catalogue.source(card).licence),
        "library_name": LIBRARY,
        "pipeline_tag": card.hugging_face.pipeline_tag,
        "tags": distinct(tags) or None,
        "datasets": distinct(each.hugging_face for each in data_of(card, catalogue)) or None,
    }


def _licence(licence: Licence | None) -> _Values:
    """The Hub's name; where it has none, SPDX's and the page that says so."""
    if licence is None:
        return {}
    name = LICENCES[licence.spdx].hugging_face
    if name != "other":
        return {"license": name}
    return {
        "license": name,
        "license_name": licence.spdx.removeprefix("LicenseRef-").lower(),
        "license_link": licence.evidence,
    }


def _base_of_encoder(card: EncoderCard, catalogue: Catalogue) -> _Values:
    """The repository that the weights are from, else that of the encoder they were made of.

    Of the Hub's relations none is that of a model to itself in another format, so that only
    fine-tuning between two repositories has one.
    """
    if card.hugging_face.base_model or card.derived_from is None:
        return {"base_model": card.hugging_face.base_model}
    original = catalogue.encoders[card.derived_from.handle].hugging_face.base_model
    tuned = original and card.derived_from.how == "fine_tuned"
    return {"base_model": original, "base_model_relation": "finetune" if tuned else None}


class _Dumper(yaml.SafeDumper):
    """YAML that readers of its versions 1.1 and 1.2 take for the same."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Quoted unless it begins as a word: 1e3 and 0o7 are numbers in one version only."""
    plain = re.match("[A-Za-z]", text) and text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)
