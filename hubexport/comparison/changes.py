"""Differences between two plain values, such as records: where, and what was there before."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

# Lists whose order says nothing: field -> what tells their items apart.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "checkpoint": ("name",),  # of a reference
    "files": ("name",),
    "gates": ("name",),
    "tensors": ("variable",),
    "validation": ("runtime", "device", "hardware"),
}
_SETS = ("command", "required_ops", "skipped_tensors", "warnings")
_PLAIN_KEY = re.compile(r"[\w-]+")


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that differs.

    Attributes:
      where: its path: `architecture.dtype`, `checkpoint.files[model.safetensors].sha256`.
      status: `ADDED` (in b only), `REMOVED` (in a only) or `CHANGED`.
      a, b: what is there, as JSON has it; None where nothing is.
      detail: in words, where the two values do not say it all.
    """

    where: str
    status: str
    a: Any = None
    b: Any = None
    detail: str = ""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        fields = dataclasses.asdict(self)
        return fields if self.detail else {k: v for k, v in fields.items() if k != "detail"}


def changes(a: Mapping[str, Any], b: Mapping[str, Any], where: str = "") -> tuple[Change, ...]:
    """Every difference between two objects, in the order of a, then what only b has.

    Objects are compared field by field, lists of `_KEYS` and `_SETS` item by item, others as a
    whole.
    """
    return tuple(_objects(a, b, where))


def inside(where: str, key: str) -> str:
    """The path of a field of what is at a path."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{where}[{key}]"
    return f"{where}.{key}" if where else key


def _objects(a: Mapping[str, Any], b: Mapping[str, Any], where: str) -> Iterator[Change]:
    for key in dict.fromkeys([*a, *b]):
        path = inside(where, key)
        if key not in a:
            yield Change(path, ADDED, b=b[key])
        elif key not in b:
            yield Change(path, REMOVED, a=a[key])
        else:
            yield from _values(a[key], b[key], path, key)


def _values(a: Any, b: Any, where: str, key: str) -> Iterator[Change]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        yield from _objects(a, b, where)
    elif isinstance(a, list) and isinstance(b, list):
        yield from _lists(a, b, where, key)
    elif _is_other(a, b):
        yield Change(where, CHANGED, a, b)


def _lists(a: list[Any], b: list[Any], where: str, key: str) -> Iterator[Change]:
    parent = re.split(r"[.\[]", where)
    if any(name in parent for name in _SETS) and all(isinstance(x, str) for x in (*a, *b)):
        yield from (Change(where, REMOVED, a=each) for each in a if each not in b)
        yield from (Change(where, ADDED, b=each) for each in b if each not in a)
        return
    one, other = _by_key(a, _KEYS.get(key)), _by_key(b, _KEYS.get(key))
    if one is None or other is None:
        if _is_other(a, b):
            yield Change(where, CHANGED, a, b)
        return
    for name in dict.fromkeys([*one, *other]):
        path = f"{where}[{name}]"
        if name not in one:
            yield Change(path, ADDED, b=other[name])
        elif name not in other:
            yield Change(path, REMOVED, a=one[name])
        else:
            yield from _values(one[name], other[name], path, "")


def _by_key(items: Sequence[Any], fields: tuple[str, ...] | None) -> dict[str, Any] | None:
    """The items by what tells them apart; None where nothing does."""
    if fields is None or not all(isinstance(each, Mapping) for each in items):
        return None
    found = {" ".join(str(each.get(f)) for f in fields if f in each): each for each in items}
    return found if len(found) == len(items) and "" not in found else None


def _is_other(a: Any, b: Any) -> bool:
    """Whether two values are not the same JSON: to Python 1 is 1.0 and True."""
    return json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True)
