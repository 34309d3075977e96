"""SentencePiece models, read and written without the library.

The ops of tensorflow_text run any model of this format, so that pieces, scores and character maps
of ours make them do the work of other tokenizers too.

Format: github.com/google/sentencepiece, src/sentencepiece_model.proto; the character map:
src/builder.cc (`EncodePrecompiledCharsMap`): the size of a double array, the double array from
UTF-8 to places in the text that follows it, and that text, each replacement ended by a zero byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hubexport.tf_formats.protos import build_messages
from hubexport.tokenizers.tables.double_array import build_double_array

# ModelProto.SentencePiece.Type
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# TrainerSpec.ModelType
UNIGRAM, BPE, WORD, CHAR = 1, 2, 3, 4

# `piece` is declared as bytes, so that a piece that is not UTF-8 is reported with its number.
_CLASSES = build_messages(
    {
        "Piece": {"piece": (1, "bytes"), "score": (2, "float"), "type": (3, "int32")},
        "TrainerSpec": {
            "model_type": (3, "int32"),
            "treat_whitespace_as_suffix": (24, "bool"),
            "byte_fallback": (35, "bool"),
            "unk_id": (40, "int32"),
            "bos_id": (41, "int32"),
            "eos_id": (42, "int32"),
            "pad_id": (43, "int32"),
            "unk_piece": (45, "string"),
        },
        "NormalizerSpec": {
            "name": (1, "string"),
            "precompiled_charsmap": (2, "bytes"),
            "add_dummy_prefix": (3, "bool"),
            "remove_extra_whitespaces": (4, "bool"),
            "escape_whitespaces": (5, "bool"),
        },
        "ModelProto": {
            "pieces": (1, "*Piece"),
            "trainer_spec": (2, "TrainerSpec"),
            "normalizer_spec": (3, "NormalizerSpec"),
        },
    },
    "hubexport/sentencepiece_model.proto",
    syntax="proto2",
)
ModelProto: Any = _CLASSES["ModelProto"]
"""The message class. Fields left out of it here survive parsing and serializing. Read the fields
whose defaults are not zero (`type`, `model_type`, `add_dummy_prefix`, ...) with HasField."""


class Piece(NamedTuple):
    """One piece of a model to be written."""

    piece: str
    score: float
    type: int = NORMAL


def build_sentencepiece_model(
    pieces: Iterable[Piece],
    *,
    model_type: int,
    unk_id: int,
    charsmap: bytes = b"",
    add_dummy_prefix: bool = False,
    remove_extra_whitespaces: bool = False,
    escape_whitespaces: bool = False,
) -> bytes:
    """A serialized model; its ids are the pieces' positions.

    Args:
      pieces: exactly one of type UNKNOWN, at unk_id.
      model_type: UNIGRAM or BPE.
      unk_id: position of the unknown piece.
      charsmap: from `build_charsmap`; b"" for no character map.
      add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces: as in NormalizerSpec; by
        default text is taken as it is.
    """
    model = ModelProto()
    for piece in pieces:
        entry = model.pieces.add(piece=piece.piece.encode(), score=piece.score)
        if piece.type != NORMAL:
            entry.type = piece.type
        if piece.type == UNKNOWN:
            model.trainer_spec.unk_piece = piece.piece
    trainer = model.trainer_spec
    trainer.model_type, trainer.unk_id = model_type, unk_id
    trainer.bos_id = trainer.eos_id = trainer.pad_id = -1
    normalizer = model.normalizer_spec
    normalizer.name = "hubexport"
    # With an empty one the library tells everybody who loads the model that it is empty. This one
    # replaces a byte that no text has by itself.
    normalizer.precompiled_charsmap = charsmap or build_charsmap({b"\xff": b"\xff"})
    normalizer.add_dummy_prefix = add_dummy_prefix
    normalizer.remove_extra_whitespaces = remove_extra_whitespaces
    normalizer.escape_whitespaces = escape_whitespaces
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def build_charsmap(replacements: Mapping[bytes, bytes]) -> bytes:
    """A character map: the longest key that text has at a place is replaced.

    Args:
      replacements: key -> replacement, neither with zero bytes. Keys need not be UTF-8: single
        bytes work, also ones that no text in UTF-8 has.
    """
    pool = bytearray()
    places: dict[bytes, int] = {}
    for replacement in replacements.values():
        if replacement not in places:
            places[replacement] = len(pool)
            pool += replacement + b"\0"
    units = build_double_array({key: places[value] for key, value in replacements.items()})
    data = units.astype("<u4").tobytes()
    return struct.pack("<I", len(data)) + data + bytes(pool)
