"""Files of model cards, read and checked: one of them, or the catalogue that a directory is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from hubexport.cards.expansion import expand
from hubexport.cards.nodes import Mapping as MappingNode
from hubexport.cards.nodes import Node, Scalar, kind_of, read_document
from hubexport.cards.parts import Dataset, Paper
from hubexport.cards.problems import CardError, Mark, Problem, hint, shown
from hubexport.cards.reading import Reader, Reference
from hubexport.cards.schema import (
    KINDS,
    Card,
    CollectionCard,
    Datasets,
    EncoderCard,
    Entry,
    Model,
    Papers,
    PipelineCard,
    PreprocessorCard,
    PublisherCard,
)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All cards of a directory; every name that one says of another is there.

    Attributes:
      encoders, preprocessors, pipelines, collections, publishers: handle without version -> card.
      papers, datasets: id -> what is known of it.
      files: handle -> the file that a card is in.
    """

    encoders: Mapping[str, EncoderCard]
    preprocessors: Mapping[str, PreprocessorCard]
    pipelines: Mapping[str, PipelineCard]
    collections: Mapping[str, CollectionCard]
    publishers: Mapping[str, PublisherCard]
    papers: Mapping[str, Paper]
    datasets: Mapping[str, Dataset]
    files: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def models(self) -> list[Model]:
        """Encoders, then preprocessors, then pipelines."""
        tables = (self.encoders, self.preprocessors, self.pipelines)
        return [card for table in tables for card in table.values()]

    def members(self, collection: str) -> list[Model]:
        """The models that say that they belong to a collection, in the order of `models`."""
        return [card for card in self.models if collection in card.collections]

    def source(self, card: Model) -> EncoderCard | PreprocessorCard:
        """The card that says where a model comes from: of a pipeline, its encoder's."""
        return self.encoders[card.encoder] if isinstance(card, PipelineCard) else card

    def pipelines_of(self, encoder: str) -> list[PipelineCard]:
        """The pipelines that hold an encoder."""
        return [card for card in self.pipelines.values() if card.encoder == encoder]

    def encoders_of(self, preprocessor: str) -> list[EncoderCard]:
        """The encoders that take what a preprocessor makes."""
        return [card for card in self.encoders.values() if card.preprocessor == preprocessor]


def load_cards(path: Path) -> list[Card]:
    """The cards of a file, or of all `.yaml` files below a directory, in the files' order.

    References between cards are not looked up, since a file does not have them all: see
    `load_catalogue`. Files of papers and datasets hold no cards.

    Raises:
      CardError: files that cannot be read or are wrong, with all their problems.
    """
    entries = (item.entry for item in _read_all(path))
    return [entry for entry in entries if not isinstance(entry, (Papers, Datasets))]


def load_catalogue(directory: Path) -> Catalogue:
    """All that the `.yaml` files below a directory hold.

    Raises:
      CardError: files that cannot be read or are wrong, names that are there twice, and names that
        are not there; with all problems of all files.
    """
    items = _read_all(directory)
    problems: list[Problem] = []
    tables: dict[str, dict[str, object]] = {kind: {} for kind in KINDS}
    for item in items:
        for name, value in _named(item.entry):
            table = tables[item.entry.kind]
            if name in table:
                message = f"the {item.entry.kind} {name!r} is there twice"
                problems.append(Problem(item.path, item.mark, "name", message))
            table[name] = value
    for item in items:
        problems += _unresolved(item.references, tables)
        publisher = getattr(item.entry, "publisher", None)
        if publisher is not None and publisher not in tables["publisher"]:
            message = f"the publisher {publisher!r} has no card"
            problems.append(Problem(item.path, item.mark, "publisher", message))
    if problems:
        raise CardError(problems)
    files = {item.entry.handle: item.path for item in items if isinstance(item.entry, Card)}
    return Catalogue(*tables.values(), files=files)  # type: ignore[arg-type, misc]  # in KINDS' order


@dataclasses.dataclass(frozen=True)
class _Item:
    entry: Entry
    path: Path
    mark: Mark
    references: tuple[Reference, ...]


def _read_all(path: Path) -> list[_Item]:
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    if not files:
        message = "holds no .yaml files"
        raise CardError([Problem(path, Mark(1, 1), "", message)])
    items: list[_Item] = []
    problems = [
        Problem(file, Mark(1, 1), "", "is not read: its name must end in .yaml")
        for file in (sorted(path.rglob("*.yml")) if path.is_dir() else [])
    ]
    for file in files:
        try:
            items += _read_file(file)
        except CardError as error:
            problems += error.problems
    if problems:
        raise CardError(problems)
    return items


def _read_file(path: Path) -> list[_Item]:
    items, problems = [], []
    for node in expand(read_document(path), path):
        reader = Reader(path)
        kind = _kind(node, reader)
        entry = reader.read(kind, node.without("kind"), "") if kind else None
        if entry is not None and not reader.problems:
            _check_versions(entry, node, reader)
        problems += reader.problems
        if entry is not None and not reader.problems:
            items.append(_Item(entry, path, node.mark, tuple(reader.references)))
    if problems:
        raise CardError(problems)
    return items


def _kind(node: MappingNode, reader: Reader) -> type[Entry] | None:
    found = node.get("kind")
    if isinstance(found, Scalar) and found.text in KINDS:
        return KINDS[found.text]
    listed = ", ".join(KINDS)
    if found is None:
        reader.problem(node.mark, "kind", f"is missing; it is one of {listed}")
    else:
        text = found.text if isinstance(found, Scalar) else ""
        said = shown(text) if text else kind_of(found)
        reader.problem(found.mark, "kind", f"{said} is not one of {listed}{hint(text, KINDS)}")
    return None


def _check_versions(entry: Entry, node: MappingNode, reader: Reader) -> None:
    """The changelog ends with the version that the card is of, newest first."""
    if not isinstance(entry, Model):
        return
    versions = [change.version for change in entry.changelog]
    place: Node = node.get("changelog") or node
    if versions != sorted(set(versions), reverse=True):
        reader.problem(place.mark, "changelog", "needs the newest version first, each once")
    elif versions[0] != entry.version or versions[-1] < 1:
        message = f"begins with version {versions[0]}, but the card is of {entry.version}"
        reader.problem(place.mark, "changelog", message)


def _named(entry: Entry) -> Iterable[tuple[str, object]]:
    if isinstance(entry, Papers):
        return entry.papers.items()
    if isinstance(entry, Datasets):
        return entry.datasets.items()
    return [(entry.handle, entry)]


def _unresolved(
    references: Iterable[Reference], tables: Mapping[str, Mapping[str, object]]
) -> list[Problem]:
    problems = []
    for reference in references:
        known = tables[reference.to]
        if reference.name not in known:
            what = {"papers": "paper", "datasets": "dataset"}.get(reference.to, reference.to)
            message = f"there is no {what} {shown(reference.name)}{hint(reference.name, known)}"
            problems.append(Problem(reference.path, reference.mark, reference.key, message))
    return problems
