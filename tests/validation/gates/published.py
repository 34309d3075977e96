"""A preprocessor in the style of the published ones, and how it can be wrong.

Written with tensorflow_text's own tokenizer or a trivial one, and nothing of hubexport's. Each
method is one step, so that a subclass can get one of them wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

VOCAB_SIZE = 60
PADDING, START, END, MASK = 0, 2, 3, 4
FIRST = 5
DEFAULT = 40


class Words:
    """An id for each word, by its hash."""

    vocab_size = VOCAB_SIZE

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        words = tf.strings.split(texts)
        ids = tf.strings.to_hash_bucket_fast(words.values, VOCAB_SIZE - FIRST)
        pieces = tf.RaggedTensor.from_row_splits(
            tf.cast(ids, tf.int32) + FIRST, tf.range(tf.size(ids, tf.int64) + 1), validate=False
        )
        return words.with_values(pieces)


class WordPieces(tf.Module):
    """tensorflow_text's BertTokenizer."""

    def __init__(self, vocabulary: Path, lower_case: bool = True):
        super().__init__()
        import tensorflow_text as text

        self.vocab_size = len(vocabulary.read_text("utf-8").splitlines())
        self._tokenizer = text.BertTokenizer(
            str(vocabulary), lower_case=lower_case, token_out_type=tf.int32
        )
        self._vocabulary = tf.saved_model.Asset(str(vocabulary))

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer.tokenize(texts)


