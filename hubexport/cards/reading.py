"""From a tree of YAML to the dataclasses of the schema, with every offender noted on the way."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from hubexport.cards.fields import Check, Refers
from hubexport.cards.nodes import Mapping, Node, Scalar, Sequence, kind_of
from hubexport.cards.problems import Mark, Problem, hint, shown

_INTEGER = re.compile(r"0|[1-9]\d{0,14}")
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?([eE][+-]?\d{1,2})?")
_LONGEST = 4000  # characters of any text
_RESOLVER = yaml.SafeLoader("")
_STRING = "tag:yaml.org,2002:str"
_MEANT = {"bool": "true or false", "null": "nothing", "int": "a number", "float": "a number",
          "timestamp": "a date"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reference:
    """A name that must exist elsewhere in the catalogue."""

    to: str
    name: str
    path: Path
    mark: Mark
    key: str


class Reader:
    """Reads values; `problems` and `references` grow while it does.

    Values that are wrong come back as they are: the caller looks at `problems` before using any.
    """

    def __init__(self, path: Path):
        self.path = path
        self.problems: list[Problem] = []
        self.references: list[Reference] = []

    def problem(self, mark: Mark, key: str, message: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(self.path, mark, key, message))

    def read(self, kind: Any, node: Node, key: str) -> Any:
        """A value of the type `kind`: a dataclass, tuple[T, ...], dict[str, T], or a scalar."""
        if typing.get_origin(kind) in (types.UnionType, typing.Union):  # T | None
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
        if dataclasses.is_dataclass(kind):
            return self._object(kind, node, key)
        origin = typing.get_origin(kind)
        if origin is tuple:
            return self._list(typing.get_args(kind)[0], node, key)
        if origin is dict:
            names, values = typing.get_args(kind)
            return self._table(names, values, node, key)
        if isinstance(node, Scalar):
            return self._scalar(kind, node, key)
        self.problem(node.mark, key, f"needs {_a(type_name(kind))}, found {kind_of(node)}")
        return None

    def _object(self, kind: Any, node: Node, key: str) -> Any:
        if not isinstance(node, Mapping):
            message = f"needs keys and values, found {kind_of(node)}"
            self.problem(node.mark, key, message)
            return None
        hints = keys_of(kind)
        values = {}
        for name, value in node.entries:
            inner = f"{key}.{name.text}" if key else name.text
            if name.text in hints:
                values[name.text] = self.read(hints[name.text], value, inner)
            else:
                message = f"there is no such key{hint(name.text, hints)}"
                self.problem(name.mark, inner[:100], message)
        missing = [name for name in required_keys(kind) if node.get(name) is None]
        if missing:
            self.problem(node.mark, key, f"lacks {', '.join(missing)}")
            return None
        return kind(**values)

    def _list(self, kind: Any, node: Node, key: str) -> tuple[Any, ...]:
        if not isinstance(node, Sequence):
            message = f"needs a list of {type_name(kind)}, found {kind_of(node)}"
            self.problem(node.mark, key, message)
            return ()
        if not node.items:
            self.problem(node.mark, key, "is empty: leave the key out where nothing is known")
        values = [self.read(kind, item, f"{key}[{i}]") for i, item in enumerate(node.items)]
        seen: list[Any] = []
        for value, item in zip(values, node.items, strict=True):
            if value is not None and value in seen:
                self.problem(item.mark, key, "has the same item twice")
            seen.append(value)
        return tuple(values)

    def _table(self, names: Any, kind: Any, node: Node, key: str) -> dict[str, Any]:
        if not isinstance(node, Mapping) or not node.entries:
            self.problem(node.mark, key, f"needs ids and their values, found {kind_of(node)}")
            return {}
        for name, _ in node.entries:
            self._scalar(names, name, key)
        return {
            name.text: self.read(kind, value, f"{key}.{name.text[:60]}")
            for name, value in node.entries
        }

    def _scalar(self, kind: Any, node: Scalar, key: str) -> Any:
        if not node.text:
            self.problem(node.mark, key, "is empty: leave the key out where nothing is known")
            return None
        if kind is int or kind is float:
            pattern = _INTEGER if kind is int else _DECIMAL
            if node.plain and pattern.fullmatch(node.text) and math.isfinite(float(node.text)):
                return kind(node.text)
        elif kind is bool:
            if node.plain and node.text in ("true", "false"):
                return node.text == "true"
        else:
            return self._text(kind, node, key)
        self.problem(node.mark, key, f"needs {_a(type_name(kind))}, found {shown(node.text)}")
        return None

    def _text(self, kind: Any, node: Scalar, key: str) -> str | None:
        check = check_of(kind)
        if len(node.text) > _LONGEST:
            self.problem(node.mark, key, f"has {len(node.text)} characters, over {_LONGEST}")
            return None
        if node.plain:
            tag = _RESOLVER.resolve(yaml.ScalarNode, node.text, (True, False))
            meaning = tag.rpartition(":")[2]
            if tag != _STRING and check.name != meaning.replace("timestamp", "date"):
                meant = _MEANT.get(meaning, "something else")
                message = f"{shown(node.text)} means {meant} in YAML: put it in quotes"
                self.problem(node.mark, key, message)
                return None
        wrong = check(node.text)
        if wrong:
            self.problem(node.mark, key, wrong)
            return None
        if isinstance(check, Refers):
            self.references.append(Reference(check.to, node.text, self.path, node.mark, key))
        return node.text


@functools.cache
def keys_of(kind: Any) -> dict[str, Any]:
    """Key -> type of a dataclass of the schema."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def required_keys(kind: Any) -> tuple[str, ...]:
    """The keys of a dataclass of the schema that have no default."""
    return tuple(f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING)


def check_of(kind: Any) -> Check:
    """The check of an annotated text."""
    check: Check = typing.get_args(kind)[1]
    return check


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def type_name(kind: Any) -> str:
    """A type as messages and docs/model_cards.md call it."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return type_name(next(a for a in typing.get_args(kind) if a is not type(None)))
    if typing.get_origin(kind) is tuple:
        return f"list of {type_name(typing.get_args(kind)[0])}"
    if typing.get_origin(kind) is dict:
        return f"id -> {type_name(typing.get_args(kind)[1])}"
    if dataclasses.is_dataclass(kind):
        return str(getattr(kind, "__name__", kind))
    names = {int: "integer", float: "number", bool: "true or false"}
    return names[kind] if kind in names else check_of(kind).name
