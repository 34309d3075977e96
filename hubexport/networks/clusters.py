"""Vocabularies in clusters; imports nothing, so that families can say what theirs are like."""

from __future__ import annotations

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Table:
    """A lookup table of words.

    Attributes:
      start, end: the ids that it holds, from `start` to below `end`.
      size: of its rows.
      projected: whether they are projected to the hidden size.
    """

    start: int
    end: int
    size: int
    projected: bool


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Words sorted by how frequent they are, in clusters (arxiv.org/abs/1609.04309).

    Attributes:
      ends: where each cluster ends; the last one at the size of the vocabulary.
      tables: one for all clusters, or one for each.
      tied: of each cluster, whether the language model projects to the size of its words as the
        embeddings project from it.
    """

    ends: tuple[int, ...]
    tables: tuple[Table, ...]
    tied: tuple[bool, ...]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ids of each cluster, from the first number to below the second."""
        return list(itertools.pairwise((0, *self.ends)))

    def table(self, cluster: int) -> int:
        """The number of a cluster's table."""
        return 0 if len(self.tables) == 1 else cluster
