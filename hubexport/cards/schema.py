"""What a model card says: one dataclass for each kind of card, and for the tables beside them.

docs/model_cards.md says what every key means. Optional keys are None or empty where nothing is
known: nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from hubexport.cards import allowed, fields, parts
from hubexport.cards.fields import Paragraph, Sentence, Text, Url


class _Named:
    """What has a name below its publisher's."""

    publisher: fields.Publisher
    name: fields.Name

    @property
    def handle(self) -> str:
        """`publisher/name`, without the version."""
        return f"{self.publisher}/{self.name}"


@dataclass(frozen=True)
class EncoderCard(_Named):
    kind: ClassVar[str] = "encoder"
    publisher: fields.Publisher
    name: fields.Name
    version: int
    changelog: tuple[parts.Change, ...]
    title: Text
    description: Sentence
    family: allowed.Family
    origin: parts.Origin
    architecture: parts.Architecture
    languages: tuple[allowed.Language, ...]
    casing: allowed.Casing
    objectives: tuple[allowed.Objective, ...]
    preprocessor: parts.PreprocessorHandle
    tfhub: parts.TfHub
    kaggle: parts.Kaggle
    hugging_face: parts.HuggingFace
    overview: tuple[Paragraph, ...] = ()
    also_known_as: tuple[Text, ...] = ()
    authors: tuple[parts.Author, ...] = ()
    papers: tuple[parts.PaperId, ...] = ()
    collections: tuple[parts.CollectionHandle, ...] = ()
    derived_from: parts.Derivation | None = None
    num_languages: int | None = None
    languages_list: Url | None = None
    training_data: tuple[parts.DataUse, ...] = ()
    masking: parts.Masking | None = None
    labels: tuple[Text, ...] = ()
    problem_type: allowed.ProblemType | None = None
    training: tuple[parts.Stage, ...] = ()
    pooler: parts.Pooler | None = None
    fine_tuning: parts.FineTuning | None = None
    intended_use: tuple[Sentence, ...] = ()
    out_of_scope: tuple[Sentence, ...] = ()
    limitations: tuple[Sentence, ...] = ()
    biases: tuple[Sentence, ...] = ()
    evaluation: tuple[parts.Evaluation, ...] = ()
    licence: parts.Licence | None = None


@dataclass(frozen=True)
class PreprocessorCard(_Named):
    kind: ClassVar[str] = "preprocessor"
    publisher: fields.Publisher
    name: fields.Name
    version: int
    changelog: tuple[parts.Change, ...]
    title: Text
    description: Sentence
    tokenizer: allowed.TokenizerKind
    model_type: allowed.ModelType
    casing: allowed.Casing
    languages: tuple[allowed.Language, ...]
    origin: parts.Origin
    tfhub: parts.TfHub
    kaggle: parts.Kaggle
    hugging_face: parts.HuggingFace
    overview: tuple[Paragraph, ...] = ()
    papers: tuple[parts.PaperId, ...] = ()
    collections: tuple[parts.CollectionHandle, ...] = ()
    text_language: allowed.Language | None = None
    vocab_size: int | None = None
    vocabulary_data: tuple[parts.DataUse, ...] = ()
    limitations: tuple[Sentence, ...] = ()
    licence: parts.Licence | None = None


@dataclass(frozen=True)
class PipelineCard(_Named):
    """What is so of its encoder is in that one's card: origin, languages, casing, licence, ..."""

    kind: ClassVar[str] = "pipeline"
    publisher: fields.Publisher
    name: fields.Name
    version: int
    changelog: tuple[parts.Change, ...]
    title: Text
    description: Sentence
    task: allowed.PipelineTask
    encoder: parts.EncoderHandle
    tfhub: parts.TfHub
    kaggle: parts.Kaggle
    hugging_face: parts.HuggingFace
    overview: tuple[Paragraph, ...] = ()
    papers: tuple[parts.PaperId, ...] = ()
    collections: tuple[parts.CollectionHandle, ...] = ()
    intended_use: tuple[Sentence, ...] = ()
    out_of_scope: tuple[Sentence, ...] = ()
    limitations: tuple[Sentence, ...] = ()
    biases: tuple[Sentence, ...] = ()
    evaluation: tuple[parts.Evaluation, ...] = ()


@dataclass(frozen=True)
class CollectionCard(_Named):
    kind: ClassVar[str] = "collection"
    publisher: fields.Publisher
    name: fields.Name
    title: Text
    description: Sentence
    overview: tuple[Paragraph, ...] = ()
    papers: tuple[parts.PaperId, ...] = ()


@dataclass(frozen=True)
class PublisherCard:
    kind: ClassVar[str] = "publisher"
    publisher: fields.Publisher
    title: Text
    description: Sentence
    overview: tuple[Paragraph, ...] = ()
    website: Url | None = None
    icon: Url | None = None

    @property
    def handle(self) -> str:
        """The publisher."""
        return self.publisher


@dataclass(frozen=True)
class Papers:
    kind: ClassVar[str] = "papers"
    papers: dict[fields.Id, parts.Paper]


@dataclass(frozen=True)
class Datasets:
    kind: ClassVar[str] = "datasets"
    datasets: dict[fields.Id, parts.Dataset]


Model: TypeAlias = EncoderCard | PreprocessorCard | PipelineCard
Card: TypeAlias = Model | CollectionCard | PublisherCard
Entry: TypeAlias = Card | Papers | Datasets

KINDS: dict[str, type[Entry]] = {
    kind.kind: kind
    for kind in (
        EncoderCard, PreprocessorCard, PipelineCard, CollectionCard, PublisherCard, Papers, Datasets
    )
}  # fmt: skip
"""Value of `kind` in a file -> what the file holds."""
