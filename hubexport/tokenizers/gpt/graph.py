"""OpenAI GPT's BPE in the graph: a normalizer of ours, and SentencePiece's BPE for each word."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text as text

from hubexport.tokenizers.bpe.merges import END_OF_WORD, Merge
from hubexport.tokenizers.graph.text_bytes import all_bytes, begins_of
from hubexport.tokenizers.graph.unique_words import tokenize_unique
from hubexport.tokenizers.sentencepiece.graph import WholeSentencePiece
from hubexport.tokenizers.tables import bert_characters
from hubexport.tokenizers.tables.characters import re2_class
from hubexport.tokenizers.tables.normalizer import build_normalizer
from hubexport.tokenizers.tables.sentencepiece_proto import (
    BPE,
    UNKNOWN,
    Piece,
    build_sentencepiece_model,
)

# Normalization drops private-use characters from text, so that these are free.
_END = "\ue000"  # behind each word
_UNKNOWN = "\ue001"  # a character without a piece
_UNUSED = "\ue002"  # SentencePiece's own unknown piece, which would be one for several characters
_NO_MERGE = -1e9  # the score of a single symbol, which nothing can be joined to
_FIRST = 1.0  # a word's last character and its end are joined before all merges


class GPT(tf.Module):
    """Text to ids by OpenAI GPT's BPE, and back."""

    def __init__(
        self,
        pieces: Sequence[str],
        merges: Sequence[Merge],
        unknown: str,
        alphabet: Collection[str],
    ):
        """Args:
        pieces: in the order of their ids.
        merges: checked by `check_merges` with `symbols_with_end`.
        unknown: the piece for each character that is not in the alphabet.
        alphabet: the characters that are a piece, in a word or at its end.
        """
        super().__init__(name="gpt")
        self._normalizer = text.FastBertNormalizer(model_buffer=tf.constant(_normalizer()))
        self._not_in_alphabet = f"[^{re2_class(map(ord, alphabet))}]"
        model, ids, lengths = _model(pieces, merges, unknown, alphabet)
        self._bpe = WholeSentencePiece(model)
        self._ids = tf.constant(ids, tf.int32)
        self._lengths = tf.constant(lengths, tf.int64)
        # `</w>` is a space, but nothing in a text's last piece.
        self._inside = tf.constant([p.replace(END_OF_WORD, " ").encode() for p in pieces])
        self._last = tf.constant([p.replace(END_OF_WORD, "").encode() for p in pieces])

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (words), (pieces)]."""
        return self._with_ids(self._spelled(self._normalizer.normalize(texts)))

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the bytes of the text that each stands for, as `tokenizers` reports them.

        A piece reaches from its first character to its last one; what normalization dropped before
        or behind it (a combining mark, say) is not part of it. Pieces of one character, as of a
        Hangul syllable, all have all of it. (Of the few characters that NFD moves in front of a
        mark, `tokenizers` reports the place of that mark, and this their own.)

        Args:
          texts: string [batch].

        Returns:
          ids int32, first byte int64, byte after the last int64: [batch, (words), (pieces)] each.
        """
        normalized, source = self._normalizer.normalize_with_offsets(texts)
        pieces = self._spelled(normalized)
        lengths = tf.gather(self._lengths, pieces.flat_values)
        # Characters are counted through the batch: its words are all that is not a space.
        ends = tf.cumsum(lengths)
        data = all_bytes(normalized)
        positions = tf.where((data != ord(" ")) & (data & 0xC0 != 0x80))[:, 0]
        begins = begins_of(normalized)
        rows = tf.searchsorted(begins, positions, "right", tf.int64) - 1
        # The byte of its text that each character comes from.
        origins = tf.gather(source.row_splits, rows) + positions - tf.gather(begins, rows)
        origins = tf.cast(tf.gather(source.values, origins), tf.int64)
        starts, last = tf.gather(origins, ends - lengths), tf.gather(origins, ends - 1)
        first_byte = tf.gather(
            all_bytes(texts), tf.gather(begins_of(texts), tf.gather(rows, ends - 1)) + last
        )
        width = tf.add_n([tf.cast(first_byte >= lead, tf.int64) for lead in (0, 0xC0, 0xE0, 0xF0)])
        return (
            self._with_ids(pieces),
            pieces.with_flat_values(starts),
            pieces.with_flat_values(last + width),
        )

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The text of some ids: int32 [batch, (pieces)] -> string [batch].

        As in Hugging Face's `BPEDecoder`: words with spaces between them, also around punctuation.
        """
        position = tf.range(tf.size(ids.values, tf.int64))
        # `value_rowids` would make a table of rows times the longest row.
        rows = tf.searchsorted(ids.row_splits, position, "right", tf.int64) - 1
        is_last = tf.equal(position + 1, tf.gather(ids.row_limits(), rows))
        contents = tf.where(
            is_last, tf.gather(self._last, ids.values), tf.gather(self._inside, ids.values)
        )
        return tf.strings.unsorted_segment_join(contents, rows, ids.nrows())

    def _spelled(self, normalized: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> pieces of the SentencePiece model, [batch, (words), (pieces)]."""
        return tokenize_unique(tf.strings.split(normalized), self._spell)

    def _spell(self, words: tf.Tensor) -> tf.RaggedTensor:
        """string [words] -> int32 [words, (pieces)]."""
        words = tf.strings.regex_replace(words, self._not_in_alphabet, _UNKNOWN)
        # Words of other scripts are now the same if they have the same number of characters.
        words, index = tf.unique(words)
        return tf.gather(self._bpe.tokenize(tf.strings.join([words, _END])), index)

    def _with_ids(self, pieces: tf.RaggedTensor) -> tf.RaggedTensor:
        return pieces.with_flat_values(tf.gather(self._ids, pieces.flat_values))


