"""The grid of a collection, as the site shows it."""

from __future__ import annotations

from collections.abc import Iterable

from hubexport.cards.rendering import collection
from hubexport.cards.schema import EncoderCard
from hubexport.cards.site.summaries import Summary


class Grid(collection.Grid[Summary]):
    """Summaries of models by size."""

    @property
    def any_stated(self) -> bool:
        """Whether some numbers of parameters are the authors' and not counted."""
        return any(each.stated for each in self.cells.values())


def grid_of(summaries: Iterable[Summary]) -> Grid | None:
    """The grid that a collection's encoders fill, each cell once; None where they do not."""
    encoders = [each for each in summaries if isinstance(each.card, EncoderCard)]
    made = collection.fill((each.layers, each.hidden, each) for each in encoders)
    return None if made is None else Grid(made.layers, made.hidden, made.cells)
