"""The head of a page in the form of tfhub.dev: title, short description and metadata lines."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from hubexport.cards.allowed import LICENCES
from hubexport.cards.lint.tfhub_metadata import Entry, check_metadata
from hubexport.cards.loading import Catalogue
from hubexport.cards.problems import shown
from hubexport.cards.rendering.filters import plain
from hubexport.cards.rendering.metadata.common import distinct, fine_tunable
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

Record: TypeAlias = Mapping[str, Any] | None

FORMAT = "saved_model_2"

# Neither spaces nor < and >, with which an address could end the comment that it stands in.
_ADDRESS = re.compile(r"(?:https?|gs)://[!-;=?-~]+")


def head(card: Card, record: Record, catalogue: Catalogue, asset_path: str | None) -> str:
    """What stands before the text: all up to the first `## `, the blank line before it included.

    Args:
      card: what the page is about.
      record: of the artifact (docs/record.md); None where there is none yet.
      catalogue: where a collection's members are.
      asset_path: address of the artifact's archive; pages of other things than models have none.
        Without it a model's page lacks the line, which the checker asks for before publication.

    Raises:
      HubexportError: an archive whose address cannot stand there; a collection without members.
    """
    blocks = [
        f"{_title(card)}\n{plain(card.description)}\n",
        "".join(f"<!-- {key}: {value} -->\n" for key, value in _lines(card, record, catalogue)),
        _icon(card),
    ]
    if asset_path is not None and isinstance(card, Model):
        blocks[1] = f"<!-- asset-path: {_address(asset_path, card)} -->\n{blocks[1]}"
    return "".join(f"{block}\n" for block in blocks if block)


@functools.singledispatch
def _title(card: Card) -> str:
    """The first line, whose form says what the page is about."""
    raise TypeError(f"a {type(card).__name__} is not a card")


@_title.register(EncoderCard)
@_title.register(PreprocessorCard)
@_title.register(PipelineCard)
def _(card: Model) -> str:
    return f"# Module {card.handle}/{card.version}"


@_title.register
def _(card: CollectionCard) -> str:
    return f"# Collection {card.handle}/1"


@_title.register
def _(card: PublisherCard) -> str:
    return f"# Publisher {card.publisher}"


Lines: TypeAlias = Iterator[tuple[str, str]]


@functools.singledispatch
def _lines(card: Card, record: Record, catalogue: Catalogue) -> Lines:
    """(key, value) of the metadata lines."""
    raise TypeError(f"a {type(card).__name__} is not a card")


@_lines.register(EncoderCard)
@_lines.register(PreprocessorCard)
@_lines.register(PipelineCard)
def _(card: Model, record: Record, catalogue: Catalogue) -> Lines:
    source, asked = catalogue.source(card), card.tfhub
    licence = LICENCES[source.licence.spdx].tfhub if source.licence else None
    yield from _each("task", asked.tasks)
    yield "fine-tunable", str(fine_tunable(card, record)).lower()
    yield "format", FORMAT
    network = asked.network_architecture or source.tfhub.network_architecture
    yield from _each("network-architecture", [network])
    yield from _each("dataset", asked.datasets or source.tfhub.datasets)
    yield from _each("language", asked.languages or source.tfhub.languages)
    yield from _each("license", [licence])
    yield from _each("colab", [asked.colab])


@_lines.register
def _(card: CollectionCard, record: Record, catalogue: Catalogue) -> Lines:
    members = [member.tfhub for member in catalogue.members(card.handle)]
    if not members:
        raise HubexportError(
            "a collection without models has no page",
            [("collection", card.handle)],
            "name the collection in `collections` of the models that belong to it.",
        )
    yield from _each("task", [task for member in members for task in member.tasks])
    yield from _each("network-architecture", [member.network_architecture for member in members])
    yield from _each("dataset", [dataset for member in members for dataset in member.datasets])
    yield from _each("language", [language for member in members for language in member.languages])


@_lines.register
def _(card: PublisherCard, record: Record, catalogue: Catalogue) -> Lines:
    yield from ()


def _each(key: str, values: Iterable[str | None]) -> Lines:
    return ((key, value) for value in distinct(values))


def _icon(card: Card) -> str:
    """A publisher's image; parentheses would end its address."""
    icon = getattr(card, "icon", None) or ""
    return icon and f"[![Icon URL]]({icon.replace('(', '%28').replace(')', '%29')})\n"


def _address(path: str, card: Card) -> str:
    """The address of an archive, if the line may have it."""
    findings = check_metadata([Entry(1, "asset-path", path)], "encoder", 1)
    problems = [found.message for found in findings if found.rule == "asset-path"]
    if not problems and not _ADDRESS.fullmatch(path):
        problems = [f"asset-path has characters that a URL must escape: {shown(path)}"]
    if problems:
        raise HubexportError(
            "the archive's address cannot stand on a page",
            [("model", card.handle), ("address", "; ".join(problems))],
            "give an https:// or gs:// URL that ends in .tar.gz.",
        )
    return path