class Published(tf.Module):
    """The root; `save` writes it."""

    default = DEFAULT

    def __init__(self, tokenizer: Any = None):
        super().__init__()
        self._tokenizer = tokenizer or Words()
        text = tf.TensorSpec([None], tf.string, name="text")
        self.__call__ = tf.function(self.root, [text], autograph=False)
        self.tokenize = tf.Module()
        self.tokenize.__call__ = tf.function(self.tokens, [text], autograph=False)
        self.tokenize.get_special_tokens_dict = tf.function(self.special, [])
        pack = tf.function(
            lambda inputs, seq_length=DEFAULT: self.pack(inputs, seq_length), autograph=False
        )
        for rank in (1, 2):
            for count in (1, 2):
                segments = [tf.RaggedTensorSpec([None] * (rank + 1), tf.int32, rank)] * count
                pack.get_concrete_function(segments, seq_length=tf.TensorSpec([], tf.int32))
        self.bert_pack_inputs = tf.Module()
        self.bert_pack_inputs.__call__ = pack

    def save(self, directory: Path) -> Path:
        """Writes the SavedModel."""
        tf.saved_model.save(self, str(directory), signatures={"serving_default": self.__call__})
        return directory

    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = self.pack([tf.cast(self.tokens(text), tf.int32)], self.default)
        return {key: tf.ensure_shape(value, [None, self.default]) for key, value in packed.items()}

    def tokens(self, text: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer(text)

    def special(self) -> dict[str, tf.Tensor]:
        ids = {
            "vocab_size": self._tokenizer.vocab_size,
            "padding_id": PADDING,
            "start_of_sequence_id": START,
            "end_of_segment_id": END,
            "mask_id": MASK,
        }
        return {name: tf.constant(value, tf.int32) for name, value in ids.items()}

    def pack(self, inputs: Any, seq_length: Any) -> dict[str, tf.Tensor]:
        """Start, segments with their ends, padding: looked up column by column.

        tensorflow_text's own packing would add Assert nodes, which published ones patch away.
        """
        length = tf.cast(seq_length, tf.int64)
        column = tf.range(length)[tf.newaxis]  # [1, S]
        rows = [self.flat(segment) for segment in inputs]
        kept = self.kept([lengths for _, _, lengths in rows], length)
        place = tf.ones_like(kept[0])[:, tf.newaxis]  # [B, 1]: the column behind what is packed
        ids = tf.where(column < place, START, self.padding)  # [B, S]
        types = tf.zeros_like(ids)
        for number, (values, starts, lengths) in enumerate(rows):
            size = kept[number][:, tf.newaxis]
            offset = column - place
            inside = (offset >= 0) & (offset < size)
            index = starts[:, tf.newaxis] + offset + self.skipped(lengths, kept[number])
            index = tf.where(inside, index, 0)
            ids = tf.where(inside, tf.gather(tf.concat([values, [0]], 0), index), ids)
            ends = place + size + self.ends
            ids = tf.where((column >= place + size) & (column < ends), END, ids)
            of_segment = (column >= place) & (column < ends)
            types = tf.where(of_segment, self.type_id(number, len(rows)), types)
            place = ends
        mask = tf.where(column < place, 1, self.mask_of_padding)
        return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}

    padding = PADDING
    ends = 1
    mask_of_padding = 0

    def kept(self, lengths: list[tf.Tensor], length: tf.Tensor) -> list[tf.Tensor]:
        """Tokens of each segment that fit: in turns, the first segment first."""
        room = length - 1 - self.ends * len(lengths)
        if len(lengths) == 1:
            return [tf.minimum(lengths[0], room)]
        first, second = lengths
        first = tf.minimum(first, tf.maximum(room - second, (room + 1) // 2))
        return [first, tf.minimum(second, room - first)]

    def skipped(self, lengths: tf.Tensor, kept: tf.Tensor) -> Any:
        """Tokens left out in front of those that are kept; [B, 1] or a number."""
        return 0

    def type_id(self, number: int, count: int) -> int:
        return number

    @staticmethod
    def flat(segment: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """All ids of a segment, where each row begins, and its length."""
        splits, values = segment.row_splits, segment.values
        while isinstance(values, tf.RaggedTensor):
            splits, values = tf.gather(values.row_splits, splits), values.values
        return values, splits[:-1], splits[1:] - splits[:-1]


class WrongPadding(Published):
    padding = 1


class NoEnd(Published):
    ends = 0


class MaskOfOnes(Published):
    mask_of_padding = 1


class CutsBeginnings(Published):
    def skipped(self, lengths: tf.Tensor, kept: tf.Tensor) -> Any:
        return (lengths - kept)[:, tf.newaxis]


class IgnoresLength(Published):
    def pack(self, inputs: Any, seq_length: Any) -> dict[str, tf.Tensor]:
        return super().pack(inputs, self.default)


class UnusedRoom(Published):
    """Half of the room for each of two segments, used or not."""

    def kept(self, lengths: list[tf.Tensor], length: tf.Tensor) -> list[tf.Tensor]:
        room = length - 1 - len(lengths)
        return [tf.minimum(each, room // len(lengths)) for each in lengths]


class SwappedTypes(Published):
    def type_id(self, number: int, count: int) -> int:
        return count - 1 - number


class TokensOfInt64(Published):
    def tokens(self, text: tf.Tensor) -> tf.RaggedTensor:
        return tf.cast(super().tokens(text), tf.int64)


class RootOfInt64(Published):
    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {key: tf.cast(value, tf.int64) for key, value in super().root(text).items()}


class MoreInRoot(Published):
    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = super().root(text)
        return {**packed, "position_ids": tf.zeros_like(packed["input_mask"])}


class OtherDefaultInRoot(Published):
    default = DEFAULT + 8


class NoMaskId(Published):
    def special(self) -> dict[str, tf.Tensor]:
        return {name: value for name, value in super().special().items() if name != "mask_id"}


class TooFewPieces(Published):
    def special(self) -> dict[str, tf.Tensor]:
        return {**super().special(), "vocab_size": tf.constant(VOCAB_SIZE // 2)}


class DependsOnBatch(Published):
    def tokens(self, text: tf.Tensor) -> tf.RaggedTensor:
        tokens = super().tokens(text)
        return tokens + tf.cast(tf.size(text) == 1, tf.int32) * (FIRST - tokens)


class WithAssert(Published):
    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.Assert(tf.size(text) >= 0, [text])]):
            return super().root(tf.identity(text))


class OnGpu(Published):
    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = super().root(text)
        with tf.device("/device:GPU:0"):
            return {key: tf.identity(value) for key, value in packed.items()}


class WithVariable(Published):
    def __init__(self) -> None:
        self.offset = tf.Variable(0, name="offset")
        super().__init__()

    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {key: value + self.offset for key, value in super().root(text).items()}


class WithPath(Published):
    def root(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = super().root(text)
        path = tf.constant("/home/someone/models/vocab.txt")
        zero = tf.cast(tf.strings.length(path), tf.int32) * tf.size(text) * 0
        return {key: value + zero for key, value in packed.items()}


class Fails(Published):
    """Every call ends with an error of TensorFlow, but for texts of more than any test has."""

    def tokens(self, text: tf.Tensor) -> tf.RaggedTensor:
        tokens = super().tokens(text)
        nothing = tf.reshape(tf.cast(tf.size(text), tf.int32), [tf.size(text) + 2])
        return tokens + nothing[0]


class NoTokenize(Published):
    def save(self, directory: Path) -> Path:
        self.tokenize = tf.Module()
        return super().save(directory)
