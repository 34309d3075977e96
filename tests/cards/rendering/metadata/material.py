"""Cards, records and hostile texts for the tests of metadata."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.parts import Licence
from hubexport.cards.schema import Card, EncoderCard, Model, PipelineCard, PreprocessorCard
from tests.cards.material import MODEL_CARDS

ARCHIVE = "https://storage.example.org/models/bert_1.tar.gz"
BODY = "## Models\n\n[one](https://tfhub.dev/tensorflow/bert/1)\n"
TINY = "tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2"
PREPROCESSOR = "tensorflow/bert_en_uncased_preprocess"
PIPELINE = "huggingface/roberta-large-mnli-classification"
TUNED = "huggingface/roberta-large-mnli"
MODIFIED_MIT = "huggingface/gpt2"
UNLICENSED = "tensorflow/lambert_en_uncased_L-24_H-1024_A-16"

HOSTILE = (
    "<!-- task: audio-embedding --> is no metadata.",
    "It ends --> a comment <script>alert(1)</script>.",
    '"Quoted": it\'s a {mapping: [of, lists]} # no comment.',
    "- it is: no list.",
    "1. It is no list.",
    "# It is no heading.",
    "--- it is no fence.",
    "~~~ It is no code.",
    "*It* _has_ `no` [markup](https://example.org) &amp; no \\escapes.",
    "&anchor *alias !tag % directive @ ` are YAML.",
    "Ein Satz mit ä, 語 und 🙂 ist kurz.",
)
# Not sentences, but names all the same: other types to readers of YAML 1.1 or 1.2.
HOSTILE_NAMES = ("no", "on", "1e3", "0o17", "0x1F", "1_000", "12:30:45", "2020-01-01", "~", "---")


@functools.cache
def catalogue() -> Catalogue:
    return load_catalogue(MODEL_CARDS)


def models() -> list[Model]:
    return catalogue().models


def cards() -> list[Card]:
    rest = [*catalogue().collections.values(), *catalogue().publishers.values()]
    return [*models(), *rest]


def one_of_each() -> list[Card]:
    """A card of each kind."""
    found = catalogue()
    return [
        found.encoders[TINY],
        found.preprocessors[PREPROCESSOR],
        found.pipelines[PIPELINE],
        found.collections["tensorflow/bert"],
        found.publishers["tensorflow"],
    ]


def licence(card: Model) -> Licence | None:
    """Of the weights, or of the vocabulary."""
    return catalogue().source(card).licence


def record(card: Card, trainable: int = 7) -> dict[str, Any] | None:
    """What an artifact's record says that metadata depend on; None where there are no artifacts."""
    kinds: dict[type[Any], int] = {
        EncoderCard: trainable,
        PreprocessorCard: 0,
        PipelineCard: trainable,
    }
    if type(card) not in kinds:
        return None
    root = {"variables": 7, "trainable_variables": kinds[type(card)]}
    return {"schema_version": 1, "kind": card.kind, "saved_model": {"root": root}}


def edited(card: Any, **changes: Any) -> Any:
    """A card with other values; those of one of its parts are given as a dict."""
    values = {
        name: dataclasses.replace(getattr(card, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    return dataclasses.replace(card, **values)


def with_encoder(card: EncoderCard) -> Catalogue:
    """The catalogue with a card in place of its own one, or beside the others."""
    return dataclasses.replace(catalogue(), encoders={**catalogue().encoders, card.handle: card})
