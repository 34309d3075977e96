"""What the templates of a model's page read: card, record, and whom they name."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubexport.cards import casing
from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Architecture, Dataset, Paper
from hubexport.cards.rendering import pooling
from hubexport.cards.rendering.filters import quoted
from hubexport.cards.rendering.heads import HeadFacts, heads_of
from hubexport.cards.rendering.measured import (
    Throughput,
    Validation,
    throughputs,
    validations,
)
from hubexport.cards.rendering.platforms import Platform
from hubexport.cards.schema import (
    CollectionCard,
    EncoderCard,
    Model,
    PipelineCard,
    PreprocessorCard,
)
from hubexport.pipelines.registry import tasks
from hubexport.tokenizers.conventions import CONVENTIONS

_LINE = 72  # characters of a list in a program
_SIZES = tuple(name for name in Architecture.__dataclass_fields__ if name != "source")


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
        return _has_mask(self.record)

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
        return _source_files(self.record)

    @property
    def environment(self) -> dict[str, str]:
        """Package -> version that the artifact was made with."""
        versions = self.record.get("environment") or {}
        return {name: version for name, version in versions.items() if version != "not installed"}

    @property
    def program(self) -> Mapping[str, Any]:
        """Name, bytes and SHA-256 of saved_model.pb."""
        return (self.record.get("saved_model") or {}).get("program") or {}


def _source_files(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    checkpoint = record.get("checkpoint") or {}
    found = [("checkpoint", checkpoint.get("archive"))]
    found += [("checkpoint", each) for each in checkpoint.get("files", [])]
    found += [("configuration", record.get("configuration"))]
    found += [("pooling", each) for each in (record.get("pooler") or {}).get("files", [])]
    tokenizer = record.get("tokenizer") or {}
    found += [("tokenizer", each) for each in (tokenizer.get("files") or {}).values()]
    return [(part, each) for part, each in found if each]


def _has_mask(record: Mapping[str, Any]) -> bool | None:
    special_tokens = (record.get("tokenizer") or {}).get("special_tokens")
    return None if special_tokens is None else "mask_id" in special_tokens


@dataclass(frozen=True)
class EncoderFacts(Facts):
    """Of an encoder.

    Attributes:
      beside: the record of its preprocessor; empty where that is not at hand.
    """

    card: EncoderCard
    beside: Record = field(default_factory=Record)

    @functools.cached_property
    def sizes(self) -> dict[str, Any]:
        """Sizes by their names in the record: as built, else as the card says, else None."""
        built = self.record.get("architecture") or {}
        sizes = {name: getattr(self.card.architecture, name) for name in _SIZES}
        for name in (
            "embedding_size", "hidden_act", "layer_norm_eps", "dtype", "padding", "num_parameters",
            "language",
        ):  # fmt: skip
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
    def pipelines(self) -> list[PipelineCard]:
        """The pipelines that hold it."""
        return self.catalogue.pipelines_of(self.card.handle)

    @property
    def heads(self) -> dict[str, HeadFacts]:
        """The exported heads, by name."""
        return heads_of(self.record, self.card)

    @property
    def conventions(self) -> Mapping[str, Any]:
        """What the record says of inputs; None where it does not."""
        said = ("padding_side", "causal", "ignored_inputs", "optional_inputs", "languages")
        return dict.fromkeys(said) | (self.record.get("conventions") or {})

    @property
    def needs_first_type(self) -> bool:
        """Whether all `input_type_ids` must be 0: there is a single type, and it is looked up."""
        ignored = self.conventions["ignored_inputs"] or ()
        return self.sizes["type_vocab_size"] == 1 and "input_type_ids" not in ignored

    @property
    def special_before_second(self) -> int:
        """How many special tokens are before the second text of a pair."""
        places = self._pair
        return next(n for n, place in enumerate(places) if place.startswith("$B")) - 1

    @property
    def summary_token(self) -> str:
        """Of the preprocessor's special tokens, the one that stands for a pair of texts: that which
        ends the sequence, where it is not that between the texts."""
        roles = {"start": "start_of_sequence_id", "end": "end_of_segment_id"}
        return roles[self._pair[-1].partition(":")[0]]

    @property
    def _pair(self) -> list[str]:
        return CONVENTIONS[self.preprocessor.model_type].pair.split()

    @property
    def has_mask(self) -> bool | None:
        """As of any model; what the encoder's record leaves open, its preprocessor's may tell."""
        own = super().has_mask
        return _has_mask(self.beside) if own is None else own

    @property
    def tells_segments_apart(self) -> bool:
        """Whether the second text of a pair has other `input_type_ids` than the first."""
        types = {place.partition(":")[2] for place in self._pair if place.startswith("$")}
        return len(types) > 1 and self.sizes["type_vocab_size"] not in (0, 1)

    @property
    def stored_in(self) -> str:
        """Dtype of the dense layers' variables."""
        stored = (self.record.get("architecture") or {}).get("variable_dtype")
        return stored or "float32"

    @property
    def all_trainable(self) -> bool:
        """Whether the artifact says that each of its variables is trainable, and none is stored
        too narrow for it."""
        saved_model = self.record.get("saved_model") or {}
        parts = [saved_model.get("root") or {}, *(saved_model.get("sub_objects") or {}).values()]
        every = all(part.get("trainable_variables") == part.get("variables") for part in parts)
        return every and bool(parts[0].get("variables")) and self.stored_in == "float32"

    @property
    def pooling(self) -> Iterator[str]:
        """What `pooled_output` and `default` are, sentence by sentence."""
        return pooling.sentences(self.card.pooler, self.record.get("pooler"))

    @property
    def pooled_size(self) -> int | None:
        """Width of `pooled_output`."""
        signatures = (self.record.get("saved_model") or {}).get("signatures") or {}
        outputs = (signatures.get("serving_default") or {}).get("outputs") or {}
        shape = (outputs.get("pooled_output") or {}).get("shape") or [None]
        size: int | None = shape[-1] or self.sizes["hidden_size"]
        return size

    @property
    def pooler_needs_training(self) -> bool:
        """Whether nothing but fine-tuning makes `pooled_output` worth anything."""
        return (self.record.get("pooler") or {}).get("trained") is False

    @property
    def replaced(self) -> list[str]:
        """Values of the checkpoint's configuration that flags of the export replaced."""
        chosen = ("dtype", "variable_dtype")  # not of the checkpoint's, and in the table
        return [name for name in self.record.get("overrides") or {} if name not in chosen]

    @property
    def default_is_pooled(self) -> bool:
        """Whether `default` is `pooled_output`, as far as is known."""
        pooler = self.record.get("pooler") or {}
        return bool(pooler.get("default", "pooled_output") == "pooled_output")


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
    def needs_ops(self) -> bool:
        """Whether loading it takes TensorFlow Text, as far as is known."""
        required = (self.record.get("saved_model") or {}).get("required_ops")
        return required is None or "tensorflow-text" in required

    @property
    def packing(self) -> Mapping[str, Any]:
        """How texts and special tokens are arranged; empty where the record does not say."""
        return self.tokenizer.get("packing") or {}

    @property
    def adds_special_tokens(self) -> bool:
        """Whether packing puts special tokens around texts, as far as is known."""
        places = [*self.packing.get("single", ()), *self.packing.get("pair", ())]
        return any("piece" in place for place in places)

    def arrangement(self, which: str) -> str:
        """Of `single` or `pair`, as Markdown: `[CLS]` text `[SEP]`."""
        names = ("text",) if which == "single" else ("first", "second")
        return " ".join(
            f"`{place['piece']}`" if "piece" in place else names[place["text"]]
            for place in self.packing[which]
        )

    @property
    def types(self) -> str:
        """What `input_type_ids` are, as Markdown."""
        if not self.packing:
            return "the type of a token, as the model expects it"
        of_text = {p["text"]: p["type_id"] for p in self.packing["pair"] if "text" in p}
        others = {
            f"`{place['piece']}`": place["type_id"]
            for place in (*self.packing["single"], *self.packing["pair"])
            if "piece" in place and place["type_id"] not in of_text.values()
        }
        if (padding := self.packing["padding"]["type_id"]) != 0:
            others["padding"] = padding
        if {*of_text.values(), *others.values()} == {0}:
            return "0 for all tokens"
        first, second = of_text[0], of_text[1]
        texts = f"{first} for the first text, {second} for the second"
        texts = texts if first != second else f"{first} for both texts"
        return "; ".join([texts, *(f"{type_id} for {what}" for what, type_id in others.items())])

    @property
    def sub_objects(self) -> Mapping[str, Any]:
        """Path -> what the record says of a callable part."""
        return (self.record.get("saved_model") or {}).get("sub_objects") or {}

    @property
    def encoders(self) -> list[EncoderCard]:
        """Those that take what it makes."""
        return self.catalogue.encoders_of(self.card.handle)

    @property
    def pipelines(self) -> list[PipelineCard]:
        """Those that hold it."""
        return [each for card in self.encoders for each in self.catalogue.pipelines_of(card.handle)]


