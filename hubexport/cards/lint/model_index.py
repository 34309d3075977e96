"""`model-index` of a Hugging Face card: results of evaluations, each of a task on a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hubexport.cards.lint.findings import Finding, is_number
from hubexport.cards.problems import shown

RULES = (
    "model-index-form",
    "model-index-missing",
    "model-index-type",
    "model-index-key",
    "model-index-value",
)

# Keys of each part and whether they must be there. Arguments may be anything.
_PARTS: dict[str, dict[str, bool]] = {
    "task": {"type": True, "name": False},
    "dataset": {
        "type": True,
        "name": True,
        "config": False,
        "split": False,
        "revision": False,
        "args": False,
    },
    "metric": {
        "type": True,
        "value": True,
        "name": False,
        "config": False,
        "args": False,
        "verified": False,
        "verifyToken": False,
    },
    "source": {"url": True, "name": False},
}
_FREE = ("args", "verified", "value")

Line = Callable[..., int]


def check_model_index(value: Any, line: Line) -> list[Finding]:
    """All findings about the value of `model-index`.

    Args:
      value: what YAML gives, None where the card has none.
      line: the line of a value, from the keys and positions that lead to it.
    """
    if value is None:
        return []
    return list(_models(value, line))


def _models(value: Any, line: Line) -> Iterator[Finding]:
    path: tuple[Any, ...] = ("model-index",)
    if not isinstance(value, list) or not value:
        yield _form(line, path, "model-index", value, "a list of models with name and results")
        return
    for index, model in enumerate(value):
        here = (*path, index)
        if not isinstance(model, dict):
            yield _form(line, here, "a model", model, "a mapping with name and results")
            continue
        yield from _required(line, here, "a model", model, ("name", "results"))
        yield from _unknown(line, here, "a model", model, ("name", "results"))
        yield from _texts(line, here, "a model", model, ("name",))
        results = model.get("results")
        if "results" in model and not isinstance(results, list):
            yield _form(line, (*here, "results"), "results", results, "a list")
            continue
        for position, result in enumerate(results or []):
            yield from _result(line, (*here, "results", position), result)


def _result(line: Line, path: tuple[Any, ...], result: Any) -> Iterator[Finding]:
    if not isinstance(result, dict):
        yield _form(line, path, "a result", result, "a mapping with task, dataset and metrics")
        return
    needed = ("task", "dataset", "metrics")
    yield from _required(line, path, "a result", result, needed)
    yield from _unknown(line, path, "a result", result, (*needed, "source"))
    for name in ("task", "dataset", "source"):
        if name in result:
            yield from _part(line, (*path, name), name, result[name])
    metrics = result.get("metrics")
    if "metrics" in result and (not isinstance(metrics, list) or not metrics):
        yield _form(line, (*path, "metrics"), "metrics", metrics, "a list of type and value")
        return
    for index, metric in enumerate(metrics or []):
        here = (*path, "metrics", index)
        yield from _part(line, here, "metric", metric)
        found = metric.get("value") if isinstance(metric, dict) else None
        if found is not None and not isinstance(found, str) and not is_number(found):
            message = f"a metric's value is a finite number or text; found {shown(found)}"
            yield Finding(line(*here, "value"), None, "model-index-value", message)


def _part(line: Line, path: tuple[Any, ...], name: str, part: Any) -> Iterator[Finding]:
    keys = _PARTS[name]
    if not isinstance(part, dict):
        yield _form(line, path, f"a {name}", part, f"a mapping with {', '.join(keys)}")
        return
    required = tuple(key for key, needed in keys.items() if needed)
    yield from _required(line, path, f"a {name}", part, required)
    yield from _unknown(line, path, f"a {name}", part, tuple(keys))
    yield from _texts(line, path, f"a {name}", part, tuple(key for key in keys if key not in _FREE))


def _required(
    line: Line, path: tuple[Any, ...], what: str, part: dict[Any, Any], keys: tuple[str, ...]
) -> Iterator[Finding]:
    for key in keys:
        if part.get(key) is None:
            message = f"{what} in model-index has no {key}"
            yield Finding(line(*path), None, "model-index-missing", message)


def _unknown(
    line: Line, path: tuple[Any, ...], what: str, part: dict[Any, Any], keys: tuple[str, ...]
) -> Iterator[Finding]:
    for key in part:
        if key not in keys:
            message = f"{what} in model-index has {', '.join(keys)}; found {shown(key)}"
            yield Finding(line(*path, key), None, "model-index-key", message, None, "warning")


def _texts(
    line: Line, path: tuple[Any, ...], what: str, part: dict[Any, Any], keys: tuple[str, ...]
) -> Iterator[Finding]:
    for key in keys:
        if part.get(key) is not None and not isinstance(part[key], str):
            message = f"{key} of {what} in model-index is {shown(part[key])}, not text"
            yield Finding(line(*path, key), None, "model-index-type", message)


def _form(line: Line, path: tuple[Any, ...], what: str, value: Any, expected: str) -> Finding:
    message = f"{what} in model-index is {shown(value)}, not {expected}"
    return Finding(line(*path), None, "model-index-form", message)
