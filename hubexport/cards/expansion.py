"""One file for many cards: the template that the file is, filled in for every cell of a grid.

    grid:
      axes:
        L: [2, 4]
        H: [128, 256]
      derived:
        A: H / 64
      cells:
        - {L: 2, H: 128, cola: 0.0}
    name: "small_bert/bert_en_uncased_L-{L}_H-{H}_A-{A}"
    ...

Each combination of the axes' values is a card. `cells` adds values to some of them. A text that is
one field and nothing else (`"{L}"`) becomes the value itself: a number, a list, a mapping. Where a
cell has no value for a field, what holds the field is left out: the item if it is in a list, the
key otherwise. Braces that do not begin a field are written twice.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Collection
from pathlib import Path

from hubexport.cards.nodes import Mapping, Node, Scalar, Sequence, kind_of
from hubexport.cards.problems import CardError, Mark, Problem, hint, shown

MAX_CELLS = 500

_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z]\w{0,30})\}|[{}]")
_DERIVED = re.compile(r"([A-Za-z]\w*) / ([1-9]\d{0,5})")
_NAME = re.compile(r"[A-Za-z]\w{0,30}")


def expand(root: Mapping, path: Path) -> list[Mapping]:
    """The cards of a file: the file itself, or one for each cell of its grid.

    Raises:
      CardError: a grid that contradicts itself, or fields that it does not have.
    """
    if root.get("grid") is None:
        return [root]
    return _Grid(root, path).cards()


class _Grid:
    def __init__(self, root: Mapping, path: Path):
        self.path, self.template = path, _Template(root.without("grid"), path)
        self.problems: list[Problem] = []
        grid = root.get("grid")
        assert grid is not None
        self.mark = grid.mark
        parts = self._mapping(grid, "grid")
        for key, _ in grid.entries if isinstance(grid, Mapping) else ():
            if key.text not in ("axes", "derived", "cells"):
                message = "there is no such key" + hint(key.text, ("axes", "derived", "cells"))
                self._problem(key.mark, f"grid.{key.text[:40]}", message)
        if "axes" not in parts:
            self._problem(grid.mark, "grid", "lacks axes")
        self.axes = self._axes(parts.get("axes"))
        self.derived = self._derived(parts.get("derived"))
        self.cells = self._cells(parts.get("cells"))
        self.fields = {*self.axes, *self.derived, *(n for c in self.cells.values() for n in c)}

    def cards(self) -> list[Mapping]:
        """A template filled in for each cell.

        Raises:
          CardError: see `expand`.
        """
        problems, used = self.template.check(self.fields)
        self.problems += problems
        for name in sorted(self.fields - used):
            self._problem(self.mark, "grid", f"no text has the field {{{name}}}")
        if self.problems:
            raise CardError(self.problems)
        combinations = itertools.product(*self.axes.values())
        return [self._card(dict(zip(self.axes, each, strict=True))) for each in combinations]

    def _card(self, axes: dict[str, Scalar]) -> Mapping:
        values: dict[str, Node] = dict(axes)
        for name, (axis, divisor) in self.derived.items():
            quotient = int(axes[axis].text) // divisor
            values[name] = Scalar(str(quotient), True, axes[axis].mark)
        values.update(self.cells.get(tuple(scalar.text for scalar in axes.values()), {}))
        return self.template.fill(values)

    def _axes(self, node: Node | None) -> dict[str, tuple[Scalar, ...]]:
        axes: dict[str, tuple[Scalar, ...]] = {}
        for name, values in self._mapping(node, "grid.axes").items():
            key = f"grid.axes.{name}"
            if not isinstance(values, Sequence) or not values.items:
                self._problem(values.mark, key, f"needs a list, found {kind_of(values)}")
                continue
            texts = [item for item in values.items if isinstance(item, Scalar) and item.text]
            if len({scalar.text for scalar in texts}) != len(values.items):
                self._problem(values.mark, key, "needs distinct words or numbers")
            axes[name] = tuple(texts)
        if math.prod(map(len, axes.values())) > MAX_CELLS:
            self._problem(self.mark, "grid.axes", f"make over {MAX_CELLS} cards")
        return axes

    def _derived(self, node: Node | None) -> dict[str, tuple[str, int]]:
        derived = {}
        for name, value in self._mapping(node, "grid.derived").items():
            key = f"grid.derived.{name}"
            found = _DERIVED.fullmatch(value.text) if isinstance(value, Scalar) else None
            if found is None:
                self._problem(value.mark, key, "needs an axis divided by a number: 'H / 64'")
                continue
            axis, divisor = found[1], int(found[2])
            if axis not in self.axes:
                message = f"there is no axis {axis!r}{hint(axis, self.axes)}"
                self._problem(value.mark, key, message)
            elif not all(
                re.fullmatch(r"\d{1,9}", v.text) and int(v.text) % divisor == 0
                for v in self.axes[axis]
            ):
                self._problem(value.mark, key, f"{axis} is not always a multiple of {divisor}")
            else:
                derived[name] = (axis, divisor)
        return derived

    def _cells(self, node: Node | None) -> dict[tuple[str, ...], dict[str, Node]]:
        cells: dict[tuple[str, ...], dict[str, Node]] = {}
        if node is not None and not isinstance(node, Sequence):
            self._problem(node.mark, "grid.cells", f"needs a list, found {kind_of(node)}")
            return cells
        for number, item in enumerate(node.items if node else ()):
            key = f"grid.cells[{number}]"
            values = self._mapping(item, key)
            address = []
            for axis, allowed in self.axes.items():
                value = values.pop(axis, None)
                text = value.text if isinstance(value, Scalar) else ""
                known = [scalar.text for scalar in allowed]
                if text not in known:
                    found = "nothing" if value is None else kind_of(value)
                    suggestion = hint(text, known)
                    mark = value.mark if value else item.mark
                    message = f"needs a value of the axis {axis}, found {found}{suggestion}"
                    self._problem(mark, key, message)
                address.append(text)
            if tuple(address) in cells:
                self._problem(item.mark, key, "this cell is there twice")
            for name in set(values) & set(self.derived):
                self._problem(values[name].mark, f"{key}.{name}", "is derived already")
            cells[tuple(address)] = values
        return cells

    def _mapping(self, node: Node | None, key: str) -> dict[str, Node]:
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self._problem(node.mark, key, f"needs keys and values, found {kind_of(node)}")
            return {}
        for name, _ in node.entries:
            if not _NAME.fullmatch(name.text):
                self._problem(name.mark, key, f"{shown(name.text)} is not a field name")
        return {name.text: value for name, value in node.entries}

    def _problem(self, mark: Mark, key: str, message: str) -> None:
        self.problems.append(Problem(self.path, mark, key, message))


class _Absent(Exception):
    """A field that has no value in this cell."""


class _Template:
    """The cards' common text, with fields such as {L}."""

    def __init__(self, root: Mapping, path: Path):
        self.root, self.path = root, path

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
                        message = f"the grid has no {found[1]!r}{hint(found[1], fields)}"
                        problems.append(Problem(self.path, node.mark, key, message))
        return problems, used

    def fill(self, values: dict[str, Node]) -> Mapping:
        """The card of one cell.

        Args:
          values: field -> value. A text that holds a field without one is left out, together with
            the list's item that it is in; if it is in none, its key is left out.

        Raises:
          CardError: a list or mapping in the middle of a text.
        """
        filled = self._fill(self.root, values, listed=False)
        assert isinstance(filled, Mapping)
        return filled

    def _fill(self, node: Node, values: dict[str, Node], listed: bool) -> Node:
        if isinstance(node, Scalar):
            whole = _FIELD.fullmatch(node.text)
            if whole and whole[1]:
                return _known(whole[1], values)
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

    def _text(self, node: Scalar, values: dict[str, Node]) -> str:
        def replaced(found: re.Match[str]) -> str:
            if found[1] is None:
                return found[0][0]
            value = _known(found[1], values)
            if not isinstance(value, Scalar):
                message = f"{{{found[1]}}} is {kind_of(value)}, and this is a text"
                raise CardError([Problem(self.path, node.mark, "", message)])
            return value.text

        return _FIELD.sub(replaced, node.text)


def _known(name: str, values: dict[str, Node]) -> Node:
    if name not in values:
        raise _Absent
    return values[name]
