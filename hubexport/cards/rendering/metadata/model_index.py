"""`model-index` of a Hugging Face card: the results that others published of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hubexport.cards.parts import Dataset, Evaluation


class _Task(NamedTuple):
    """What a data set asks for, and the part of it on the Hub that does."""

    type: str
    config: str | None = None


_CLASSIFICATION = "text-classification"
_ANSWERING = "question-answering"
_TASKS = {
    "cola": _Task(_CLASSIFICATION, "cola"),
    "glue": _Task(_CLASSIFICATION),
    "glue_ax": _Task(_CLASSIFICATION, "ax"),
    "masked_words": _Task("fill-mask"),
    "mnli": _Task(_CLASSIFICATION),
    "mrpc": _Task(_CLASSIFICATION, "mrpc"),
    "qnli": _Task(_CLASSIFICATION, "qnli"),
    "qqp": _Task(_CLASSIFICATION, "qqp"),
    "race": _Task("multiple-choice"),
    "roc_stories": _Task("multiple-choice"),
    "rte": _Task(_CLASSIFICATION, "rte"),
    "squad_1_1": _Task(_ANSWERING),
    "squad_2_0": _Task(_ANSWERING),
    "sst_2": _Task(_CLASSIFICATION, "sst2"),
    "sts_b": _Task(_CLASSIFICATION, "stsb"),
    "wikitext_103": _Task("text-generation", "wikitext-103-v1"),
    "wnli": _Task(_CLASSIFICATION, "wnli"),
    "xnli": _Task(_CLASSIFICATION),
}
"""Id of a data set in the catalogue -> its task."""

# The Hub demands a task; this is its word for none of its own.
_OTHER = _Task("other")

_METRICS = {
    "F1": "f1",
    "Matthews correlation": "matthews_correlation",
    "Pearson correlation": "pearsonr",
    "Spearman correlation": "spearmanr",
}
"""Metric -> its id on the Hub, where that is not the metric in lower case."""

_SPLITS = {"dev": "validation"}


def model_index(
    name: str, evaluation: tuple[Evaluation, ...], datasets: Mapping[str, Dataset]
) -> list[dict[str, Any]]:
    """One model with its results, those of the same data and source in one; [] without results.

    Args:
      name: of the model.
      evaluation: the results.
      datasets: id -> what is known of it.
    """
    results: dict[tuple[str | None, ...], dict[str, Any]] = {}
    for each in evaluation:
        key = (each.dataset, each.subset, each.split, each.source)
        result = results.setdefault(key, _result(each, datasets[each.dataset]))
        result["metrics"].append(_metric(each))
    return [{"name": name, "results": list(results.values())}] if results else []


def _result(each: Evaluation, dataset: Dataset) -> dict[str, Any]:
    task = _TASKS.get(each.dataset, _OTHER)
    data = {
        "type": dataset.hugging_face or each.dataset,
        "name": f"{dataset.title} ({each.subset})" if each.subset else dataset.title,
        "config": task.config,
        "split": each.split and _SPLITS.get(each.split, each.split),
    }
    return {
        "task": {"type": task.type},
        "dataset": {key: value for key, value in data.items() if value},
        "metrics": [],
        "source": {"url": each.source},
    }


def _metric(each: Evaluation) -> dict[str, Any]:
    return {
        "type": _METRICS.get(each.metric, each.metric.lower().replace(" ", "_")),
        "value": each.value,
        "name": f"{each.metric} ({each.setting})" if each.setting else each.metric,
    }
