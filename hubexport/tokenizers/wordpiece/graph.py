"""WordPiece as in Hugging Face's `tokenizers`, by tensorflow_text's fast kernels.

The kernels are driven by buffers of ours, see `graph_buffers`: one call normalizes, one finds
the pieces. What is left is done on ids: word boundaries, and words with too many characters.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as text

from hubexport.tokenizers.graph.detokenize import PieceJoiner
from hubexport.tokenizers.graph.ragged import rows_of_values
from hubexport.tokenizers.wordpiece.graph_buffers import build_buffers
from hubexport.tokenizers.wordpiece.json import CONTINUATION
from hubexport.tokenizers.wordpiece.model import WordPieceModel


class ExactWordPiece(tf.Module):
    """BertNormalizer, BertPreTokenizer and WordPiece of `tokenizers`, id for id."""

    def __init__(self, model: WordPieceModel, pieces: Sequence[str]):
        """Args:
        model: the tokenizer.
        pieces: the model's and behind them those of added tokens, which only `detokenize` knows.
        """
        super().__init__(name="wordpiece")
        buffers = build_buffers(model)
        self._normalizer = text.FastBertNormalizer(model_buffer=tf.constant(buffers.normalizer))
        self._wordpiece = text.FastWordpieceTokenizer(
            model_buffer=tf.constant(buffers.wordpiece), token_out_type=tf.int32
        )
        self._unknown_id = model.unknown_id
        # A word's first piece has no ##, and the others all do: # is a word by itself in text.
        self._starts_word = tf.constant(
            [
                not piece.startswith(CONTINUATION)
                or number == model.unknown_id
                or number >= len(model.pieces)
                for number, piece in enumerate(pieces)
            ]
        )
        self._lengths = tf.constant(buffers.lengths)
        self._maximum = model.max_input_chars_per_word
        # A word of fewer pieces cannot be too long.
        self._suspicious = -(-(self._maximum + 1) // max(1, int(buffers.lengths.max())))
        self._joiner = PieceJoiner(
            [_behind_others(piece, model.cleanup).encode() for piece in pieces],
            first=[_cleaned(piece, model.cleanup).encode() for piece in pieces],
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (words), (pieces)]."""
        return self.group(self.pieces(texts))

    def pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]. Words take time, and packing needs none."""
        ids = self._wordpiece.tokenize(self._normalizer.normalize(texts))
        words = self._word_splits(ids.values)

        def shortened() -> list[tf.Tensor]:
            values, splits = self._shortened(words, ids.values)
            return [values, tf.gather(splits, _share(words, ids.row_splits))]

        values, splits = tf.cond(
            self._any_too_long(ids.values, words),
            shortened,
            lambda: [ids.values, ids.row_splits],
        )
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def group(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """int32 [batch, (pieces)] -> [batch, (words), (pieces)]."""
        words = self._word_splits(ids.values)
        return _nested(ids.values, words, _share(words, ids.row_splits))

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the bytes of the text that each stands for, as `tokenizers` reports them.

        A piece reaches from its first character to its last one; what normalization dropped before
        or behind it (a combining mark, say) is not part of it. Pieces of one character, as of a
        Hangul syllable, all have all of it. An unknown word is the word. Where NFD swaps two marks
        of which one is kept (`bert_characters.reordered`), the reference gives each the other's
        place; here they have their own.

        Args:
          texts: string [batch].

        Returns:
          ids int32, first byte int64, byte after the last int64: [batch, (words), (pieces)] each.
        """
        normalized, source = self._normalizer.normalize_with_offsets(texts)
        ids, starts, limits = self._wordpiece.tokenize_with_offsets(normalized)
        rows = rows_of_values(ids.row_splits)
        begins = tf.gather(source.row_splits, rows)

        def in_text(position: tf.Tensor) -> tf.Tensor:
            """Byte of the normalized text -> byte of the text."""
            position = begins + tf.cast(position, tf.int64)
            return tf.cast(tf.gather(source.values, position), tf.int64)

        starts, last = in_text(starts.values), in_text(limits.values - 1)
        limits = last + _bytes_from(texts, rows, last)
        words = self._word_splits(ids.values)
        batch_splits = _share(words, ids.row_splits)

        *parts, splits = tf.cond(
            self._any_too_long(ids.values, words),
            lambda: self._shortened(words, ids.values, starts, limits),
            lambda: [ids.values, starts, limits, words],
        )
        ids, starts, limits = (_nested(part, splits, batch_splits) for part in parts)
        return ids, starts, limits

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """int32 [batch, (pieces)] -> string [batch], as the WordPiece decoder of `tokenizers`.

        Pieces are joined by a space, those with ## to what is before them, without the ##. The
        first piece is as it is. With `cleanup`, the space in front of some pieces is left out.
        """
        return self._joiner(ids)

    def _word_splits(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 [P] -> int64 [W + 1]: each word's share of the pieces."""
        starts = tf.where(tf.gather(self._starts_word, ids))[:, 0]
        return tf.concat([starts, [tf.size(ids, tf.int64)]], axis=0)

    def _any_too_long(self, ids: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
        """bool scalar; looks only at words with so many pieces that they could be too long."""
        many = tf.where(splits[1:] - splits[:-1] >= self._suspicious)[:, 0]
        pieces = tf.raw_ops.RaggedRange(
            starts=tf.gather(splits, many),
            limits=tf.gather(splits, many + 1),
            deltas=tf.constant(1, tf.int64),
        )
        characters = self._characters(
            tf.gather(ids, pieces.rt_dense_values), pieces.rt_nested_splits
        )
        return tf.reduce_any(characters > self._maximum)

    def _characters(self, ids: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
        """int32 [P] and each word's share of them -> int32 [W]: characters of the words."""
        until = tf.cumsum(tf.gather(self._lengths, ids))
        until = tf.gather(tf.concat([[0], until], axis=0), splits)
        return until[1:] - until[:-1]

    def _shortened(self, splits: tf.Tensor, ids: tf.Tensor, *offsets: tf.Tensor) -> list[tf.Tensor]:
        """Makes words with too many characters unknown.

        Args:
          splits: int64 [W + 1], each word's share of the pieces.
          ids: int32 [P], their pieces.
          *offsets: starts and limits of the pieces, int64 [P] each, or nothing.

        Returns:
          ids, starts and limits (if given) of the pieces that are left, and int64 [W + 1], each
          word's share of them.
        """
        starts, counts = splits[:-1], splits[1:] - splits[:-1]
        word = rows_of_values(splits)
        word_too_long = self._characters(ids, splits) > self._maximum  # [W]
        too_long = tf.gather(word_too_long, word)  # [P]
        is_first = tf.equal(tf.gather(starts, word), tf.range(tf.size(ids, tf.int64)))
        keep = tf.where(~too_long | is_first)[:, 0]
        values = [tf.where(too_long, self._unknown_id, ids)]
        if offsets:
            begins, limits = offsets
            ends = tf.gather(tf.gather(limits, splits[1:] - 1), word)
            values += [begins, tf.where(too_long, ends, limits)]
        left = tf.where(word_too_long, tf.ones_like(counts), counts)
        splits = tf.concat([[0], tf.cumsum(left)], axis=0)
        return [*(tf.gather(value, keep) for value in values), splits]


def _bytes_from(texts: tf.Tensor, rows: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """How many bytes the character has that begins at a byte of a text; 1 within a character.

    Args:
      texts: string [batch].
      rows: int64 [P], which text.
      position: int64 [P], which byte of it.
    """
    ends = tf.cumsum(tf.cast(tf.strings.length(texts), tf.int64))
    begins = tf.gather(tf.concat([[0], ends], axis=0), rows)
    every = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
    byte = tf.gather(every, begins + position)
    return tf.add_n([tf.cast(byte >= lead, tf.int64) for lead in (0, 0xC0, 0xE0, 0xF0)])


def _share(words: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
    """int64 [batch + 1], each text's share of the words; pieces lie in both, in one order."""
    return tf.searchsorted(words[:-1], row_splits, out_type=tf.int64)


def _nested(values: tf.Tensor, splits: tf.Tensor, batch_splits: tf.Tensor) -> tf.RaggedTensor:
    words = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
    return tf.RaggedTensor.from_row_splits(words, batch_splits, validate=False)


def _behind_others(piece: str, cleanup: bool) -> str:
    if piece.startswith(CONTINUATION):
        return _cleaned(piece.removeprefix(CONTINUATION), cleanup)
    return _cleaned(f" {piece}", cleanup)


def _cleaned(piece: str, cleanup: bool) -> str:
    """What `cleanup` of huggingface/tokenizers, src/decoders/wordpiece.rs, makes of it."""
    rules = [(f" {mark}", mark) for mark in ".?!,"]
    rules += [(" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't")]
    rules += [(f" {ending}", ending) for ending in ("'s", "'ve", "'re")]
    for old, new in rules if cleanup else ():
        piece = piece.replace(old, new)
    return piece
