"""Collections whose models come in all combinations of depth and width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hubexport.cards.schema import EncoderCard
from hubexport.cards.site.summaries import Summary


@dataclass(frozen=True)
class Grid:
    """Models by size.

    Attributes:
      layers: L of the rows, ascending.
      hidden: H of the columns, ascending.
      cells: (L, H) -> the model.
    """

    layers: tuple[int, ...]
    hidden: tuple[int, ...]
    cells: Mapping[tuple[int, int], Summary]

    @property
    def any_stated(self) -> bool:
        """Whether some numbers of parameters are the authors' and not counted."""
        return any(each.stated for each in self.cells.values())


def grid_of(summaries: Iterable[Summary]) -> Grid | None:
    """The grid that a collection's encoders fill, each cell once; None where they do not."""
    encoders = [each for each in summaries if isinstance(each.card, EncoderCard)]
    cells: dict[tuple[int, int], Summary] = {}
    for each in encoders:
        if each.layers is not None and each.hidden is not None:
            cells[each.layers, each.hidden] = each
    layers = tuple(sorted({pair[0] for pair in cells}))
    hidden = tuple(sorted({pair[1] for pair in cells}))
    is_full = len(encoders) == len(cells) == len(layers) * len(hidden)
    return Grid(layers, hidden, cells) if is_full and min(len(layers), len(hidden)) > 1 else None
