"""`widget` of a Hugging Face card: inputs to try, with the outputs that the artifact gave.

Forms of inputs and outputs are those of the Hub's documents and of its package @huggingface/tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hubexport.cards.schema import Card, PipelineCard

Inputs: TypeAlias = Mapping[str, Sequence[str]]
Outputs: TypeAlias = Mapping[str, Sequence[Any]]


def widget(card: Card, record: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The examples of a pipeline's record; None where there are none that the Hub can show."""
    example = record.get("example")
    if not isinstance(card, PipelineCard) or not example:
        return None
    form = _FORMS.get(card.hugging_face.pipeline_tag)
    return form(example["inputs"], example["outputs"]) if form else None


def _texts(inputs: Inputs, outputs: Outputs) -> list[dict[str, Any]]:
    return [{"text": text} for text in inputs["text"]]


def _sentences(inputs: Inputs, outputs: Outputs) -> list[dict[str, Any]]:
    first, *others = inputs["text"]
    return [{"source_sentence": first, "sentences": others}]


def _labelled(inputs: Inputs, outputs: Outputs) -> list[dict[str, Any]]:
    return [
        {"text": text, "output": _scored("label", labels, scores)}
        for text, labels, scores in zip(
            inputs["text"], outputs["labels"], outputs["scores"], strict=True
        )
    ]


def _masked(inputs: Inputs, outputs: Outputs) -> list[dict[str, Any]]:
    """Texts with one mask: the Hub's widget fills no more."""
    return [
        {"text": text, "output": _scored("label", tokens[0], scores[0])}
        for text, tokens, scores, count in zip(
            inputs["text"], outputs["tokens"], outputs["scores"], outputs["num_masks"], strict=True
        )
        if count == 1
    ]


def _answered(inputs: Inputs, outputs: Outputs) -> list[dict[str, Any]]:
    rows = zip(
        inputs["question"], inputs["context"], outputs["answers"], outputs["scores"],
        outputs["num_answers"], strict=True,
    )  # fmt: skip
    return [
        {"text": question, "context": context}
        | ({"output": {"answer": answers[0], "score": scores[0]}} if count else {})
        for question, context, answers, scores, count in rows
    ]


def _scored(name: str, values: Sequence[str], scores: Sequence[float]) -> list[dict[str, Any]]:
    return [{name: value, "score": score} for value, score in zip(values, scores, strict=True)]


_FORMS: Mapping[str, Callable[[Inputs, Outputs], list[dict[str, Any]]]] = {
    "feature-extraction": _texts,
    "fill-mask": _masked,
    "question-answering": _answered,
    "sentence-similarity": _sentences,
    "text-classification": _labelled,
    "token-classification": _texts,
}
"""Pipeline tag -> what its widget takes."""
