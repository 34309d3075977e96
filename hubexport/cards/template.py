"""A tree of YAML with fields such as {L}, filled in with the values of one cell of a grid."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from hubexport.cards.nodes import Mapping, Node, Scalar, Sequence, kind_of
from hubexport.cards.problems import CardError, Problem, nearest

MAX_NODES = 200_000  # of all cards of a file together
MAX_CHARACTERS = 4_000_000

_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z]\w{0,30})\}|[{}]")


class _Absent(Exception):
    """A field that has no value in this cell."""


class Template:
    """The cards' common text; counts what is made of it, and stops where that cannot be meant."""

    def __init__(self, root: Mapping, path: Path):
        self.root, self.path = root, path
        self.nodes = self.characters = 0

    def check(self, fields: Collection[str]) -> tuple[list[Problem], set[str]]:
        """Problems with the fields of the texts, and the names of those that there are."""
        problems: list[Problem] = []
        used: set[str] = set()
        pending: list[tuple[Node, str]] = [(self.root, "")]
        while pending:
            node, key = pending.pop()
            if isinstance(node, Mapping):
                for name, value in node.entries:
                    pending.append((value, f"{key}.{name.text[:40]}" if key else name.text[:40]))
                continue
            if isinstance(node, Sequence):
                pending += [(item, f"{key}[{i}]") for i, item in enumerate(node.items)]
                continue
            for found in _FIELD.finditer(node.text):
                if found[0] in ("{", "}"):
                    message = "a single brace that begins no field: write it twice"
                    problems.append(Problem(self.path, node.mark, key, message))
                elif found[1] is not None:
                    used.add(found[1])
                    if found[1] not in fields:
                        message = f"the grid has no {found[1]!r}{nearest(found[1], fields)}"
                        problems.append(Problem(self.path, node.mark, key, message))
        return problems, used

    def fill(self, values: dict[str, Node]) -> Mapping:
        """The card of one cell.

        Args:
          values: field -> value. A text that holds a field without one is left out, together with
            the list's item that it is in; if it is in none, its key is left out.

        Raises:
          CardError: a list or mapping in the middle of a text, or limits that are exceeded.
        """
        filled = self._fill(self.root, values, listed=False)
        assert isinstance(filled, Mapping)
        return filled

    def _fill(self, node: Node, values: dict[str, Node], listed: bool) -> Node:
        self._count(node)
        if isinstance(node, Scalar):
            whole = _FIELD.fullmatch(node.text)
            if whole and whole[1]:
                return self._value(whole[1], values)
            return dataclasses.replace(node, text=self._text(node, values))
        if isinstance(node, Sequence):
            items = []
            for item in node.items:
                try:
                    items.append(self._fill(item, values, listed=True))
                except _Absent:
                    continue
            if node.items and not items:
                raise _Absent
            return dataclasses.replace(node, items=tuple(items))
        entries = []
        for name, value in node.entries:
            try:
                entries.append((name, self._fill(value, values, listed)))
            except _Absent:
                if listed:  # an item goes as a whole: its keys belong together
                    raise
        return dataclasses.replace(node, entries=tuple(entries))

    def _value(self, name: str, values: dict[str, Node]) -> Node:
        if name not in values:
            raise _Absent
        pending = [values[name]]
        while pending:
            node = pending.pop()
            self._count(node)
            if isinstance(node, Mapping):
                pending += [value for _, value in node.entries]
            elif isinstance(node, Sequence):
                pending += node.items
        return values[name]

    def _text(self, node: Scalar, values: dict[str, Node]) -> str:
        def replaced(found: re.Match[str]) -> str:
            if found[1] is None:
                return found[0][0]
            if found[1] not in values:
                raise _Absent
            value = values[found[1]]
            if not isinstance(value, Scalar):
                self._stop(node, f"{{{found[1]}}} is {kind_of(value)}, and this is a text")
            self._count(value)
            return value.text

        return _FIELD.sub(replaced, node.text)

    def _count(self, node: Node) -> None:
        self.nodes += 1
        self.characters += len(node.text) if isinstance(node, Scalar) else 0
        if self.nodes > MAX_NODES or self.characters > MAX_CHARACTERS:
            self._stop(self.root, "the grid makes more of this than can be meant")

    def _stop(self, node: Node, message: str) -> NoReturn:
        raise CardError([Problem(self.path, node.mark, "", message)])
