"""Whether an artifact is the model that its card speaks of.

`CLAIMS` is the table of what is compared: every key of a card that states what the record of an
artifact (docs/record.md) knows, too. What either leaves out is not compared.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hubexport.cards import casing
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Architecture
from hubexport.cards.phrases import OBJECTIVES
from hubexport.cards.schema import EncoderCard, Model, PipelineCard, PreprocessorCard
from hubexport.errors import HubexportError
from hubexport.families.heads import ARCHITECTURES
from hubexport.families.registry import families
from hubexport.pipelines.registry import tasks
from hubexport.poolers import POOLERS

Record: TypeAlias = Mapping[str, Any]
Contradiction: TypeAlias = tuple[str, str] | None
"""What the card says and what the record says, where they differ; None where they agree."""

Claim: TypeAlias = Callable[[Any, Record], Contradiction]

_OF_PLATFORMS = ("tfhub.tasks", "kaggle.framework", "hugging_face.pipeline_tag")
"""Keys that speak of an artifact by itself, and not of one that a pipeline holds."""

ROUNDING = 0.1
"""By how much of the true number authors may round the parameters that they state."""

_FRAMEWORK = "tensorFlow2"
_PREPROCESSING = "text-preprocessing"
_NETWORKS = ("transformer", "bert", "transformer-xl")
"""What tfhub.dev can call the networks of the families that are exported."""

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "fill-mask": ("ForMaskedLM",),
    "multiple-choice": ("ForMultipleChoice",),
    "question-answering": ("ForQuestionAnswering",),
    "text-classification": ("ForSequenceClassification",),
    "text-language-model": ("ForMaskedLM", "ForCausalLM", "LMHeadModel"),
    "text-question-answering": ("ForQuestionAnswering",),
    "token-classification": ("ForTokenClassification",),
    "zero-shot-classification": ("ForSequenceClassification",),
}
"""Task of tfhub.dev or pipeline tag of Hugging Face, of those that ask for a head -> ends of the
names of transformers' classes that have one."""


def disagreements(card: Model, record: Record, *beside: Model | None) -> list[str]:
    """What the record of an artifact says otherwise than the card.

    Args:
      card, record: of the same artifact, as it is hoped.
      beside: the card of the preprocessor that an encoder takes inputs from, or the cards of the
        encoder and the preprocessor that a pipeline holds, where they are at hand.

    Returns:
      sentences `key: the card says ..., the record says ...`.
    """
    found = {key: claim(card, record) for key, claim in CLAIMS[card.kind].items()}
    for other in beside:
        if isinstance(card, PipelineCard) and other is not None:
            found |= _held(other, record)
        elif isinstance(other, PreprocessorCard):
            found["preprocessor"] = _preprocessor(other, record)
    return [
        f"{key}: the card says {each[0]}, the record says {each[1]}"
        for key, each in found.items()
        if each
    ]


def check_agreement(
    cards: Iterable[Model], records: Mapping[str, Record], catalogue: Catalogue
) -> None:
    """Checks cards against the records of their artifacts, all at once.

    Args:
      cards: those without a record are passed over.
      records: handle -> record.
      catalogue: where the cards are from.

    Raises:
      HubexportError: with every contradiction of every card.
    """
    facts: list[tuple[str, str]] = []
    for card in cards:
        record = records.get(card.handle)
        if record and (differing := disagreements(card, record, *beside(card, catalogue))):
            facts.append(("card", named(card, catalogue.files)))
            facts += [("differs", each) for each in differing]
    if facts:
        raise HubexportError(
            "the artifact is not the model that the card speaks of",
            facts,
            "pass the artifact of this model, or correct the card.",
        )


def beside(card: Model, catalogue: Catalogue) -> list[Model]:
    """What `disagreements` takes beside a card."""
    if isinstance(card, PreprocessorCard):
        return []
    encoder = catalogue.encoders[card.encoder] if isinstance(card, PipelineCard) else card
    takes = catalogue.preprocessors.get(encoder.preprocessor)
    return [*([] if encoder is card else [encoder]), *([takes] if takes else [])]


def named(card: Model, files: Mapping[str, Path]) -> str:
    """A card, as messages call it: with the file that it is in."""
    return f"{card.handle} ({files[card.handle]})" if card.handle in files else card.handle


def _differing(stated: object, found: object) -> Contradiction:
    known = stated is not None and found is not None
    return (str(stated), str(found)) if known and stated != found else None


def _part(record: Record, name: str) -> Mapping[str, Any]:
    return record.get(name) or {}


def _kind(card: Model, record: Record) -> Contradiction:
    return _differing(card.kind, record.get("kind"))


def _casing(card: EncoderCard | PreprocessorCard, record: Record) -> Contradiction:
    stated, found = casing.CASINGS[card.casing], casing.recorded(record.get("tokenizer"))
    if any(None not in pair and pair[0] != pair[1] for pair in zip(stated, found, strict=True)):
        return card.casing, casing.words(found)
    return None


def _family(card: EncoderCard, record: Record) -> Contradiction:
    return _differing(card.family, _part(record, "family").get("name"))


