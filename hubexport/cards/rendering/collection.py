"""The grid of a collection whose models differ in depth and width alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hubexport.cards.rendering.platforms import Model
from hubexport.cards.schema import EncoderCard

_SMALLEST = 4  # models; fewer are a list


@dataclass(frozen=True)
class Cell:
    """One model of a grid; parameters are the record's, None without one."""

    card: EncoderCard
    num_parameters: int | None


@dataclass(frozen=True)
class Grid:
    """Models by depth and width.

    Attributes:
      layers, sizes: num_hidden_layers and hidden_size, ascending.
      cells: (layers, size) -> the model, for every pair.
    """

    layers: tuple[int, ...]
    sizes: tuple[int, ...]
    cells: Mapping[tuple[int, int], Cell]


def grid_of(members: Iterable[Model], records: Mapping[str, Mapping[str, Any]]) -> Grid | None:
    """The grid that the encoders of a collection are, or None where they are none."""
    encoders = [card for card in members if isinstance(card, EncoderCard)]
    cells: dict[tuple[int, int], Cell] = {}
    for card in encoders:
        layers, size = card.architecture.num_hidden_layers, card.architecture.hidden_size
        if layers is None or size is None or (layers, size) in cells:
            return None
        built = records.get(card.handle, {}).get("architecture", {})
        cells[layers, size] = Cell(card, built.get("num_parameters"))
    depths, widths = (tuple(sorted({pair[axis] for pair in cells})) for axis in (0, 1))
    full = len(cells) == len(depths) * len(widths) and min(len(depths), len(widths)) > 1
    return Grid(depths, widths, cells) if full and len(cells) >= _SMALLEST else None
