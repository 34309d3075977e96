"""A unigram model for the op of the library, so that it does what the Rust `tokenizers` do.

The op gets words, whose first character stands for the space in front of them. Three things in
the model are not those of the file:

- Scores are rounded to a multiple of a power of two. The Rust package adds them up in double
  precision, which is exact for them; the library in single precision, where of two equally good
  segmentations ("AA" + "A", "A" + "AA") now one, now the other comes out ahead. With rounded scores
  its sums are exact, too, as long as a word's stays below 256, and both take the same one.
- All characters that no piece has become one and the same before, and that is a piece. A score of
  0 in place of a very low one keeps sums small; since every segmentation has that piece where the
  character is, it decides nothing.
- One piece more keeps the score of other unknown characters, which depends on the lowest one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.tables import sentencepiece_proto as proto
from hubexport.tokenizers.tables.charsmap import read_charsmap
from hubexport.tokenizers.tables.sentencepiece_normalization import (
    WORD,
    Normalization,
    normalization,
)

GRANULE = 2.0**-16
"""Scores are multiples of it: sums below 2**24 of them are exact in single precision."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentencePieceTokenizer:
    """What the files say, checked.

    Attributes:
      pieces: in the order of their ids.
      unknown_id: the id of what cannot be spelled.
      files: the file that it was read from.
      library: the serialized model, where the library is the reference; the rest is for
        `tokenizers`.
      algorithm: "unigram", or what else the library has.
      scores: of the pieces.
      charsmap: the model's own character map; b"" for none.
      quotes: whether `` and '' become ".
      strip_accents, lower_case: what is done before the model's own character map.
      split: whether any white space ends a word; otherwise only spaces do.
      trailing_space: where only spaces do, whether those at the end of text make a word.
      prefix: whether words begin with the piece character for a space.
      keeps_spaces: whether the library takes several spaces for what they are.
      added_have_scores: whether added tokens behind the pieces are pieces for the model, too.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    unknown_id: int
    files: tuple[Path, ...]
    library: bytes | None = dataclasses.field(repr=False, default=None)
    algorithm: str = "unigram"
    scores: tuple[float, ...] = dataclasses.field(repr=False, default=())
    charsmap: bytes = dataclasses.field(repr=False, default=b"")
    quotes: bool = False
    strip_accents: bool = False
    lower_case: bool = False
    split: bool = True
    trailing_space: bool = False
    prefix: bool = True
    keeps_spaces: bool = False
    added_have_scores: bool = False


@dataclasses.dataclass(frozen=True)
class PerWord:
    """What the graph is made of, see `hubexport.tokenizers.sentencepiece.graph`.

    Attributes:
      serialized: the model for the op; ids are those of the tokenizer.
      unknown_id: the id of what cannot be spelled.
      unknown_character_id: the id that the op gives to characters that no piece has.
      normalization: the tables for text.
      quotes, split, trailing_space, prefix: see `SentencePieceTokenizer`.
    """

    serialized: bytes = dataclasses.field(repr=False)
    unknown_id: int
    unknown_character_id: int
    normalization: Normalization = dataclasses.field(repr=False)
    quotes: bool
    split: bool
    trailing_space: bool
    prefix: bool


def per_word(model: SentencePieceTokenizer, pieces: tuple[str, ...], source: str) -> PerWord:
    """The model and the tables for the graph.

    Args:
      model: what the reference does.
      pieces: its own and those behind them, which no text matches.
      source: what to call the files in an error.

    Raises:
      VocabularyError: pieces or scores that cannot be used.
    """
    problems = [
        f"piece {number} has the score {score}"
        for number, score in enumerate(model.scores)
        if not math.isfinite(score)
    ]
    problems += [f"piece {number} is empty" for number, p in enumerate(model.pieces) if not p]
    # The library's trie takes NUL for a piece's end, and ends the process at an empty one.
    problems += [f"piece {number} has a NUL" for number, p in enumerate(pieces) if "\0" in p]
    if len(set(pieces)) < len(pieces):
        problems.append("pieces occur twice")
    tables = None
    if not problems:
        try:
            tables = normalization(
                check_charsmap(model.charsmap, model.files[0]),
                strip_accents=model.strip_accents,
                lower_case=model.lower_case,
                alphabet=set("".join(model.pieces)),
                unknown_piece=model.pieces[model.unknown_id],
                split_at_white_space=model.split,
            )
        except ValueError as error:
            problems.append(str(error))
    if tables is None:
        raise VocabularyError(
            "the SentencePiece tokenizer cannot be used",
            [("files", source), ("found", some_of(problems))],
            "pass the files as they were published.",
        )
    entries = []
    for number, piece in enumerate(pieces):
        # Literal special tokens are cut out before; what becomes one by the character map, such
        # as <s> in full width, is text, and found by the reference, too.
        own = number < len(model.pieces)
        kind = proto.NORMAL if own else proto.CONTROL
        score = _rounded(model.scores[number]) if own else 0.0
        entries.append(
            proto.Piece(piece, score, proto.UNKNOWN if number == model.unknown_id else kind)
        )
    unmatched = WORD * 2  # words have one at their beginning and no other
    while unmatched in model.pieces:
        unmatched += WORD
    entries.append(proto.Piece(tables.unknown, 0.0))
    entries.append(proto.Piece(unmatched, _rounded(min(model.scores))))
    charsmap = {key.encode(): value.encode() for key, value in tables.charsmap.items()}
    serialized = proto.build_sentencepiece_model(
        entries,
        model_type=proto.UNIGRAM,
        unk_id=model.unknown_id,
        charsmap=proto.build_charsmap(charsmap),
    )
    return PerWord(
        serialized,
        model.unknown_id,
        len(pieces),
        tables,
        model.quotes,
        model.split,
        model.trailing_space,
        model.prefix,
    )


def _rounded(score: float) -> float:
    return round(score / GRANULE) * GRANULE


def check_charsmap(charsmap: bytes, path: Path) -> Mapping[str, str]:
    """The character map's keys and replacements.

    Raises:
      VocabularyError: it is damaged.
    """
    try:
        return read_charsmap(charsmap)
    except ValueError as error:
        raise VocabularyError(
            "the SentencePiece model's character map cannot be used",
            [("file", str(path)), ("found", str(error))],
            "copy or download the file again.",
        ) from error