def _size(name: str, card: EncoderCard, record: Record) -> Contradiction:
    stated = getattr(card.architecture, name)
    return _differing(stated, _part(record, "architecture").get(name))


def _stated_parameters(card: EncoderCard, record: Record) -> Contradiction:
    """Rounded, and of the network with or without its heads."""
    stated = card.architecture.stated_parameters
    counted = _part(record, "architecture").get("num_parameters")
    if stated is None or counted is None:
        return None
    least = counted - sum(head["num_parameters"] for head in _part(record, "heads").values())
    if (1 - ROUNDING) * least <= stated <= (1 + ROUNDING) * counted:
        return None
    return f"{stated:,}", f"{counted:,}"


def _layout(card: EncoderCard, record: Record) -> Contradiction:
    stated = None if card.origin.layout == "other" else card.origin.layout
    return _differing(stated, _part(record, "checkpoint").get("layout"))


def _objectives(card: EncoderCard, record: Record) -> Contradiction:
    """A head that is exported was trained by the objective of its name."""
    heads = [head for head in _part(record, "heads") if head in OBJECTIVES]
    if set(heads) <= set(card.objectives):
        return None
    return ", ".join(card.objectives), f"there are the heads {', '.join(heads)}"


def _pooler(card: EncoderCard, record: Record) -> Contradiction:
    recorded = record.get("pooler")
    if card.pooler is None or not recorded:
        return None
    stated, held = card.pooler.status, _holds_pooler(record)
    if stated == "absent":
        return (stated, "the checkpoint has a pooler") if held else None
    if held is False:
        return stated, "the checkpoint has no pooler"
    # Where the record has doubts, people may know better: the page says both.
    pooler = POOLERS.get(recorded["pooled_output"])
    trained = pooler is not None and pooler.dense == "checkpoint" and recorded.get("trained")
    return (stated, "trained") if stated == "untrained" and trained else None


def _holds_pooler(record: Record) -> bool | None:
    """Whether the encoder of the checkpoint has one, exported or not, or in use by a head.

    The dense layer that a classifier of RoBERTa or DistilBERT begins with is the classifier's own.
    """
    if "tensors" not in record or "skipped_tensors" not in record:
        return None
    exported = any(
        row["variable"].startswith("pooler/dense/") and not row["tensor"].startswith("generated")
        for row in record["tensors"]
    )
    of_head = any(
        "/pooler/dense/" in row["variable"] and "pooler" in row["tensor"]
        for row in record["tensors"]
    )
    left_out = any(reason.startswith("pooler,") for reason in record["skipped_tensors"])
    return exported or of_head or left_out


def _sequence_length(card: EncoderCard, record: Record) -> Contradiction:
    """Nobody trains with more positions than there are, unless the export left some out."""
    positions = _part(record, "architecture").get("max_position_embeddings")
    if positions is None or "max_position_embeddings" in _part(record, "overrides"):
        return None
    longer = [
        stage.sequence_length
        for stage in card.training
        if stage.sequence_length is not None and stage.sequence_length > positions
    ]
    return (str(max(longer)), f"there are {positions} positions") if longer else None


def _tasks(card: Model, record: Record) -> Contradiction:
    kind, heads = record.get("kind"), record.get("heads")
    if kind is not None and (_PREPROCESSING in card.tfhub.tasks) != (kind == "preprocessor"):
        return ", ".join(card.tfhub.tasks), str(kind)
    unmet = [task for task in card.tfhub.tasks if not _can(task, heads)]
    return (", ".join(unmet), _heads(heads or ())) if unmet else None


def heads_for(task: str) -> list[str]:
    """Heads of which one is needed for a task of tfhub.dev or a pipeline tag of Hugging Face; none
    where the encoder is enough."""
    classes = {*_CLASSES.get(task, ())}
    return [head for head, ends in ARCHITECTURES.items() if classes & {*ends}]


def _can(task: str, heads: Iterable[str] | None) -> bool:
    """Whether an artifact with these heads, None where they are not known, is for a task."""
    return heads is None or task not in _CLASSES or bool({*heads_for(task)} & {*heads})


def _network(card: EncoderCard, record: Record) -> Contradiction:
    stated, family = card.tfhub.network_architecture, _part(record, "family").get("name")
    if stated is None or family not in families() or stated in _NETWORKS:
        return None
    return stated, f"the family is {family}"


def _pipeline(card: EncoderCard, record: Record) -> Contradiction:
    heads, tag = record.get("heads"), card.hugging_face.pipeline_tag
    return None if _can(tag, heads) else (tag, _heads(heads or ()))


def _labels(card: EncoderCard, record: Record) -> Contradiction:
    """Those of the head that has classes; a card may name those that the checkpoint does not."""
    heads = record.get("heads")
    if not card.labels or heads is None:
        return None
    stated = ", ".join(card.labels)
    if (head := _with_classes(record)) is None:
        return stated, _heads(heads)
    if head["labels"]:
        differs = list(card.labels) != head["labels"]
        return (stated, ", ".join(head["labels"])) if differs else None
    (output,) = head["outputs"].values()
    classes = output["shape"][-1]
    return None if classes == len(card.labels) else (stated, f"there are {classes} classes")


