"""From arguments to pages: one model's, or a whole tree of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.cards.agreement import check_agreement
from hubexport.cards.loading import Catalogue, load_cards, load_catalogue
from hubexport.cards.rendering.formats import FORMATS, Files, site, tree
from hubexport.cards.rendering.platforms import Addresses
from hubexport.cards.rendering.selecting import choose_card, records_of_tree
from hubexport.cards.schema import Card, Model
from hubexport.errors import UsageError, some_of
from hubexport.saved_model.record import load_record

SITE = "html"
"""The format that is a site of the whole catalogue."""


def render_page(
    *,
    card: str | os.PathLike[str],
    saved_model: str | os.PathLike[str] | None = None,
    format: str = "tfhub",
    handle: str | None = None,
    addresses: Addresses = Addresses(),  # noqa: B008  it is frozen
) -> Files:
    """The page of one model, collection or publisher.

    Args:
      card: a `.yaml` file of model cards; the files of papers, datasets and other cards are looked
        for in its directory and in those above it that hold `.yaml` files.
      saved_model: the exported artifact; None for collections and publishers.
      format: `tfhub`, `kaggle`, `huggingface`, or `html` for the site of the whole catalogue.
      handle: `publisher/name` of the card, where the file has several that fit.
      addresses: of a publisher's own servers.

    Returns:
      file name -> text.

    Raises:
      HubexportError: the card is wrong, or is not of this artifact.
    """
    path, artifact = Path(card), None if saved_model is None else Path(saved_model)
    catalogue = load_catalogue(catalogue_directory(path))
    chosen = _choose(load_cards(path), artifact, handle, catalogue)
    records = {} if artifact is None else {chosen.handle: load_record(artifact)}
    if format == SITE:
        return site(catalogue, records, addresses.hub_url)
    if chosen.kind not in FORMATS[format].kinds:
        raise UsageError(
            f"the format has no pages of {chosen.kind}s",
            [("--format", format), ("card", chosen.handle)],
            "choose another format.",
        )
    return FORMATS[format].page(chosen, catalogue, records, addresses)


def render_tree(
    *,
    cards: str | os.PathLike[str],
    saved_models: str | os.PathLike[str] | None = None,
    format: str = "tfhub",
    addresses: Addresses = Addresses(),  # noqa: B008  it is frozen
) -> Files:
    """The pages of all artifacts below a directory.

    Args:
      cards: a directory of model cards.
      saved_models: the directory that the artifacts are in; None for a site of cards alone.
      format, addresses: as for `render_page`.

    Returns:
      path with slashes -> text.

    Raises:
      HubexportError: a card is wrong, or an artifact has none.
    """
    catalogue = load_catalogue(Path(cards))
    records: Mapping[str, Mapping[str, Any]] = {}
    if saved_models is not None:
        models: list[Model] = [*catalogue.encoders.values()]
        models += catalogue.preprocessors.values()
        records = records_of_tree(Path(saved_models), models, catalogue.files)
        check_agreement(models, records, catalogue)
    if format == SITE:
        return site(catalogue, records, addresses.hub_url)
    return tree(format, _all(catalogue), catalogue, records, addresses)


def catalogue_directory(path: Path) -> Path:
    """The outermost directory around a card in which every step holds `.yaml` files."""
    directory = path if path.is_dir() else path.absolute().parent
    while any(directory.parent.glob("*.yaml")):
        directory = directory.parent
    return directory


def _choose(
    cards: list[Card], artifact: Path | None, handle: str | None, catalogue: Catalogue
) -> Card:
    if artifact is not None:
        kind = load_record(artifact)["kind"]
        models = [card for card in cards if isinstance(card, Model) and card.kind == kind]
        if not models:
            raise UsageError(
                f"the file has no card of an {kind}" if kind == "encoder" else
                f"the file has no card of a {kind}",
                [("cards", some_of(f"{card.handle} ({card.kind})" for card in cards))],
                "pass the file with the card of the artifact as --card.",
            )  # fmt: skip
        return choose_card(models, artifact, handle, catalogue.files)
    found = [card for card in cards if handle in (None, card.handle)]
    if len(found) != 1:
        raise UsageError(
            "it takes one card" if found else "there is no card with this handle",
            [("cards", some_of(card.handle for card in cards))],
            "pass the handle of one of these as --handle, or an artifact as --saved_model.",
        )
    if isinstance(found[0], Model):
        raise UsageError(
            "the page of a model speaks of its artifact",
            [("card", found[0].handle)],
            "pass the exported SavedModel as --saved_model.",
        )
    return found[0]


def _all(catalogue: Catalogue) -> list[Card]:
    tables = (
        catalogue.encoders, catalogue.preprocessors, catalogue.collections, catalogue.publishers
    )  # fmt: skip
    return [card for table in tables for card in table.values()]
