"""SentencePiece model files: what an exporter must know of one, without the library.

Nothing here imports TensorFlow or sentencepiece. Field numbers and piece types:
github.com/google/sentencepiece, src/sentencepiece_model.proto.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path

from google.protobuf.message import DecodeError

from hubexport.errors import VocabularyError, some_of
from hubexport.tf_formats.protos import build_messages

# `piece` is declared as bytes, so that a piece that is not UTF-8 is reported with its number.
_CLASSES = build_messages(
    {
        "SentencePiece": {"piece": (1, "bytes"), "score": (2, "float"), "type": (3, "int32")},
        "SentencePieceModel": {"pieces": (1, "*SentencePiece")},
    },
    "hubexport/sentencepiece_subset.proto",
)
_UNKNOWN_TYPE = 2

SPECIAL_PIECES = {
    "padding_id": "<pad>",
    "start_of_sequence_id": "[CLS]",
    "end_of_segment_id": "[SEP]",
    "mask_id": "[MASK]",
}
"""Standard name of a special id -> ALBERT's piece; the names are those of the TF Hub interface."""


@dataclasses.dataclass(frozen=True)
class SentencePieceModel:
    """A SentencePiece model that passed all checks of `read_sentencepiece`.

    Attributes:
      pieces: the pieces in the order of their ids; no duplicates, specials included.
      unknown_id: the id of the piece whose type is UNKNOWN.
      serialized: the whole file.
      path: the file that it was read from.
      sha256: hexadecimal digest of that file's bytes.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    unknown_id: int
    serialized: bytes = dataclasses.field(repr=False)
    path: Path
    sha256: str

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Piece -> id."""
        return {piece: index for index, piece in enumerate(self.pieces)}


def special_tokens(model: SentencePieceModel) -> dict[str, int]:
    """What `.tokenize.get_special_tokens_dict()` answers: `vocab_size` and the four special ids."""
    ids = {name: model.ids[piece] for name, piece in SPECIAL_PIECES.items()}
    return {"vocab_size": len(model.pieces), **ids}


def read_sentencepiece(path: str | Path) -> SentencePieceModel:
    """Reads and checks a SentencePiece model as ALBERT uses them.

    Raises:
      VocabularyError: the file cannot be read, is no SentencePiece model, or is one whose pieces
        cannot be used: not UTF-8, duplicates, no unknown piece, special pieces missing.
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
    stored = _parse(path, data)
    pieces = [entry.piece.decode("utf-8", "replace") for entry in stored]
    unknown = [index for index, entry in enumerate(stored) if entry.type == _UNKNOWN_TYPE]
    problems = _problems(pieces, [entry.piece for entry in stored], unknown)
    if problems:
        raise VocabularyError(
            "the SentencePiece model cannot be used",
            [("model", f"{path} ({len(pieces):,} pieces)"), *problems],
            "pass the model as it was published with the checkpoint; ALBERT's have all of "
            + ", ".join(SPECIAL_PIECES.values())
            + ".",
        )
    digest = hashlib.sha256(data).hexdigest()
    return SentencePieceModel(tuple(pieces), unknown[0], data, path, digest)


def _parse(path: Path, data: bytes) -> list:
    """The stored piece messages; at least one."""
    problem = "it has no pieces"
    try:
        stored = list(_CLASSES["SentencePieceModel"].FromString(data).pieces)
    except DecodeError as error:
        stored, problem = [], str(error)
    if not stored:
        raise VocabularyError(
            "the file is not a SentencePiece model, or is damaged",
            [("model", f"{path} ({len(data):,} bytes)"), ("found", problem)],
            "pass the binary .model file (not the .vocab listing); copy or download it again.",
        )
    return stored


def _problems(pieces: list[str], stored: list[bytes], unknown: list[int]) -> list[tuple[str, str]]:
    """(label, value) for everything wrong with the pieces."""
    facts = []
    undecodable = [
        str(index)
        for index, (piece, original) in enumerate(zip(pieces, stored, strict=True))
        if piece.encode("utf-8") != original
    ]
    if undecodable:
        facts.append(("pieces that are not UTF-8", some_of(undecodable)))
    counts: dict[bytes, int] = {}
    for original in stored:
        counts[original] = counts.get(original, 0) + 1
    repeated = [repr(p.decode("utf-8", "replace")) for p, count in counts.items() if count > 1]
    if repeated:
        facts.append((f"duplicates ({len(repeated)})", some_of(repeated)))
    if len(unknown) != 1:
        facts.append(("pieces of type UNKNOWN", f"{len(unknown)}, needed: 1"))
    missing = [piece for piece in SPECIAL_PIECES.values() if piece not in set(pieces)]
    if missing:
        facts.append(("special pieces missing", ", ".join(missing)))
    return facts
