"""What a list of models can be narrowed down by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hubexport.cards.phrases import LANGUAGES, family_name, head_title
from hubexport.cards.schema import Model, PipelineCard
from hubexport.cards.site.summaries import Summary

_BANDS = ((10, "up to 10 M"), (50, "10 to 50 M"), (150, "50 to 150 M"), (400, "150 to 400 M"))
_LARGEST = "over 400 M"


@dataclass(frozen=True)
class Option:
    """A value of a facet, in words, and how many models have it."""

    value: str
    label: str
    count: int


@dataclass(frozen=True)
class Facet:
    """One group of filters: models that have any of the chosen values are shown."""

    key: str
    label: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class _Kind:
    """A facet before any model is looked at: its values in a model, and what they are called."""

    key: str
    label: str
    values: Callable[[Summary], Iterable[Any]]
    name: Callable[[str], str] = str
    order: Callable[[Any], Any] = str


def language_name(code: str) -> str:
    """English; a code that has no name here stays a code."""
    return LANGUAGES.get(code, code)


def values_of(summary: Summary) -> dict[str, list[str]]:
    """Facet -> the values that a model has; facets without any are left out."""
    found = {kind.key: [str(value) for value in kind.values(summary)] for kind in _KINDS}
    return {key: values for key, values in found.items() if values}


def values_as_json(summary: Summary) -> str:
    """`values_of` as site.js reads it."""
    return json.dumps(values_of(summary), ensure_ascii=False, sort_keys=True)


def facets_of(summaries: Iterable[Summary]) -> list[Facet]:
    """The facets that some model has a value of, with all their values."""
    listed = list(summaries)
    facets = [Facet(kind.key, kind.label, _options(kind, listed)) for kind in _KINDS]
    return [facet for facet in facets if facet.options]


def _options(kind: _Kind, summaries: Iterable[Summary]) -> tuple[Option, ...]:
    counts = Counter(value for summary in summaries for value in set(kind.values(summary)))
    values = sorted(counts, key=kind.order)
    return tuple(Option(str(each), kind.name(each), counts[each]) for each in values)


def words(identifier: str) -> str:
    """An identifier for people: `token-classification` is "Token classification"."""
    return identifier.replace("_", " ").replace("-", " ").capitalize()


def _band(summary: Summary) -> list[str]:
    if summary.parameters is None:
        return []
    millions = summary.parameters / 1e6
    return [next((label for most, label in _BANDS if millions <= most), _LARGEST)]


def _known(value: int | None) -> list[int]:
    return [] if value is None else [value]


def _tasks(card: Model) -> list[str]:
    return [card.task] if isinstance(card, PipelineCard) else []


def _by_language(code: str) -> tuple[bool, str]:
    return (code == "multilingual", language_name(code))


_KINDS = (
    _Kind("kind", "Kind", lambda each: [each.card.kind], words),
    _Kind("task", "Task", lambda each: _tasks(each.card), words),
    _Kind("family", "Family", lambda each: each.families, family_name),
    _Kind("language", "Language", lambda each: each.source.languages, language_name, _by_language),
    _Kind("casing", "Casing", lambda each: [each.source.casing], words),
    _Kind("parameters", "Parameters", _band, order=[*(text for _, text in _BANDS), _LARGEST].index),
    _Kind("layers", "Layers", lambda each: _known(each.layers), str, int),
    _Kind("hidden", "Hidden size", lambda each: _known(each.hidden), str, int),
    _Kind("heads", "Heads", lambda each: each.heads, head_title),
)
