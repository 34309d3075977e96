"""SentencePiece model files: what an exporter must know of one, without the library.

Nothing here imports TensorFlow or sentencepiece. What a field means when it is absent:
github.com/google/sentencepiece, src/sentencepiece_model.proto.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.tables import sentencepiece_proto as proto

ALGORITHMS = {
    proto.UNIGRAM: "unigram",
    proto.BPE: "bpe",
    proto.WORD: "word",
    proto.CHAR: "char",
}
"""TrainerSpec.ModelType -> its name."""


@dataclasses.dataclass(frozen=True)
class SentencePieceModel:
    """A SentencePiece model that passed all checks of `read_sentencepiece`.

    Attributes:
      pieces: the pieces in the order of their ids; no duplicates, specials included.
      unknown_id: the id of the piece whose type is UNKNOWN.
      serialized: the whole file.
      path: the file that it was read from.
      sha256: hexadecimal digest of that file's bytes.
      scores: the pieces' scores, finite.
      types: the pieces' types, as numbered in ModelProto.SentencePiece.Type.
      algorithm: "unigram", "bpe", "word" or "char".
      charsmap: the character map as stored; b"" for none.
      normalizer: name, add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces.
      trainer: treat_whitespace_as_suffix, byte_fallback.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    unknown_id: int
    serialized: bytes = dataclasses.field(repr=False)
    path: Path
    sha256: str
    scores: tuple[float, ...] = dataclasses.field(repr=False, default=())
    types: tuple[int, ...] = dataclasses.field(repr=False, default=())
    algorithm: str = "unigram"
    charsmap: bytes = dataclasses.field(repr=False, default=b"")
    normalizer: dict[str, Any] = dataclasses.field(default_factory=dict)
    trainer: dict[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Piece -> id."""
        return {piece: index for index, piece in enumerate(self.pieces)}

    def pieces_of_type(self, kind: int) -> tuple[str, ...]:
        """The pieces of one type, in the order of their ids."""
        return tuple(p for p, found in zip(self.pieces, self.types, strict=True) if found == kind)


def read_sentencepiece(path: str | Path) -> SentencePieceModel:
    """Reads and checks a SentencePiece model.

    Raises:
      VocabularyError: the file cannot be read, is no SentencePiece model, or is one whose pieces
        cannot be used: not UTF-8, empty, duplicates, no unknown piece, scores that are not numbers.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VocabularyError(
            "the SentencePiece model cannot be read",
            [("model", str(path)), ("system", error.strerror or str(error))],
            "pass the path of a SentencePiece model, such as spiece.model or 30k-clean.model.",
        ) from error
    model = _parse(path, data)
    pieces = [entry.piece.decode("utf-8", "replace") for entry in model.pieces]
    types = [entry.type if entry.HasField("type") else proto.NORMAL for entry in model.pieces]
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    algorithm = trainer.model_type if trainer.HasField("model_type") else proto.UNIGRAM
    problems = _problems(pieces, types, model)
    if problems:
        raise _not_usable(path, len(pieces), problems)
    return SentencePieceModel(
        tuple(pieces),
        types.index(proto.UNKNOWN),
        data,
        path,
        hashlib.sha256(data).hexdigest(),
        tuple(entry.score for entry in model.pieces),
        tuple(types),
        ALGORITHMS[algorithm],
        normalizer.precompiled_charsmap,
        {
            "name": normalizer.name,
            **{
                name: getattr(normalizer, name) if normalizer.HasField(name) else True
                for name in (
                    "add_dummy_prefix",
                    "remove_extra_whitespaces",
                    "escape_whitespaces",
                )
            },
        },
        {
            "treat_whitespace_as_suffix": trainer.treat_whitespace_as_suffix,
            "byte_fallback": trainer.byte_fallback,
        },
    )


def _not_usable(
    path: Path, size: int, problems: list[tuple[str, str]], hint: str = ""
) -> VocabularyError:
    return VocabularyError(
        "the SentencePiece model cannot be used",
        [("model", f"{path} ({size:,} pieces)"), *problems],
        f"pass the model as it was published with the checkpoint{hint}.",
    )


def _parse(path: Path, data: bytes) -> Any:
    """The stored message; with at least one piece."""
    problem = "it has no pieces"
    try:
        model = proto.ModelProto.FromString(data)
    except DecodeError as error:
        model, problem = proto.ModelProto(), str(error)
    if not model.pieces:
        raise VocabularyError(
            "the file is not a SentencePiece model, or is damaged",
            [("model", f"{path} ({len(data):,} bytes)"), ("found", problem)],
            "pass the binary .model file (not the .vocab listing); copy or download it again.",
        )
    return model


def _problems(pieces: list[str], types: list[int], model: Any) -> list[tuple[str, str]]:
    """(label, value) for everything wrong with the model."""
    facts = []
    stored = [entry.piece for entry in model.pieces]
    undecodable = [
        str(index)
        for index, (piece, original) in enumerate(zip(pieces, stored, strict=True))
        if piece.encode("utf-8") != original
    ]
    if undecodable:
        facts.append(("pieces that are not UTF-8", some_of(undecodable)))
    # The library's trie takes NUL for a piece's end, and ends the process at an empty one.
    empty = [str(index) for index, piece in enumerate(stored) if not piece or b"\0" in piece]
    if empty:
        facts.append(("pieces that are empty or have a NUL", some_of(empty)))
    counts: dict[bytes, int] = {}
    for original in stored:
        counts[original] = counts.get(original, 0) + 1
    repeated = [repr(p.decode("utf-8", "replace")) for p, count in counts.items() if count > 1]
    if repeated:
        facts.append((f"duplicates ({len(repeated)})", some_of(repeated)))
    if types.count(proto.UNKNOWN) != 1:
        facts.append(("pieces of type UNKNOWN", f"{types.count(proto.UNKNOWN)}, needed: 1"))
    strange = [str(i) for i, kind in enumerate(types) if not proto.NORMAL <= kind <= proto.BYTE]
    if strange:
        facts.append(("pieces of an unknown type", some_of(strange)))
    endless = [str(i) for i, entry in enumerate(model.pieces) if not math.isfinite(entry.score)]
    if endless:
        facts.append(("pieces whose score is not a number", some_of(endless)))
    trainer = model.trainer_spec
    if trainer.HasField("model_type") and trainer.model_type not in ALGORITHMS:
        facts.append(("model_type", str(trainer.model_type)))
    return facts
