"""Which card speaks of which artifact."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.cards.agreement import disagreements, named
from hubexport.cards.schema import Model
from hubexport.errors import HubexportError, UsageError, some_of
from hubexport.saved_model.record import RECORD_PATH, load_record


def choose_card(
    cards: Sequence[Model],
    directory: Path,
    handle: str | None = None,
    files: Mapping[str, Path] | None = None,
) -> Model:
    """The card of an artifact, of the cards of a file.

    Args:
      cards: of models, at least one.
      directory: the artifact, with its record.
      handle: of the card, where several fit.
      files: handle -> file of the card, for messages.

    Raises:
      UsageError: there is no such handle, or several cards fit.
      HubexportError: no card fits, or the artifact has no record.
    """
    record = load_record(directory)
    if handle is not None:
        found = [card for card in cards if card.handle == handle]
        if not found:
            raise UsageError(
                "there is no card with this handle",
                [("--handle", handle), ("cards", some_of(card.handle for card in cards))],
                "pass one of these.",
            )
        return found[0]
    fitting = [card for card in cards if not disagreements(card, record)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            "several cards fit the artifact",
            [("artifact", str(directory)), ("cards", some_of(card.handle for card in fitting))],
            "pass the handle of the right one as --handle.",
        )
    nearest = min(cards, key=lambda card: len(disagreements(card, record)))
    raise HubexportError(
        "no card fits the artifact",
        [
            ("artifact", str(directory)),
            ("nearest", named(nearest, files or {})),
            *(("differs", each) for each in disagreements(nearest, record)),
        ],
        "pass the card of this model as --card, or correct the card.",
    )


def records_of_tree(
    root: Path, cards: Iterable[Model], files: Mapping[str, Path] | None = None
) -> dict[str, Mapping[str, Any]]:
    """Handle -> record, of all artifacts below a directory.

    An artifact in `HANDLE` or `HANDLE/VERSION` is that model's; elsewhere it is that of the only
    card that fits. `files` is as in `choose_card`.

    Raises:
      HubexportError: there is no artifact, one fits no card, or two are of the same model.
    """
    listed = list(cards)
    by_place = {f"{card.handle}{end}": card for card in listed for end in ("", f"/{card.version}")}
    found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for directory in _artifacts(root):
        place = directory.relative_to(root).as_posix()
        card = by_place.get(place) or choose_card(listed, directory, files=files)
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
