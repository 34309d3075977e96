"""What is done to a checkpoint's tensor on its way into a variable.

A transform says which shape the tensor must have, makes the variable's value of it, and tells
which part of the tensor it takes, so that of a tensor that several variables share nothing can be
lost (`uncovered`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Cut(NamedTuple):
    """The part of a tensor that a transform takes.

    Attributes:
      axis: along which it cuts.
      indices: of what it takes there, int [n].
    """

    axis: int
    indices: np.ndarray


@dataclasses.dataclass(frozen=True)
class AsIs:
    """The tensor is the variable's value."""

    keeps_bytes: ClassVar[bool] = True
    """Whether the value's bytes are the tensor's, in its order."""
    rest: ClassVar[str] = ""
    """Why the part that is not taken is not needed; "" where it must be taken by others."""

    def source_shape(self, shape: Shape) -> Shape:
        """The shape that the checkpoint's tensor must have for a variable of this shape."""
        return shape

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        """The variable's value, of `shape`, from the tensor's."""
        return value

    def cut(self, shape: Shape) -> Cut | None:
        """What it takes of the tensor for a variable of this shape; None for all of it."""
        return None

    def __str__(self) -> str:
        return type(self).__name__


@dataclasses.dataclass(frozen=True)
class Transposed(AsIs):
    """torch.nn.Linear keeps [out, in]; TensorFlow's kernels are [in, out]."""

    keeps_bytes: ClassVar[bool] = False

    def source_shape(self, shape: Shape) -> Shape:
        return shape[::-1]

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        transposed: np.ndarray = value.T
        return transposed


@dataclasses.dataclass(frozen=True)
class HeadsMerged(AsIs):
    """Keras' attention keeps the head axis: [H, A, D], [A, D] or [A, D, H], the same bytes."""

    split: Shape

    def source_shape(self, shape: Shape) -> Shape:
        assert math.prod(self.split) == math.prod(shape), (self.split, shape)
        return self.split

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value.reshape(shape)

    def __str__(self) -> str:
        return "HeadsMerged"


@dataclasses.dataclass(frozen=True)
class Squeezed(AsIs):
    """An axis of one element goes: [1, N] or [N, 1, M] -> [N] or [N, M], the same bytes."""

    axis: int = 0

    def source_shape(self, shape: Shape) -> Shape:
        return (*shape[: self.axis], 1, *shape[self.axis :])

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value.reshape(shape)


@dataclasses.dataclass(frozen=True)
class Rows(AsIs):
    """Rows `start` and following of a tensor of `of` rows, as many as the variable has.

    Attributes:
      reason: why the other rows are not needed; "" where other variables must take them.
    """

    keeps_bytes: ClassVar[bool] = False
    start: int
    of: int
    reason: str = ""

    @property
    def rest(self) -> str:  # type: ignore[override]
        return self.reason

    def source_shape(self, shape: Shape) -> Shape:
        return (self.of, *shape[1:])

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value[self.start : self.start + shape[0]]

    def cut(self, shape: Shape) -> Cut | None:
        return Cut(0, np.arange(self.start, self.start + shape[0]))

    def __str__(self) -> str:
        return f"rows from {self.start} of {self.of}"


@dataclasses.dataclass(frozen=True)
class Columns(AsIs):
    """Columns `start` and following of a fused kernel or bias of `of` columns (the last axis)."""

    keeps_bytes: ClassVar[bool] = False
    start: int
    of: int

    def source_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.of)

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value[..., self.start : self.start + shape[-1]]

    def cut(self, shape: Shape) -> Cut | None:
        return Cut(len(shape) - 1, np.arange(self.start, self.start + shape[-1]))

    def __str__(self) -> str:
        return f"columns from {self.start} of {self.of}"


@dataclasses.dataclass(frozen=True)
class Interleaved(AsIs):
    """Part `index` of `of` in a fused projection that keeps them together head by head.

    The tensor's rows are [heads, of, D]; the variable's are [heads, D].
    """

    keeps_bytes: ClassVar[bool] = False
    index: int
    of: int
    heads: int

    def source_shape(self, shape: Shape) -> Shape:
        return (self.of * shape[0], *shape[1:])

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        by_head = value.reshape(self.heads, self.of, -1, *shape[1:])
        return by_head[:, self.index].reshape(shape)

    def cut(self, shape: Shape) -> Cut | None:
        rows = np.arange(self.of * shape[0]).reshape(self.heads, self.of, -1)
        return Cut(0, rows[:, self.index].reshape(-1))

    def __str__(self) -> str:
        return f"part {self.index} of {self.of} of each head"


@dataclasses.dataclass(frozen=True)
class Item(AsIs):
    """Item `index` of a tensor that stacks those of `of` layers: [of, ...] -> [...]."""

    keeps_bytes: ClassVar[bool] = False
    index: int
    of: int

    def source_shape(self, shape: Shape) -> Shape:
        return (self.of, *shape)

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        item: np.ndarray = value[self.index]
        return item

    def cut(self, shape: Shape) -> Cut | None:
        return Cut(0, np.array([self.index]))

    def __str__(self) -> str:
        return f"item {self.index} of {self.of}"


@dataclasses.dataclass(frozen=True)
class Chain(AsIs):
    """One transform after another; only the first may cut."""

    keeps_bytes: ClassVar[bool] = False
    steps: tuple[AsIs, ...]

    @property
    def rest(self) -> str:  # type: ignore[override]
        return self.steps[0].rest

    def _shapes(self, shape: Shape) -> list[Shape]:
        """What each step makes, from the first."""
        shapes = [shape]
        for step in reversed(self.steps[1:]):
            shapes.insert(0, step.source_shape(shapes[0]))
        return shapes

    def source_shape(self, shape: Shape) -> Shape:
        return self.steps[0].source_shape(self._shapes(shape)[0])

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        for step, made in zip(self.steps, self._shapes(shape), strict=True):
            value = step(value, made)
        return value

    def cut(self, shape: Shape) -> Cut | None:
        shapes = self._shapes(shape)
        later = zip(self.steps[1:], shapes[1:], strict=True)
        assert all(step.cut(made) is None for step, made in later), self
        return self.steps[0].cut(shapes[0])

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps))


AS_IS, TRANSPOSED = AsIs(), Transposed()


def chain(*steps: AsIs) -> AsIs:
    """The steps one after another."""
    return steps[0] if len(steps) == 1 else Chain(steps)


def uncovered(shape: Shape, taken: Iterable[tuple[AsIs, Shape]]) -> str:
    """What of a tensor no variable takes, or several do; "" where all is in order.

    Args:
      shape: of the tensor.
      taken: each transform that it goes through, and the shape of the variable behind it.
    """
    by_axis: dict[int, list[np.ndarray]] = {}
    excused = False
    for transform, variable in taken:
        cut = transform.cut(variable)
        excused = excused or bool(transform.rest)
        if cut is None:  # nothing can be lost
            return ""
        by_axis.setdefault(cut.axis, []).append(cut.indices)
    if len(by_axis) > 1:
        return f"cut along several axes: {', '.join(map(str, by_axis))}"
    ((axis, cuts),) = by_axis.items()
    times = np.bincount(np.concatenate(cuts), minlength=shape[axis])
    kind = "columns" if axis else "rows"
    if twice := np.flatnonzero(times > 1).tolist():
        return f"{kind} taken by several variables: {_ranges(twice)}"
    absent = np.flatnonzero(times == 0).tolist()
    return "" if excused or not absent else f"{kind} that no variable takes: {_ranges(absent)}"


def _ranges(numbers: list[int]) -> str:
    """Sorted numbers: `0 to 4, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs)
