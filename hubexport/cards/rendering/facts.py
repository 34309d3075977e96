"""What the templates of a model's page read: card, record, and whom they name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Architecture, Dataset, Paper
from hubexport.cards.rendering.measured import Validation, validations
from hubexport.cards.rendering.platforms import Platform
from hubexport.cards.schema import CollectionCard, EncoderCard, Model, PreprocessorCard

_SIZES = tuple(name for name in Architecture.__dataclass_fields__ if name != "source")


class Record(dict[str, Any]):
    """A record whose fields are None where it does not have them."""

    def __missing__(self, name: str) -> None:
        return None


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
    def papers(self) -> list[Paper]:
        """The first is the one to cite."""
        return [self.catalogue.papers[name] for name in self.card.papers]

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
        assert self.card.licence is not None
        spdx = self.card.licence.spdx
        return LICENCES[spdx].kaggle or spdx.removeprefix("LicenseRef-")

    @property
    def validations(self) -> list[Validation]:
        """What was measured, one for each device."""
        return validations(self.record)

    @property
    def source_files(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What the artifact was made of: the part it played, and name, bytes and SHA-256."""
        record = self.record
        checkpoint = record.get("checkpoint") or {}
        found = [("checkpoint", checkpoint.get("archive"))]
        found += [("checkpoint", each) for each in checkpoint.get("files", [])]
        found += [("configuration", record.get("configuration"))]
        found += [("pooling", each) for each in (record.get("pooler") or {}).get("files", [])]
        tokenizer = record.get("tokenizer") or {}
        found += [("vocabulary", tokenizer.get("file"))]
        found += [("tokenizer", tokenizer.get("tokenizer_config"))]
        found += [("tokenizer", each) for each in (tokenizer.get("files") or {}).values()]
        return [(part, each) for part, each in found if each]

    @property
    def environment(self) -> dict[str, str]:
        """Package -> version that the artifact was made with."""
        versions = self.record.get("environment") or {}
        return {name: version for name, version in versions.items() if version != "not installed"}

    @property
    def program(self) -> Mapping[str, Any]:
        """Name, bytes and SHA-256 of saved_model.pb."""
        return (self.record.get("saved_model") or {}).get("program") or {}


@dataclass(frozen=True)
class EncoderFacts(Facts):
    """Of an encoder."""

    card: EncoderCard

    @functools.cached_property
    def sizes(self) -> dict[str, Any]:
        """Sizes by their names in the record: as built, else as the card says, else None."""
        built = self.record.get("architecture") or {}
        sizes = {name: getattr(self.card.architecture, name) for name in _SIZES}
        for name in ("embedding_size", "hidden_act", "layer_norm_eps", "dtype", "num_parameters"):
            sizes[name] = None
        return sizes | {key: value for key, value in built.items() if value is not None}

    @property
    def preprocessor(self) -> PreprocessorCard:
        return self.catalogue.preprocessors[self.card.preprocessor]

    @property
    def preprocessor_load(self) -> str:
        return self.platform.load(self.preprocessor)

    @property
    def original(self) -> EncoderCard | None:
        """The encoder that this one was made of."""
        derived = self.card.derived_from
        return self.catalogue.encoders[derived.handle] if derived else None

    @property
    def heads(self) -> dict[str, Mapping[str, Any]]:
        """Head -> its signature in the record: `inputs` and `outputs`."""
        signatures = (self.record.get("saved_model") or {}).get("signatures") or {}
        return {name: signatures[name] for name in self.record.get("heads") or {}}

    @property
    def all_trainable(self) -> bool:
        """Whether the artifact says that each of its variables is trainable, and none is stored
        too narrow for it."""
        root = (self.record.get("saved_model") or {}).get("root") or {}
        stored = (self.record.get("architecture") or {}).get("variable_dtype", "float32")
        every = bool(root) and root["trainable_variables"] == root["variables"] > 0
        return every and stored == "float32"

    @property
    def default_is_pooled(self) -> bool:
        """Whether `default` is `pooled_output`, as far as is known."""
        pooler = self.record.get("pooler") or {}
        return pooler.get("default", "pooled_output") == "pooled_output"


@dataclass(frozen=True)
class PreprocessorFacts(Facts):
    """Of a preprocessor."""

    card: PreprocessorCard

    @property
    def tokenizer(self) -> Mapping[str, Any]:
        return self.record.get("tokenizer") or {}

    @property
    def vocab_size(self) -> int | None:
        """As built, else as the card says."""
        return self.tokenizer.get("vocab_size") or self.card.vocab_size

    @property
    def sub_objects(self) -> Mapping[str, Any]:
        """Path -> what the record says of a callable part."""
        return (self.record.get("saved_model") or {}).get("sub_objects") or {}

    @property
    def encoders(self) -> list[EncoderCard]:
        """Those that take what it makes."""
        return self.catalogue.encoders_of(self.card.handle)
