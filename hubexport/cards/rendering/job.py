"""From arguments to pages: one model's, or a whole tree of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.cards.agreement import beside, check_agreement, disagreements, named
from hubexport.cards.loading import Catalogue, load_cards, load_catalogue
from hubexport.cards.rendering.formats import FORMATS, Files, site, tree
from hubexport.cards.rendering.platforms import Addresses
from hubexport.cards.schema import Card, Model, PipelineCard
from hubexport.errors import HubexportError, UsageError, some_of
from hubexport.saved_model.record import RECORD_PATH, load_record

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
        records = _records_of_tree(Path(saved_models), catalogue)
        check_agreement(catalogue.models, records, catalogue)
    if format == SITE:
        return site(catalogue, records, addresses.hub_url)
    return tree(format, _all(catalogue), catalogue, records, addresses)


def catalogue_directory(path: Path) -> Path:
    """The outermost directory around a card in which every step holds `.yaml` files.

    Hidden ones, such as a repository's settings, do not count.
    """
    directory = path if path.is_dir() else path.absolute().parent
    while any(not file.name.startswith(".") for file in directory.parent.glob("*.yaml")):
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
        return _choose_card(models, artifact, catalogue, handle)
    found = [card for card in cards if handle in (None, card.handle)]
    if len(found) != 1:
        raise UsageError(
            "several cards fit" if found else "there is no card with this handle",
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


def _choose_card(
    cards: Sequence[Model],
    directory: Path,
    catalogue: Catalogue,
    handle: str | None = None,
) -> Model:
    """The card of an artifact, of the cards of a file.

    Args:
      cards: of models, at least one.
      directory: the artifact, with its record.
      catalogue: that they are from.
      handle: of the card, where several fit.

    Raises:
      UsageError: there is no such handle, or several cards fit.
      HubexportError: no card fits, or the artifact has no record.
    """
    record = load_record(directory)
    cards = [card for card in cards if card.kind == record["kind"]] or cards
    if handle is not None:
        found = [card for card in cards if card.handle == handle]
        if not found:
            raise UsageError(
                "there is no card with this handle",
                [("--handle", handle), ("cards", some_of(card.handle for card in cards))],
                "pass one of these.",
            )
        return found[0]

    def differing(card: Model) -> list[str]:
        # Which encoder is meant does not depend on its preprocessor.
        held = beside(card, catalogue) if isinstance(card, PipelineCard) else []
        return disagreements(card, record, *held)

    fitting = [card for card in cards if not differing(card)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            "several cards fit the artifact",
            [("artifact", str(directory)), ("cards", some_of(card.handle for card in fitting))],
            "pass the handle of the right one as --handle.",
        )
    nearest = min(cards, key=lambda card: len(differing(card)))
    raise HubexportError(
        "no card fits the artifact",
        [
            ("artifact", str(directory)),
            ("nearest", named(nearest, catalogue.files)),
            *(("differs", each) for each in differing(nearest)),
        ],
        "pass the card of this model as --card, or correct the card.",
    )


def _records_of_tree(root: Path, catalogue: Catalogue) -> dict[str, Mapping[str, Any]]:
    """Handle -> record, of all artifacts below a directory.

    An artifact in `HANDLE` or `HANDLE/VERSION` is that model's; elsewhere it is that of the only
    card that fits.

    Raises:
      HubexportError: there is no artifact, one fits no card, or two are of the same model.
    """
    listed = catalogue.models
    by_place = {f"{card.handle}{end}": card for card in listed for end in ("", f"/{card.version}")}
    found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for directory in _artifacts(root):
        place = directory.relative_to(root).as_posix()
        card = by_place.get(place) or _choose_card(listed, directory, catalogue)
        if card.handle in found:
            raise HubexportError(
                "two artifacts are of the same model",
                [
                    ("model", card.handle),
                    ("first", str(found[card.handle][0])),
                    ("second", str(directory)),
                ],
                "put each into a directory with its handle, publisher/name.",
            )
        found[card.handle] = directory, load_record(directory)
    if not found:
        raise HubexportError(
            "there is no artifact with a record",
            [("looked below", str(root)), ("for", str(RECORD_PATH))],
            "pass the directory that the exported SavedModels are in.",
        )
    return {handle: record for handle, (_, record) in found.items()}


def _artifacts(root: Path) -> list[Path]:
    """Directories with a record, in order; what is inside an artifact is not looked at."""
    found = []
    for place, directories, _ in os.walk(root):
        directories.sort()
        if (Path(place) / RECORD_PATH).is_file():
            found.append(Path(place))
            directories.clear()
    return found


def _all(catalogue: Catalogue) -> list[Card]:
    rest: list[Card] = [*catalogue.collections.values(), *catalogue.publishers.values()]
    return [*catalogue.models, *rest]
