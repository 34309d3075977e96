"""A WordPiece tokenizer as its files say it is, checked; see `definition` beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.tables import bert_characters
from hubexport.tokenizers.wordpiece.json import CONTINUATION

# Limits of the kernel: tensorflow_text/core/kernels/fast_wordpiece_tokenizer_utils.h.
_MAXIMUM_PIECE_BYTES = 256
_MAXIMUM_PIECES = 1 << 22


@dataclasses.dataclass(frozen=True)
class WordPieceModel:
    """A WordPiece tokenizer that passed all checks.

    Attributes:
      pieces: in the order of their ids.
      unknown: the piece for words that cannot be spelled.
      lower_case: whether text is lower-cased.
      strip_accents: whether it is decomposed (NFD) and non-spacing marks are dropped.
      files: what it was read from, the vocabulary first.
      tokenize_chinese_chars: whether each CJK character is a word.
      max_input_chars_per_word: longer words, counted in normalized characters, are unknown.
      cleanup: whether detokenizing drops the space in front of . , ? ! 's and the like.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    unknown: str
    lower_case: bool
    strip_accents: bool
    files: tuple[Path, ...]
    tokenize_chinese_chars: bool = True
    max_input_chars_per_word: int = 100
    cleanup: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.unknown not in self.pieces:
            problems.append(("missing", f"{self.unknown!r}, the piece for unknown words"))
        long = [
            piece
            for piece in self.pieces
            if len(piece.removeprefix(CONTINUATION).encode()) > _MAXIMUM_PIECE_BYTES
        ]
        if long:
            label = f"pieces of more than {_MAXIMUM_PIECE_BYTES} bytes"
            problems.append((label, some_of(f"{piece[:20]!r}..." for piece in long)))
        if len(self.pieces) > _MAXIMUM_PIECES:
            problems.append(("pieces", f"more than {_MAXIMUM_PIECES:,}"))
        if problems:
            raise VocabularyError(
                "the vocabulary cannot be used for WordPiece",
                [("vocabulary", f"{self.files[0]} ({len(self.pieces):,} pieces)"), *problems],
                "pass the vocabulary as it was published with the checkpoint.",
            )

    @property
    def unknown_id(self) -> int:
        """The id of what cannot be spelled."""
        return self.pieces.index(self.unknown)

    @property
    def reordered(self) -> tuple[str, ...]:
        """Characters of the pieces whose order NFD may change, if there are several."""
        if not self.strip_accents:
            return ()
        found = sorted(set().union(*self.pieces) & set(map(chr, bert_characters.reordered())))
        return tuple(found) if len(found) > 1 else ()
