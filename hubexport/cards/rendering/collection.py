"""Collections whose models come in all combinations of depth and width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hubexport.cards.schema import EncoderCard, Model

Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Grid(Generic[Shown]):
    """Models by size.

    Attributes:
      layers: num_hidden_layers of the rows, ascending.
      hidden: hidden_size of the columns, ascending.
      cells: (layers, hidden) -> what is shown of the model, for every pair.
    """

    layers: tuple[int, ...]
    hidden: tuple[int, ...]
    cells: Mapping[tuple[int, int], Shown]


def fill(sized: Iterable[tuple[int | None, int | None, Shown]]) -> Grid[Shown] | None:
    """The grid that models fill, each cell once; None where they do not."""
    models = list(sized)
    cells = {(depth, width): each for depth, width, each in models if depth and width}
    layers, hidden = (tuple(sorted({pair[axis] for pair in cells})) for axis in (0, 1))
    is_full = len(models) == len(cells) == len(layers) * len(hidden)
    return Grid(layers, hidden, cells) if is_full and min(len(layers), len(hidden)) > 1 else None


@dataclass(frozen=True)
class Cell:
    """One model of a grid; parameters are the record's, None without one."""

    card: EncoderCard
    num_parameters: int | None


def grid_of(
    members: Iterable[Model], records: Mapping[str, Mapping[str, Any]]
) -> Grid[Cell] | None:
    """The grid that the encoders of a collection are, or None where they are none."""
    return fill(
        (
            card.architecture.num_hidden_layers,
            card.architecture.hidden_size,
            Cell(card, records.get(card.handle, {}).get("architecture", {}).get("num_parameters")),
        )
        for card in members
        if isinstance(card, EncoderCard)
    )
