"""The parts of model cards: authors, papers, training, licence, and what platforms ask for.

docs/model_cards.md says what every key means. Names in `Architecture` are those of the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hubexport.cards import allowed, fields
from hubexport.cards.fields import Refers, Sentence, Text, Url

PaperId = Annotated[str, Refers("id of a paper", "papers")]
DatasetId = Annotated[str, Refers("id of a dataset", "datasets")]
EncoderHandle = Annotated[str, Refers("handle of an encoder", "encoder")]
PreprocessorHandle = Annotated[str, Refers("handle of a preprocessor", "preprocessor")]
CollectionHandle = Annotated[str, Refers("handle of a collection", "collection")]


@dataclass(frozen=True)
class Author:
    name: Text
    organisation: Text | None = None


@dataclass(frozen=True)
class Change:
    version: int
    changes: tuple[Sentence, ...]
    date: fields.Day | None = None


@dataclass(frozen=True)
class Origin:
    released_by: Text
    release: Url
    checkpoints: tuple[Url, ...] = ()
    layout: allowed.Layout | None = None
    weights: allowed.Weights | None = None
    conversion: Sentence | None = None
    implementation: Url | None = None
    released_on: fields.Day | None = None


@dataclass(frozen=True)
class Derivation:
    handle: EncoderHandle
    how: allowed.Relation


@dataclass(frozen=True)
class Architecture:
    num_hidden_layers: int | None = None
    hidden_size: int | None = None
    num_attention_heads: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    max_position_embeddings: int | None = None
    type_vocab_size: int | None = None
    stated_parameters: int | None = None
    source: Url | None = None


@dataclass(frozen=True)
class Pooler:
    status: allowed.PoolerStatus
    note: Sentence | None = None


@dataclass(frozen=True)
class DataUse:
    dataset: DatasetId
    note: Sentence | None = None


@dataclass(frozen=True)
class Masking:
    unit: allowed.MaskingUnit
    rate: float | None = None
    dynamic: bool | None = None


@dataclass(frozen=True)
class Stage:
    source: Url
    name: Text | None = None
    steps: int | None = None
    batch_size: int | None = None
    sequence_length: int | None = None
    optimizer: Text | None = None
    learning_rate: float | None = None
    hardware: Text | None = None
    duration: Text | None = None
    notes: tuple[Sentence, ...] = ()


@dataclass(frozen=True)
class FineTuning:
    advice: tuple[Sentence, ...]
    learning_rates: tuple[float, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    epochs: tuple[int, ...] = ()
    source: Url | None = None


@dataclass(frozen=True)
class Evaluation:
    dataset: DatasetId
    metric: Text
    value: float
    source: Url
    subset: Text | None = None
    split: allowed.Split | None = None
    setting: Text | None = None


@dataclass(frozen=True)
class Licence:
    spdx: allowed.Spdx
    evidence: Url
    note: Sentence | None = None


@dataclass(frozen=True)
class TfHub:
    tasks: tuple[allowed.TfHubTask, ...]
    network_architecture: allowed.TfHubArchitecture | None = None
    datasets: tuple[allowed.TfHubDataset, ...] = ()
    languages: tuple[allowed.TfHubLanguage, ...] = ()
    colab: fields.ColabUrl | None = None


@dataclass(frozen=True)
class Kaggle:
    model: fields.Slug
    variation: fields.Slug
    framework: allowed.KaggleFramework


@dataclass(frozen=True)
class HuggingFace:
    pipeline_tag: allowed.PipelineTag
    tags: tuple[fields.Tag, ...] = ()
    base_model: fields.HuggingFaceId | None = None


@dataclass(frozen=True)
class Paper:
    title: Text
    authors: tuple[Text, ...]
    year: int
    url: Url
    bibtex: fields.Bibliography
    venue: Text | None = None


@dataclass(frozen=True)
class Dataset:
    title: Text
    description: Sentence
    url: Url | None = None
    hugging_face: fields.HuggingFaceId | None = None
