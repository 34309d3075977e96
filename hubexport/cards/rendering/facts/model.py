"""What the templates of any model's page read: card, record, and whom they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubexport.cards import casing
from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Dataset, Paper
from hubexport.cards.rendering.measured import (
    Throughput,
    Validation,
    throughputs,
    validations,
)
from hubexport.cards.rendering.platforms import Platform
from hubexport.cards.schema import CollectionCard, Model


class Record(dict[str, Any]):
    """A record whose fields are None where it does not have them."""

    def __missing__(self, name: str) -> None:
        return None


@dataclass(frozen=True)
class Told:
    """What cards say of a model: of several, the first that says something of it."""

    cards: tuple[Model, ...]

    def __getattr__(self, name: str) -> Any:
        found = [getattr(card, name) for card in self.cards if hasattr(card, name)]
        if not found:
            raise AttributeError(name)
        return next((value for value in found if value not in (None, ())), found[-1])


@dataclass(frozen=True)
class Facts:
    """A page's subject. What is not known is None or empty, and stays off the page.

    Attributes:
      card: what people say of it.
      record: what machines know of the artifact (docs/record.md); empty where there is none.
      catalogue: where names of others are looked up.
      platform: where the page will be.
    """

    card: Model
    record: Record
    catalogue: Catalogue
    platform: Platform

    @property
    def exported(self) -> bool:
        """Whether there is an artifact to speak of."""
        return bool(self.record)

    @property
    def told(self) -> Told:
        """What the card says, and where it says nothing, that of the model's source."""
        return Told((self.card, self.catalogue.source(self.card)))

    @property
    def measured(self) -> str:
        """What validation and throughput were measured on."""
        return "this SavedModel"

    @property
    def papers(self) -> list[Paper]:
        """The first is the one to cite."""
        return [self.catalogue.papers[name] for name in self.told.papers]

    @property
    def collections(self) -> list[CollectionCard]:
        return [self.catalogue.collections[handle] for handle in self.card.collections]

    def dataset(self, name: str) -> Dataset:
        """By its id."""
        return self.catalogue.datasets[name]

    @property
    def load(self) -> str:
        """The Python expression that hub.load takes."""
        return self.platform.load(self.card)

    @property
    def licence_name(self) -> str:
        """Of the card's licence, as people write it."""
        spdx: str = self.told.licence.spdx
        return LICENCES[spdx].kaggle or spdx.removeprefix("LicenseRef-")

    @property
    def casing(self) -> str:
        """What becomes of capitals and accents; a key of `phrases.CASINGS`."""
        return casing.words(casing.known(self.told.casing, self.record.get("tokenizer")))

    @property
    def has_mask(self) -> bool | None:
        """Whether the vocabulary has a mask token; None where that is not known."""
        return has_mask_in(self.record)

    @property
    def validations(self) -> list[Validation]:
        """What was measured, one for each device."""
        return validations(self.record)

    @property
    def throughputs(self) -> list[Throughput]:
        """How fast it was found to be."""
        return throughputs(self.record)

    @property
    def source_files(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What the artifact was made of: the part it played, and name, bytes and SHA-256."""
        return source_files_of(self.record)

    @property
    def environment(self) -> dict[str, str]:
        """Package -> version that the artifact was made with."""
        versions = self.record.get("environment") or {}
        return {name: version for name, version in versions.items() if version != "not installed"}

    @property
    def program(self) -> Mapping[str, Any]:
        """Name, bytes and SHA-256 of saved_model.pb."""
        return (self.record.get("saved_model") or {}).get("program") or {}


def source_files_of(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What an encoder or a preprocessor was made of: the part it played, and the file."""
    checkpoint = record.get("checkpoint") or {}
    found = [("checkpoint", checkpoint.get("archive"))]
    found += [("checkpoint", each) for each in checkpoint.get("files", [])]
    found += [("configuration", record.get("configuration"))]
    found += [("pooling", each) for each in (record.get("pooler") or {}).get("files", [])]
    tokenizer = record.get("tokenizer") or {}
    found += [("tokenizer", each) for each in (tokenizer.get("files") or {}).values()]
    return [(part, each) for part, each in found if each]


def has_mask_in(record: Mapping[str, Any]) -> bool | None:
    """Whether a record's vocabulary has a mask token; None where that is not known."""
    special_tokens = (record.get("tokenizer") or {}).get("special_tokens")
    return None if special_tokens is None else "mask_id" in special_tokens
