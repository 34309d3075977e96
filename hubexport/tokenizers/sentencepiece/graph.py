"""SentencePiece models in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_text as text

# The op behind `text.regex_split_with_offsets`, whose Python wrapper adds Assert nodes.
from tensorflow_text.python.ops.regex_split_ops import gen_regex_split_ops as regex

# The ops behind `text.SentencepieceTokenizer`, which would store the model twice.
from tensorflow_text.python.ops.sentencepiece_tokenizer import gen_sentencepiece_tokenizer as ops

from hubexport.tokenizers.graph.ragged import rows_of_values, without_words
from hubexport.tokenizers.graph.text_bytes import all_bytes, begins_of
from hubexport.tokenizers.graph.unique_words import tokenize_unique
from hubexport.tokenizers.sentencepiece.per_word import PerWord
from hubexport.tokenizers.tables.normalizer import build_normalizer
from hubexport.tokenizers.tables.sentencepiece_normalization import WORD, unit_pattern

_QUOTES = ("``|''", '"')
"""What becomes a quotation mark, where that is a setting."""
_ZERO = b"\xff"  # not a byte of UTF-8


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
        self._unit = unit_pattern(self._clusters is not None, _QUOTES[0] * settings.quotes)
        if self._clusters:
            self._before = _normalizer(self._clusters.before) if self._clusters.before else None
            self._after = _normalizer(self._clusters.after)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)]."""
        words = tf.strings.split(self._normalize(texts))
        return without_words(tokenize_unique(words, self._tokenize_words))

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the bytes of the text that each stands for.

        A piece reaches from its first character to its last one, without the space before it; one
        for the space alone has the character behind it. What a character became, as "fi" of a
        ligature, all has the whole of it; marks that are a part of what it became have no place.

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
        words = tf.strings.split(self._normalize(texts))
        distinct, index = tf.unique(words.values)
        ids, begins, ends = (tf.gather(each, index) for each in self._spelled(distinct))
        # Words are all of a normalized text that is not a space: its bytes are counted through.
        word = rows_of_values(ids.row_splits)
        splits = tf.cast(words.row_splits, tf.int64)
        row = tf.gather(rows_of_values(splits), word)  # of each piece
        until = tf.cumsum(_bytes(words.values))
        until = tf.concat([[0], until], axis=0)
        before = tf.gather(until, word) - tf.gather(tf.gather(until, splits), row)
        units = self._units(texts)
        starts = tf.gather(units.begins, units.at(row, begins.values + before))
        last = tf.maximum(ends.values, begins.values + 1) - 1
        limits = tf.gather(units.ends, units.at(row, last + before))
        ids = words.with_values(ids).with_row_splits_dtype(tf.int64)
        return ids, ids.with_flat_values(starts), ids.with_flat_values(limits)

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
        ids, splits = ops.sentencepiece_tokenize_op(
            self._model.resource_handle, self._prefixed(words), **_options(), return_nbest=False
        )
        ids, splits = self._one_for_each_run(splits, ids)
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _spelled(self, words: tf.Tensor) -> list[tf.RaggedTensor]:
        """As `_tokenize_words`, and int64 [words, (pieces)] the first byte of each piece in the
        word, and the one behind its last."""
        prefixed = self._prefixed(words)
        added = tf.cast(tf.strings.length(prefixed) - tf.strings.length(words), tf.int64)
        ids, splits, starts, limits = ops.sentencepiece_tokenize_with_offsets_op(
            self._model.resource_handle, prefixed, **_options()
        )
        splits = tf.cast(splits, tf.int64)
        added = tf.gather(added, rows_of_values(splits))
        starts, limits = (
            tf.maximum(tf.cast(each, tf.int64) - added, 0) for each in (starts, limits)
        )
        *parts, splits = self._one_for_each_run(splits, ids, starts, limits)
        return [tf.RaggedTensor.from_row_splits(p, splits, validate=False) for p in parts]

    def _prefixed(self, words: tf.Tensor) -> tf.Tensor:
        """Words as the model has them."""
        if not self._settings.prefix:
            return words
        has_prefix = tf.equal(tf.strings.substr(words, 0, len(WORD.encode())), WORD)
        return tf.where(has_prefix, words, tf.strings.join([WORD, words]))

    def _one_for_each_run(
        self, splits: tf.Tensor, ids: tf.Tensor, *spans: tf.Tensor
    ) -> list[tf.Tensor]:
        """Pieces with one unknown in the place of several of a word: ids, spans, and splits.

        Args:
          splits: int64 [W + 1], each word's share of the pieces.
          ids: int32 [P].
          *spans: starts and limits int64 [P], or nothing.
        """
        is_unknown = tf.equal(ids, self._settings.unknown_character_id)

        def joined() -> list[tf.Tensor]:
            replaced = tf.where(is_unknown, self._settings.unknown_id, ids)
            unknown = tf.equal(replaced, self._settings.unknown_id)
            # Whether the piece in front is unknown and of the same word.
            again = tf.concat([[False], unknown[:-1]], axis=0)[: tf.size(ids)]
            starts = tf.gather(splits, tf.ragged.row_splits_to_segment_ids(splits))
            again &= tf.range(tf.size(ids, tf.int64)) > starts
            keep = ~(unknown & again)
            kept = tf.concat([[0], tf.cumsum(tf.cast(keep, tf.int64))], axis=0)
            left = [tf.boolean_mask(replaced, keep)]
            if spans:
                begins, ends = spans
                left += [
                    tf.boolean_mask(begins, keep),
                    tf.math.segment_max(ends, tf.cumsum(tf.cast(keep, tf.int64)) - 1),
                ]
            return [*left, tf.gather(kept, splits)]

        found: list[tf.Tensor] = tf.cond(
            tf.reduce_any(is_unknown), joined, lambda: [ids, *spans, splits]
        )
        return found

    def _units(self, texts: tf.Tensor) -> _Units:
        """What characters of texts, string [batch], become.

        Of a cluster that is not treated character by character, what it becomes is dealt out as by
        `tokenizers`: each character one, and the last one the rest.
        """
        # The op would stop at byte 0, which nothing extends.
        texts = tf.strings.regex_replace(texts, r"\x00", _ZERO)
        found = regex.regex_split_with_offsets(texts, self._unit, self._unit)
        clusters, of_text = tf.unique(found.tokens)
        clusters = tf.where(tf.equal(clusters, _ZERO), b"\x00", clusters)
        split = tf.strings.unicode_split(clusters, "UTF-8")  # [clusters, (characters)]
        characters, index = tf.unique(split.values)
        alone = split.with_values(tf.gather(self._without_quotes(characters), index))
        whole = self._without_quotes(clusters)
        row = rows_of_values(split.row_splits)
        is_alone = tf.gather(tf.equal(tf.strings.reduce_join(alone, axis=-1), whole), row)
        lengths = tf.where(
            is_alone, _visible(alone.values), self._dealt_out(clusters, whole, split)
        )
        # Of all characters of the texts:
        lengths = tf.gather(split.with_values(lengths), of_text)
        sizes = tf.gather(split.with_values(_bytes(split.values)), of_text).values
        cluster = rows_of_values(lengths.row_splits)
        behind = tf.cumsum(sizes)
        before = tf.gather(tf.concat([[0], behind], axis=0), lengths.row_splits)
        ends = tf.gather(found.begin_offsets, cluster) + behind - tf.gather(before, cluster)
        until = tf.concat([[0], tf.cumsum(lengths.values)], axis=0)
        splits = tf.gather(lengths.row_splits, found.row_splits)
        return _Units(ends - sizes, ends, until, splits)

    def _dealt_out(
        self, clusters: tf.Tensor, whole: tf.Tensor, split: tf.RaggedTensor
    ) -> tf.Tensor:
        """int64 [characters]: how many bytes of what a cluster becomes belong to each.

        Args:
          clusters: string [D].
          whole: string [D], what they become.
          split: string [D, (characters)].
        """
        made = tf.strings.unicode_split(whole, "UTF-8")
        row = rows_of_values(made.row_splits)
        number = tf.range(tf.size(row, tf.int64)) - tf.gather(made.row_splits, row)
        last = tf.gather(split.row_lengths() - 1, row)
        if self._settings.quotes:  # of two, the second one is it
            is_quote = tf.strings.regex_full_match(clusters, f"(?:{_QUOTES[0]}).*")
            number += tf.cast(tf.gather(is_quote, row), tf.int64)
        if self._clusters:  # of what the model's own map makes one, all is
            is_short = tf.strings.regex_full_match(whole, f"(?s).*{self._clusters.short}.*")
            number = tf.where(tf.gather(is_short, row), 0, number)
        character = tf.gather(split.row_splits, row) + tf.minimum(number, last)
        count = tf.size(split.values, tf.int64)
        return tf.math.unsorted_segment_sum(_visible(made.values), character, count)

    def _without_quotes(self, texts: tf.Tensor) -> tf.Tensor:
        """Texts [N] as they are normalized, but for what is done at the end of a whole text."""
        if self._settings.quotes:
            texts = tf.strings.regex_replace(texts, *_QUOTES)
        return self._replace_characters(texts)

    def _normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Text in which ASCII spaces end words, and no other white space is."""
        texts = self._without_quotes(texts)
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


def _bytes(texts: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(texts), tf.int64)


def _visible(texts: tf.Tensor) -> tf.Tensor:
    """int64 [N]: bytes without spaces."""
    return _bytes(tf.strings.regex_replace(texts, " ", ""))


class _Units(NamedTuple):
    """The characters of texts.

    Attributes:
      begins, ends: int64 [U], bytes of the text.
      until: int64 [U + 1], how many normalized bytes, spaces left out, are before each.
      splits: int64 [batch + 1], each text's share of them.
    """

    begins: tf.Tensor
    ends: tf.Tensor
    until: tf.Tensor
    splits: tf.Tensor

    def at(self, row: tf.Tensor, byte: tf.Tensor) -> tf.Tensor:
        """int64 [P]: the character of a byte of a normalized text, spaces left out.

        What a text has at its end without a character of its own counts with the last one.

        Args:
          row: int64 [P], the number of the text.
          byte: int64 [P].
        """
        byte += tf.gather(self.until, tf.gather(self.splits, row))
        unit = tf.searchsorted(self.until, byte, "right", tf.int64) - 1
        return tf.minimum(unit, tf.gather(self.splits, row + 1) - 1)


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
