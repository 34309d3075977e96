"""XLM's tokenizer as its files say it is; see `hubexport.tokenizers.xlm.definition`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from hubexport.tokenizers.bpe.merges import Merge

UNKNOWN = "<unk>"


@dataclasses.dataclass(frozen=True)
class XlmModel:
    """Attributes:

    pieces: in the order of their ids; pieces that words end in have `</w>` at their end.
    merges: those that can apply, the first counts most.
    language: decides the rules; None for text with spaces between its words.
    lower_case: whether case and accents are removed from the words.
    files: vocabulary and merges.
    warnings: what is odd about them.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    merges: tuple[Merge, ...] = dataclasses.field(repr=False)
    language: str | None
    lower_case: bool
    files: tuple[Path, ...]
    warnings: tuple[str, ...] = ()

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Piece -> id."""
        return {piece: number for number, piece in enumerate(self.pieces)}