def _constant(texts: Sequence[str]) -> str:
    """A tensor of strings, in Python."""
    return _wrapped("tf.constant([", [quoted(text) for text in texts], "])")


def _wrapped(begin: str, items: Sequence[str], end: str) -> str:
    """Python on one line, or an item on each where they are long."""
    line = begin + ", ".join(items) + end
    if len(line) <= _LINE:
        return line
    inside = "".join(f"    {item},\n" for each in items for item in [each.replace("\n", "\n    ")])
    return f"{begin}\n{inside}{end}"


@dataclass(frozen=True)
class PipelineFacts(Facts):
    """Of a pipeline.

    Attributes:
      encoder: of the encoder that it holds, by that one's card and its part of the record.
    """

    card: PipelineCard
    encoder: EncoderFacts

    @property
    def preprocessor(self) -> PreprocessorCard:
        return self.encoder.preprocessor

    @property
    def measured(self) -> str:
        return "its encoder"

    @property
    def casing(self) -> str:
        return casing.words(casing.known(self.told.casing, self.encoder.beside.get("tokenizer")))

    @property
    def purpose(self) -> str:
        """What it gives: `a vector for each text`."""
        return tasks()[self.card.task].purpose

    @property
    def task(self) -> Record:
        """What the record says of its task."""
        return Record(self.record.get("task") or {})

    @property
    def signatures(self) -> Mapping[str, Mapping[str, Any]]:
        """Name -> `inputs` and `outputs`, each a name -> `dtype` and `shape`."""
        return (self.record.get("saved_model") or {}).get("signatures") or {}

    @property
    def example(self) -> Mapping[str, Any]:
        """Texts that it was asked for, `inputs`, and its answers, `outputs`."""
        return self.record.get("example") or {}

    def asked(self, most: int | None = None) -> str:
        """The example's texts as Python's argument of the pipeline, at most so many of them."""
        columns = [_constant(texts[:most]) for texts in self.example["inputs"].values()]
        return columns[0] if len(columns) == 1 else _wrapped("[", columns, "]")

    def named(self, most: int | None = None) -> str:
        """The same as the arguments of a signature."""
        inputs = self.example["inputs"].items()
        return ", ".join(f"{name}={_constant(texts[:most])}" for name, texts in inputs)

    @property
    def validations(self) -> list[Validation]:
        return self.encoder.validations

    @property
    def throughputs(self) -> list[Throughput]:
        return self.encoder.throughputs

    @property
    def source_files(self) -> list[tuple[str, Mapping[str, Any]]]:
        found = [*self.encoder.source_files]
        found += [("pipeline", each) for each in self.record.get("files") or []]
        found += _source_files(self.encoder.beside)
        once: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
        for part, each in found:
            once.setdefault((each["name"], each["sha256"]), (part, each))
        return list(once.values())
