"""SentencePiece models in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_text as text

# The ops behind `text.SentencepieceTokenizer`, which would store the model twice.
from tensorflow_text.python.ops.sentencepiece_tokenizer import gen_sentencepiece_tokenizer as ops

from hubexport.tokenizers.graph.ragged import rows_of_values, without_words
from hubexport.tokenizers.graph.text_bytes import all_bytes, begins_of
from hubexport.tokenizers.graph.unique_words import tokenize_unique
from hubexport.tokenizers.sentencepiece.per_word import PerWord
from hubexport.tokenizers.tables.normalizer import build_normalizer
from hubexport.tokenizers.tables.sentencepiece_normalization import WORD


class SentencePieceResource(tf.saved_model.experimental.TrackableResource):
    """A loaded SentencePiece model, whose bytes a SavedModel has once.

    A SavedModel creates a resource at two places: in a function for `tf.saved_model.load`, and in
    its main graph. Here both call one concrete function that has the model.
    """

    def __init__(self, model: bytes):
        """Args:
        model: a serialized ModelProto.
        """
        super().__init__()

        @tf.function(autograph=False)
        def sentencepiece_model() -> tf.Tensor:
            return ops.sentencepiece_op(model=model)

        self._create = sentencepiece_model.get_concrete_function()
        _ = self.resource_handle  # made now

    def _create_resource(self) -> tf.Tensor:
        return self._create()


class WholeSentencePiece(tf.Module):
    """Any SentencePiece model, as the library runs it."""

    def __init__(self, model: bytes):
        """Args:
        model: a serialized ModelProto.
        """
        super().__init__(name="sentencepiece")
        self._model = SentencePieceResource(model)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]."""
        ids, splits = ops.sentencepiece_tokenize_op(
            self._model.resource_handle, texts, **_options(), return_nbest=False
        )
        return tf.RaggedTensor.from_row_splits(ids, tf.cast(splits, tf.int64), validate=False)

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the bytes of the text that each stands for.

        Args:
          texts: string [batch].

        Returns:
          ids int32, first byte int64, byte after the last int64: [batch, (pieces)] each.
        """
        ids, splits, starts, limits = ops.sentencepiece_tokenize_with_offsets_op(
            self._model.resource_handle, texts, **_options()
        )
        splits = tf.cast(splits, tf.int64)
        values = (ids, tf.cast(starts, tf.int64), tf.cast(limits, tf.int64))
        ids, starts, limits = (
            tf.RaggedTensor.from_row_splits(value, splits, validate=False) for value in values
        )
        return ids, starts, limits

    def words_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """As `tokenize_with_offsets`, [batch, (words), (pieces)]: a space begins a word."""
        tokens = self.tokenize_with_offsets(texts)
        ids, splits = tokens[0].values, tokens[0].row_splits
        rows = rows_of_values(splits)
        pieces = ops.sentencepiece_id_to_string_op(self._model.resource_handle, ids)
        begins = tf.equal(tf.strings.substr(pieces, 0, len(WORD.encode())), WORD)
        # Of an unknown piece the text alone tells.
        places = tf.gather(begins_of(texts), rows) + tokens[1].values
        begins |= tf.equal(tf.gather(tf.concat([all_bytes(texts), [0]], axis=0), places), ord(" "))
        begins |= tf.equal(tf.range(tf.size(ids, tf.int64)), tf.gather(splits, rows))
        words = tf.concat([tf.where(begins)[:, 0], splits[-1:]], axis=0)
        batch = tf.searchsorted(words, splits, out_type=tf.int64)
        ids, starts, limits = (
            tf.RaggedTensor.from_nested_row_splits(each.values, (batch, words), validate=False)
            for each in tokens
        )
        return ids, starts, limits

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """int32 [batch, (pieces)] -> string [batch]."""
        return ops.sentencepiece_detokenize_op(
            self._model.resource_handle,
            ids.values,
            ids.row_splits,
            add_bos=False,
            add_eos=False,
            reverse=False,
        )


class ExactSentencePiece(tf.Module):
    """A unigram model word by word, as the Rust `tokenizers` run it."""

    def __init__(self, settings: PerWord):
        super().__init__(name="sentencepiece")
        self._settings = settings
        self._model = SentencePieceResource(settings.serialized)
        self._table = _normalizer(settings.normalization.table)
        self._clusters = settings.normalization.clusters
        if self._clusters:
            self._before = _normalizer(self._clusters.before) if self._clusters.before else None
            self._after = _normalizer(self._clusters.after)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]."""
        words = tf.strings.split(self._normalize(texts))
        return without_words(tokenize_unique(words, self._tokenize_words))

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """int32 [batch, (pieces)] -> string [batch]: pieces one behind the other.

        Special ones are kept, and white space around punctuation is not touched.
        """
        pieces = ops.sentencepiece_id_to_string_op(self._model.resource_handle, ids.values)
        if self._settings.prefix:
            # Where a text begins, there is no space before its first word.
            position = tf.range(tf.size(ids.values, ids.row_splits.dtype))
            begins = tf.equal(position, tf.gather(ids.row_splits, ids.value_rowids()))
            pieces = tf.where(begins, tf.strings.regex_replace(pieces, WORD, ""), pieces)
        pieces = ids.with_values(tf.strings.regex_replace(pieces, WORD, " "))
        return tf.strings.reduce_join(pieces, axis=-1)

    def _tokenize_words(self, words: tf.Tensor) -> tf.RaggedTensor:
        """string [words] -> int32 [words, (pieces)]."""
        if self._settings.prefix:
            has_prefix = tf.equal(tf.strings.substr(words, 0, len(WORD.encode())), WORD)
            words = tf.where(has_prefix, words, tf.strings.join([WORD, words]))
        ids, splits = ops.sentencepiece_tokenize_op(
            self._model.resource_handle, words, **_options(), return_nbest=False
        )
        is_unknown = tf.equal(ids, self._settings.unknown_character_id)

        def one_for_each_run() -> list[tf.Tensor]:
            replaced = tf.where(is_unknown, self._settings.unknown_id, ids)
            unknown = tf.equal(replaced, self._settings.unknown_id)
            # Whether the piece in front is unknown and of the same word.
            again = tf.concat([[False], unknown[:-1]], axis=0)[: tf.size(ids)]
            starts = tf.gather(splits, tf.ragged.row_splits_to_segment_ids(splits))
            again &= tf.range(tf.size(ids, tf.int64)) > starts
            keep = ~(unknown & again)
            kept = tf.concat([[0], tf.cumsum(tf.cast(keep, tf.int64))], axis=0)
            return [tf.boolean_mask(replaced, keep), tf.gather(kept, splits)]

        ids, splits = tf.cond(tf.reduce_any(is_unknown), one_for_each_run, lambda: [ids, splits])
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Text in which ASCII spaces end words, and no other white space is."""
        if self._settings.quotes:
            texts = tf.strings.regex_replace(texts, "``|''", '"')
        texts = self._replace_characters(texts)
        if not self._settings.split:
            if self._settings.trailing_space:
                return tf.strings.regex_replace(texts, " +$", " " + WORD)
            spaces = f"[ {self._settings.normalization.other_space}]+$"
            return tf.strings.regex_replace(texts, spaces, "")
        return texts

    def _replace_characters(self, texts: tf.Tensor) -> tf.Tensor:
        clusters = self._clusters
        if clusters is None:
            return self._table.normalize(texts)

        def whole_clusters() -> tf.Tensor:
            marked = self._before.normalize(texts) if self._before else texts
            for pattern, replacement in clusters.steps:
                marked = tf.strings.regex_replace(marked, pattern, replacement)
            return self._after.normalize(marked)

        found = tf.reduce_any(tf.strings.regex_full_match(texts, clusters.present))
        return tf.cond(found, whole_clusters, lambda: self._table.normalize(texts))


def _normalizer(table: Mapping[int, str]) -> text.FastBertNormalizer:
    return text.FastBertNormalizer(model_buffer=tf.constant(build_normalizer(table)))


def _options() -> dict[str, Any]:
    """Inputs and attributes of the op: no sampling, nothing added."""
    return {
        "nbest_size": 0,
        "alpha": 1.0,
        "add_bos": False,
        "add_eos": False,
        "reverse": False,
        "out_type": tf.int32,
    }