@functools.cache
def _normalizer() -> np.ndarray:
    """The buffer, uint8 [bytes]: the same for every vocabulary, and seconds of work."""
    return build_normalizer(_replacements())


def _replacements() -> dict[int, str]:
    """Code point -> normalized text, with spaces around everything that is a word by itself."""
    normalized = bert_characters.normalized(lowercase=True, strip_accents=True)
    punctuation, cjk = bert_characters.punctuation(), bert_characters.cjk()
    spaced = {chr(c): f" {chr(c)} " for c in punctuation}
    spaced |= {chr(c): " " for c in bert_characters.white_space()}
    replacements = {}
    for code_point in normalized.keys() | punctuation | cjk | bert_characters.white_space():
        character = chr(code_point)
        parts = normalized.get(code_point, character)
        replacement = "".join(spaced.get(part, part) for part in parts)
        if code_point in cjk:
            replacement = f" {replacement} "
        if replacement != character:
            replacements[code_point] = replacement
    return replacements


def _model(
    pieces: Sequence[str], merges: Sequence[Merge], unknown: str, alphabet: Collection[str]
) -> tuple[bytes, list[int], list[int]]:
    """A SentencePiece model that does what the merges do.

    Returns:
      The model, and for each of its pieces the id and the number of characters.
    """
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    unknown_id = vocabulary[unknown]
    entries, ids, lengths = [Piece(_UNUSED, 0, UNKNOWN)], [unknown_id], [1]
    for character in (*sorted(alphabet), _UNKNOWN):
        entries += [Piece(character, _NO_MERGE), Piece(character + _END, _FIRST)]
        ids += [
            vocabulary.get(symbol, unknown_id) for symbol in (character, character + END_OF_WORD)
        ]
        lengths += [1, 1]
    for rank, (left, right) in enumerate(merges):
        piece = left + right
        word = piece.removesuffix(END_OF_WORD)
        entries.append(Piece(piece if word == piece else word + _END, -rank))
        ids.append(vocabulary[piece])
        lengths.append(len(word))
    return build_sentencepiece_model(entries, model_type=BPE, unk_id=0), ids, lengths