def _problem_type(card: EncoderCard, record: Record) -> Contradiction:
    heads = record.get("heads")
    if card.problem_type is None or heads is None:
        return None
    if (head := _with_classes(record)) is None:
        return card.problem_type, _heads(heads)
    return _differing(card.problem_type, head["problem_type"])


def _with_classes(record: Record) -> Mapping[str, Any] | None:
    """The head whose classes have names: a checkpoint has one configuration, and so one at most."""
    heads = _part(record, "heads").values()
    return next((head for head in heads if head["declares_labels"]), None)


def _heads(heads: Iterable[str]) -> str:
    return f"the heads are {', '.join(heads) or 'none'}"


def _preprocessor(preprocessor: PreprocessorCard, record: Record) -> Contradiction:
    """Whether the encoder's vocabulary can be the preprocessor's, as the latter's card has it."""
    pieces, rows = preprocessor.vocab_size, _part(record, "architecture").get("vocab_size")
    own = _part(record, "tokenizer").get("vocab_size")
    if pieces is not None and own is not None and pieces != own:
        return f"{preprocessor.handle} of {pieces:,} pieces", f"the vocabulary has {own:,}"
    if pieces is not None and rows is not None and pieces > rows:
        return f"{preprocessor.handle} of {pieces:,} pieces", f"there are embeddings for {rows:,}"
    kind = _part(record, "tokenizer").get("kind")
    differing = _differing(preprocessor.tokenizer, kind) or _casing(preprocessor, record)
    return differing and (f"{preprocessor.handle}, {differing[0]}", differing[1])


def _held(card: Model, record: Record) -> dict[str, Contradiction]:
    """Whether a pipeline holds the encoder, or the preprocessor, that a card speaks of."""
    held = _part(record, card.kind)
    found = {
        f"{card.kind}: {key}": claim(card, held)
        for key, claim in CLAIMS[card.kind].items()
        if key not in _OF_PLATFORMS
    }
    return {key: each and (f"{card.handle}, {each[0]}", each[1]) for key, each in found.items()}


def _task(card: PipelineCard, record: Record) -> Contradiction:
    return _differing(card.task, _part(record, "task").get("name"))


def _called(names: str, said: Iterable[str], record: Record) -> Contradiction:
    """Whether platforms' names of tasks are among those for the task of a pipeline."""
    task = _part(record, "task").get("name")
    if task not in tasks():
        return None
    known = getattr(tasks()[task], names)
    unmet = [each for each in said if each not in known]
    return (", ".join(unmet), f"the task is {task}") if unmet else None


def _tfhub_tasks(card: PipelineCard, record: Record) -> Contradiction:
    return _called("tfhub_tasks", card.tfhub.tasks, record)


def _pipeline_tag(card: PipelineCard, record: Record) -> Contradiction:
    return _called("pipeline_tags", [card.hugging_face.pipeline_tag], record)


def _framework(card: Model, record: Record) -> Contradiction:
    version = _part(record, "saved_model").get("tensorflow_version")
    if version is None or card.kaggle.framework == _FRAMEWORK:
        return None
    return card.kaggle.framework, f"a SavedModel of TensorFlow {version}"


def _tokenizer(name: str, of_record: str, card: PreprocessorCard, record: Record) -> Contradiction:
    return _differing(getattr(card, name), _part(record, "tokenizer").get(of_record))


def _language(card: PreprocessorCard, record: Record) -> Contradiction:
    settings = _part(record, "tokenizer").get("settings") or {}
    return _differing(card.text_language, settings.get("language"))


_SIZES = [
    field.name
    for field in dataclasses.fields(Architecture)
    if field.name not in ("stated_parameters", "source")
]

CLAIMS: Mapping[str, Mapping[str, Claim]] = {
    EncoderCard.kind: {
        "kind": _kind,
        "casing": _casing,
        "family": _family,
        **{f"architecture.{name}": functools.partial(_size, name) for name in _SIZES},
        "architecture.stated_parameters": _stated_parameters,
        "origin.layout": _layout,
        "objectives": _objectives,
        "pooler.status": _pooler,
        "training[].sequence_length": _sequence_length,
        "tfhub.tasks": _tasks,
        "tfhub.network_architecture": _network,
        "kaggle.framework": _framework,
        "hugging_face.pipeline_tag": _pipeline,
        "labels": _labels,
        "problem_type": _problem_type,
    },
    PreprocessorCard.kind: {
        "kind": _kind,
        "casing": _casing,
        "tokenizer": functools.partial(_tokenizer, "tokenizer", "kind"),
        "model_type": functools.partial(_tokenizer, "model_type", "model_type"),
        "vocab_size": functools.partial(_tokenizer, "vocab_size", "vocab_size"),
        "text_language": _language,
        "tfhub.tasks": _tasks,
        "kaggle.framework": _framework,
    },
    PipelineCard.kind: {
        "kind": _kind,
        "task": _task,
        "tfhub.tasks": _tfhub_tasks,
        "kaggle.framework": _framework,
        "hugging_face.pipeline_tag": _pipeline_tag,
    },
}
"""Kind of card -> key -> how it is compared."""
