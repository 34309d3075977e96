"""BERT's WordPiece tokenization in the graph, by tensorflow_text's ops.

It does what `tensorflow_text.BertTokenizer` does, id for id (tested), and therefore differs from
other BERT tokenizers where that one does. It is put together here from the same parts because
`BertTokenizer` leaves Assert nodes in the graph, which TPU workers cannot run in `Dataset.map`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_text as text

# The op behind `text.regex_split_with_offsets`, whose Python wrapper adds the Assert nodes.
from tensorflow_text.python.ops.regex_split_ops import gen_regex_split_ops

from hubexport.tokenizers.wordpiece.vocabulary import UNKNOWN, Vocabulary

# Source: tensorflow_text/python/ops/bert_tokenizer.py (Apache-2.0), _DELIM_REGEX. Text is split
# at all of these; white space is dropped, each punctuation or CJK character is a word.
_WHITE_SPACE = r"\s+"
_PUNCTUATION = r"[!-/]|[:-@]|[\[-`]|[{-~]|[\p{P}]"
_CJK = (
    r"[\x{4E00}-\x{9FFF}]|[\x{3400}-\x{4DBF}]|[\x{20000}-\x{2A6DF}]|[\x{2A700}-\x{2B73F}]|"
    r"[\x{2B740}-\x{2B81F}]|[\x{2B820}-\x{2CEAF}]|[\x{F900}-\x{FAFF}]|[\x{2F800}-\x{2FA1F}]"
)


class TFHubWordPiece(tf.Module):
    """Text to ragged word pieces.

    The vocabulary is part of the graph: no file is read when a SavedModel of it is loaded, so
    re-exporting that inside another model cannot lose one.
    """

    def __init__(self, vocabulary: Vocabulary, lower_case: bool):
        """Args:
        vocabulary: the pieces; unknown words become the id of its own [UNK].
        lower_case: whether to fold case, decompose (NFD) and drop combining marks first.
        """
        super().__init__(name="wordpiece")
        self._lower_case = lower_case
        pieces = tf.lookup.KeyValueTensorInitializer(
            tf.constant([piece.encode() for piece in vocabulary.pieces], tf.string),
            tf.range(len(vocabulary.pieces), dtype=tf.int64),
        )
        self._table = tf.lookup.StaticHashTable(pieces, default_value=vocabulary.unknown_id)
        # TensorFlow takes the names that these have in a saved graph from a counter that runs
        # through the life of the process: equal exports would differ. The table's is by content,
        # so that no table of another vocabulary can go by the same one.
        pieces._name = "pieces"  # noqa: SLF001
        self._table._shared_name = f"wordpiece_{vocabulary.sha256}"  # noqa: SLF001
        self._wordpiece = text.WordpieceTokenizer(
            self._table, token_out_type=tf.int32, unknown_token=UNKNOWN
        )

    def tokenize(self, inputs: tf.Tensor) -> tf.RaggedTensor:
        """[batch] string -> int32 [batch, (words), (pieces)]."""
        words = self._words(inputs)
        return _nested(self._wordpiece.tokenize(words.tokens), words.row_splits)

    def tokenize_with_offsets(
        self, inputs: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the byte range that each piece has in the *normalized* text.

        Lower-casing and replacing control characters by a space can change the number of bytes,
        so offsets are those of the input only up to the first such character.

        Args:
          inputs: string [batch].

        Returns:
          ids int32, first byte int64, byte after the last int64: [batch, (words), (pieces)] each.
        """
        words = self._words(inputs)
        ids, starts, limits = self._wordpiece.tokenize_with_offsets(words.tokens)
        word_starts = tf.gather(words.begin_offsets, ids.value_rowids())  # one per piece
        return (
            _nested(ids, words.row_splits),
            _nested(starts.with_values(starts.values + word_starts), words.row_splits),
            _nested(limits.with_values(limits.values + word_starts), words.row_splits),
        )

    def _words(self, inputs: tf.Tensor) -> Any:
        """The op's named tuple: tokens, begin_offsets, end_offsets [words in all]; row_splits."""
        return gen_regex_split_ops.regex_split_with_offsets(
            self._normalize(inputs),
            f"({_WHITE_SPACE}|{_PUNCTUATION}|{_CJK})",
            f"({_PUNCTUATION}|{_CJK})",
        )

    def _normalize(self, inputs: tf.Tensor) -> tf.Tensor:
        """Case and accents if asked for; control and format characters become spaces."""
        if self._lower_case:
            inputs = text.normalize_utf8(text.case_fold_utf8(inputs), "NFD")
            inputs = tf.strings.regex_replace(inputs, r"\p{Mn}", "")
        return tf.strings.regex_replace(inputs, r"\p{Cc}|\p{Cf}", " ")


def _nested(pieces: tf.RaggedTensor, row_splits: tf.Tensor) -> tf.RaggedTensor:
    """[words in all, (pieces)] and each text's share of the words: [batch, (words), (pieces)]."""
    return tf.RaggedTensor.from_row_splits(pieces, row_splits, validate=False)
