"""Where the special tokens of a row are, as a preprocessor's record says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Packing:
    """How special tokens and texts are arranged.

    Attributes:
      single, pair: the places of a row of one text, and of two: the number of a text, or a piece.
      padding_side: "left" or "right".
    """

    single: Sequence[int | str]
    pair: Sequence[int | str]
    padding_side: str

    @classmethod
    def of_record(cls, tokenizer: Mapping[str, Any]) -> Packing:
        """Of a tokenizer's part of the record."""
        packing = tokenizer["packing"]

        def places(name: str) -> list[int | str]:
            return [each["text"] if "text" in each else each["piece"] for each in packing[name]]

        return cls(places("single"), places("pair"), packing["padding_side"])

    def places(self, texts: int) -> Sequence[int | str]:
        """Of a row of so many texts."""
        return self.single if texts == 1 else self.pair

    def specials(self, texts: int) -> int:
        """How many special tokens are packed with so many texts."""
        return sum(isinstance(place, str) for place in self.places(texts))

    def before(self, texts: int, index: int) -> int:
        """How many special tokens are before one of the texts."""
        places = self.places(texts)
        return sum(isinstance(place, str) for place in places[: places.index(index)])

    def first(self, texts: int) -> str | None:
        """The special token that a row begins with, if one does."""
        place = self.places(texts)[0]
        return place if isinstance(place, str) else None
