"""XLM's tokenization in the graph; see `hubexport.tokenizers.xlm.definition`."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hubexport.tokenizers.bpe.merges import END_OF_WORD
from hubexport.tokenizers.graph.ragged import without_words
from hubexport.tokenizers.graph.unique_words import tokenize_unique
from hubexport.tokenizers.moses import rules as moses
from hubexport.tokenizers.moses.graph import (
    Periods,
    Replacements,
    character_map,
    lower_case_sigma,
)
from hubexport.tokenizers.sentencepiece.graph import WholeSentencePiece
from hubexport.tokenizers.tables.moses_characters import (
    lower_case_without_accents,
    prefixes,
    re2,
)
from hubexport.tokenizers.tables.sentencepiece_proto import (
    BPE,
    UNKNOWN,
    Piece,
    build_charsmap,
    build_sentencepiece_model,
)
from hubexport.tokenizers.xlm.model import UNKNOWN as UNKNOWN_PIECE
from hubexport.tokenizers.xlm.model import XlmModel

# Bytes that no text in UTF-8 has.
_END = b"\xf8"  # behind each word
_ZERO = b"\xf9"  # for U+0000, which the ops' tables cannot hold


class Xlm(tf.Module):
    """Text to ragged pieces."""

    def __init__(self, model: XlmModel, pieces: Sequence[str]):
        """Args:
        model: what the files say.
        pieces: all pieces, added tokens included, by id.
        """
        super().__init__(name="xlm")
        self._words = _Words(model.language, model.lower_case)
        serialized, ids = _sentencepiece_model(model)
        self._bpe = WholeSentencePiece(serialized)
        self._ids = tf.constant(ids, tf.int32)
        self._pieces = tf.constant([piece.encode() for piece in pieces], tf.string)
        self._count = len(pieces)
        self._unknown = model.ids[UNKNOWN_PIECE]

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]."""
        return without_words(tokenize_unique(self._words(texts), self._encode))

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """int32 [batch, (pieces)] -> string [batch]: the words, with one space between them.

        What Moses' rules did to the text is not undone; the original does not undo it either.
        """
        flat = ids.values
        known = (flat >= 0) & (flat < self._count)
        pieces = tf.gather(self._pieces, tf.where(known, flat, self._unknown))
        texts = tf.strings.reduce_join(ids.with_values(pieces), axis=1)
        texts = tf.strings.regex_replace(texts, END_OF_WORD, " ")
        space = re2("white_space")
        return tf.strings.regex_replace(texts, f"^[{space}]+|[{space}]+$", "")

    def _encode(self, words: tf.Tensor) -> tf.RaggedTensor:
        """string [words] -> int32 [words, (pieces)]."""
        pieces = self._bpe.tokenize(tf.strings.join([words, _END]))
        return pieces.with_values(tf.gather(self._ids, pieces.values))


class _Words(tf.Module):
    """The words that are encoded, each by itself."""

    def __init__(self, language: str | None, lower_case: bool):
        super().__init__(name="words")
        self._moses = self._lower = None
        if language is not None:
            self._moses = Replacements(
                (
                    *moses.unicode_punctuation(),
                    *moses.normalize_punctuation(language),
                    *moses.remove_control_characters(),
                    *(moses.romanian() if language == "ro" else ()),
                    *moses.clean(),
                    *moses.separate(language),
                )
            )
            self._periods = Periods(prefixes(language), korean=language == "ko")
        if lower_case:
            self._lower = character_map(lower_case_without_accents())

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> string [batch, (words)]."""
        if self._moses is None:
            texts = tf.strings.regex_replace(texts, f"[{re2('white_space')}]+", " ")
            texts = tf.strings.regex_replace(texts, r"\x00", _ZERO)
        else:
            texts = self._periods(self._moses(texts))
        if self._lower is not None:
            texts = self._lower.normalize(lower_case_sigma(texts))
        # Words of nothing but accents are gone by now.
        return tf.strings.split(texts)


def _sentencepiece_model(model: XlmModel) -> tuple[bytes, list[int]]:
    """A model of SentencePiece's BPE that does the same, and the vocabulary's id of each piece.

    A word ends in a mark of its own. It goes to the last character first of all, which makes the
    symbols that the original starts with. Characters that are in no piece become one that is: two
    unknown ones in a row would be a single unknown piece otherwise.
    """
    spelled = [*model.pieces, *(part for merge in model.merges for part in merge)]
    known = {character for piece in spelled for character in _letters(piece)}
    unknown, other, end = _unused(known, 3)
    unknown_id = model.ids[UNKNOWN_PIECE]
    pieces, ids = [Piece(unknown, 0, UNKNOWN)], [unknown_id]

    def add(piece: str, score: float) -> None:
        spelled = _letters(piece)
        pieces.append(Piece(spelled if spelled == piece else spelled + end, score))
        ids.append(model.ids.get(piece, unknown_id))

    for character in [*sorted(known), other]:
        add(character, -len(model.merges) - 1)
        add(character + END_OF_WORD, 1)
    for rank, (left, right) in enumerate(model.merges):
        add(left + right, -rank)

    # Lead bytes of unknown characters stand for all of them; the bytes behind are dropped.
    charsmap = {bytes([byte]): other.encode() for byte in [*range(1, 0x80), *range(0xC2, 0xF5)]}
    charsmap |= {bytes([byte]): b"" for byte in range(0x80, 0xC0)}
    charsmap |= {_ZERO: other.encode(), _END: end.encode()}
    charsmap |= {character.encode(): character.encode() for character in known}
    serialized = build_sentencepiece_model(
        pieces, model_type=BPE, unk_id=0, charsmap=build_charsmap(charsmap)
    )
    return serialized, ids


def _letters(piece: str) -> str:
    """A piece without the mark of a word's end."""
    return piece.removesuffix(END_OF_WORD) if len(piece) > len(END_OF_WORD) else piece


def _unused(known: set[str], count: int) -> list[str]:
    """Private characters that are in no piece."""
    private = (chr(code_point) for code_point in range(0xE000, 0xF900))
    return [character for character in private if character not in known][:count]
