"""Byte-level BPE in the graph: two regular expressions, and SentencePiece's BPE for each word."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hubexport.tokenizers.bpe.merges import Merge
from hubexport.tokenizers.graph.detokenize import PieceJoiner
from hubexport.tokenizers.graph.ragged import without_words
from hubexport.tokenizers.graph.unique_words import tokenize_unique
from hubexport.tokenizers.sentencepiece.graph import WholeSentencePiece
from hubexport.tokenizers.tables import unicode_classes
from hubexport.tokenizers.tables.byte_symbols import byte_symbols, piece_bytes
from hubexport.tokenizers.tables.characters import re2_class
from hubexport.tokenizers.tables.sentencepiece_proto import (
    BPE,
    CONTROL,
    UNKNOWN,
    Piece,
    build_charsmap,
    build_sentencepiece_model,
)

_END = b"\xfe"  # of a word; not a byte of UTF-8, and so in no class of the expressions
_ZERO = b"\xff"  # for byte 0, which character maps cannot have as a key
_NO_MERGE = -1e9  # the score of a single byte, which nothing can be joined to
_PRIVATE = "\ue000"  # is three other symbols in text, so that no text holds it


class ByteLevelBPE(tf.Module):
    """Text to ids by byte-level BPE, and back."""

    def __init__(
        self,
        pieces: Sequence[str],
        merges: Sequence[Merge],
        *,
        add_prefix_space: bool = False,
        use_regex: bool = True,
    ):
        """Args:
        pieces: in the order of their ids; those that are neither a byte nor made by a merge are
          never the result.
        merges: checked by `check_merges`.
        add_prefix_space: whether text that does not begin with U+0020 is given one.
        use_regex: whether text is cut into words.
        """
        super().__init__(name="byte_level_bpe")
        self._add_prefix_space = add_prefix_space
        self._detach, self._word = _expressions() if use_regex else ("", "")
        contents = [piece_bytes(piece) for piece in pieces]
        self._joiner = PieceJoiner(contents)
        self._lengths = tf.constant([len(content) for content in contents], tf.int64)
        self._bpe = WholeSentencePiece(_model(pieces, merges))

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]."""
        return self._tokenize(self._prefixed(texts)[0])

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the bytes of the text that each stands for.

        A space that belongs to a piece counts with it, one that was added counts nothing. A piece
        may be a part of a character.

        Args:
          texts: string [batch].

        Returns:
          ids int32, first byte int64, byte after the last int64: [batch, (pieces)] each.
        """
        ids, starts, limits = self.words_with_offsets(texts)
        return without_words(ids), without_words(starts), without_words(limits)

    def words_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """As `tokenize_with_offsets`, [batch, (words), (pieces)]."""
        texts, is_prefixed = self._prefixed(texts)
        in_words = self._words(texts)
        ids = without_words(in_words)
        lengths = tf.gather(self._lengths, ids.values)
        ends = tf.cumsum(lengths)
        # What stands in front of a text: the bytes of all texts before it, and the added space.
        before = tf.gather(tf.concat([[0], ends], axis=0), ids.row_splits[:-1])
        before += tf.cast(is_prefixed, tf.int64)
        # `row_lengths` and `repeat` would make a table of rows times the longest row.
        position = tf.range(tf.size(ends, tf.int64))
        rows = tf.searchsorted(ids.row_splits, position, "right", tf.int64) - 1
        limits = ends - tf.gather(before, rows)
        starts = tf.maximum(limits - lengths, 0)
        return in_words, in_words.with_flat_values(starts), in_words.with_flat_values(limits)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The text of some ids: int32 [batch, (pieces)] -> string [batch].

        Bytes that are not UTF-8 become U+FFFD, one for each maximal wrong sequence. Special tokens
        are written out.
        """
        return tf.strings.unicode_transcode(self._joiner(ids), "UTF-8", "UTF-8", errors="replace")

    def _prefixed(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The texts that are cut, and whether each was given a space: string and bool [batch]."""
        if not self._add_prefix_space:
            return texts, tf.zeros(tf.shape(texts), tf.bool)
        first = tf.strings.substr(texts, 0, 1)
        is_prefixed = tf.not_equal(first, "") & tf.not_equal(first, " ")
        return tf.where(is_prefixed, tf.strings.join([" ", texts]), texts), is_prefixed

    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]."""
        return without_words(self._words(texts)) if self._word else self._join(texts)

    def _words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (words), (pieces)]; a text is one where none are cut."""
        if not self._word:
            ids = self._join(texts)
            rows = tf.range(ids.nrows() + 1)
            return tf.RaggedTensor.from_row_splits(ids, rows, validate=False)
        texts = tf.strings.regex_replace(texts, self._detach, rb"\1" + _END + rb"\2")
        texts = tf.strings.regex_replace(texts, self._word, rb"\0" + _END)
        # What follows a text's last word is an empty one, which has no pieces.
        words = tf.strings.split(texts, _END)
        return tokenize_unique(words, self._join)

    def _join(self, words: tf.Tensor) -> tf.RaggedTensor:
        """string [words] -> int32 [words, (pieces)]."""
        return self._bpe.tokenize(tf.strings.regex_replace(words, r"\x00", _ZERO))


def _expressions() -> tuple[str, str]:
    r"""GPT-2's expression in two steps, for RE2 has no look-ahead.

    It is, in openai/gpt-2, src/encoder.py,

        's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

    Of a run of white space in front of something else, `\s+(?!\S)` leaves the last one over. The
    first step marks that place, so that `\s+` ends there in the second.

    Returns:
      What to replace by \1, a mark and \2, and what to put a mark behind.
    """
    space = re2_class(unicode_classes.white_space())
    letter = re2_class(unicode_classes.letters())
    number = re2_class(unicode_classes.numbers())
    words = (
        "'s|'t|'re|'ve|'m|'ll|'d",
        f" ?[{letter}]+",
        f" ?[{number}]+",
        f" ?[^{space}{letter}{number}]+",
        f"[{space}]+",
    )
    return f"([{space}]+)([{space}][^{space}])", "|".join(words)


def _model(pieces: Sequence[str], merges: Sequence[Merge]) -> bytes:
    """A SentencePiece model with the same ids that does what the merges do."""
    symbols = byte_symbols()
    ranks = {left + right: rank for rank, (left, right) in enumerate(merges)}
    entries = []
    for number, piece in enumerate(pieces):
        if piece in ranks:
            entries.append(Piece(piece, -ranks[piece]))
        elif piece in symbols:
            entries.append(Piece(piece, _NO_MERGE))
        else:
            entries.append(Piece(f"{_PRIVATE}{number}", 0, CONTROL))
    spelled = {bytes([byte]): symbols[byte].encode() for byte in range(1, 0xF8)}
    charsmap = build_charsmap({**spelled, _ZERO: symbols[0].encode()})
    return build_sentencepiece_model(
        [*entries, Piece(_PRIVATE, 0, UNKNOWN)],
        model_type=BPE,
        unk_id=len(pieces),
        charsmap=charsmap,
    )
