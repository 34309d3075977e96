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
key otherwise. Braces that are no fields are written twice.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

from hubexport.cards.nodes import Mapping, Node, Scalar, Sequence, kind_of
from hubexport.cards.problems import CardError, Mark, Problem, nearest, shown
from hubexport.cards.template import Template

MAX_CELLS = 500

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
        self.path, self.template = path, Template(root.without("grid"), path)
        self.problems: list[Problem] = []
        grid = root.get("grid")
        assert grid is not None
        self.mark = grid.mark
        parts = self._mapping(grid, "grid")
        for key, _ in grid.entries if isinstance(grid, Mapping) else ():
            if key.text not in ("axes", "derived", "cells"):
                message = "there is no such key" + nearest(key.text, ("axes", "derived", "cells"))
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
                message = f"there is no axis {axis!r}{nearest(axis, self.axes)}"
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
                    hint = nearest(text, known)
                    mark = value.mark if value else item.mark
                    message = f"needs a value of the axis {axis}, found {found}{hint}"
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
                self._problem(name.mark, key, f"{shown(name.text)} is no name of a field")
        return {name.text: value for name, value in node.entries}

    def _problem(self, mark: Mark, key: str, message: str) -> None:
        self.problems.append(Problem(self.path, mark, key, message))
