"""Anybody's text preprocessor as the gates call it: Python lists in, numpy arrays out.

Nothing is taken for granted of what it gives: an object that is missing, an error of TensorFlow and
a value of another form all become an `ArtifactError`, which a gate turns into a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from hubexport.errors import some_of
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.context import Context
from hubexport.validation.results import Measurement, in_a_line

Result = TypeVar("Result")

Packed = dict[str, np.ndarray]
"""The three encoder inputs, each [B, S]."""

Ids = Sequence[Sequence[int]]
"""A segment: the ids of each text of the batch."""

SPECIAL_TOKENS = (
    "vocab_size",
    "padding_id",
    "start_of_sequence_id",
    "end_of_segment_id",
    "mask_id",
)
_LONGEST = 300


class ArtifactError(Exception):
    """What an artifact did wrong, in a line."""


def attempt(function: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
    """Calls something that belongs to an artifact, on the CPU, where strings live.

    Raises:
      ArtifactError: it raised anything at all.
    """
    import tensorflow as tf

    try:
        with tf.device("/device:CPU:0"):
            return function(*arguments, **keywords)
    except ArtifactError:
        raise
    except Exception as error:  # whatever TensorFlow and the graph say
        raise ArtifactError(in_a_line(error)) from error


def check(what: str, look: Callable[[], str], should: str | None = None) -> Measurement:
    """A measurement of what `look` finds wrong: "" for nothing, or an ArtifactError."""
    try:
        found = look()
    except ArtifactError as error:
        found = str(error)
    return Measurement(what, not found, found or None, should)


class TextPreprocessor:
    """A loaded preprocessor.

    Attributes:
      loaded: what `tf.saved_model.load` gave.
    """

    def __init__(self, context: Context):
        """Raises ArtifactError if it cannot be loaded."""
        self.loaded = attempt(lambda: context.loaded_preprocessor)

    def root(self, texts: Sequence[str | bytes]) -> Packed:
        """The root on texts, [B, default length]."""
        return as_packed(attempt(self.loaded, strings(texts)))

    def ragged(self, texts: Sequence[str | bytes]) -> Any:
        """`.tokenize` on texts, a RaggedTensor."""
        import tensorflow as tf

        tokens = attempt(self.part("tokenize"), strings(texts))
        if not isinstance(tokens, tf.RaggedTensor):
            raise ArtifactError(f"tokenize gives a {type(tokens).__name__}, no RaggedTensor")
        return tokens

    def tokens(self, texts: Sequence[str | bytes]) -> list[list[int]]:
        """`.tokenize` on texts, words joined."""
        rows = flat_rows(self.ragged(texts))
        if len(rows) != len(texts):
            raise ArtifactError(f"tokenize gives {len(rows)} rows for {len(texts)} texts")
        return rows

    def pack(self, segments: Sequence[Ids], seq_length: int) -> Packed:
        """`.bert_pack_inputs` on ids, [B, seq_length]."""
        tensors = [as_ragged(segment) for segment in segments]
        return as_packed(attempt(self.part("bert_pack_inputs"), tensors, seq_length=seq_length))

    def special_tokens(self) -> dict[str, int]:
        """`.tokenize.get_special_tokens_dict()` as numbers."""
        found = attempt(lambda: self.part("tokenize").get_special_tokens_dict())
        if not isinstance(found, Mapping):
            raise ArtifactError(f"get_special_tokens_dict gives a {type(found).__name__}, no dict")
        return {str(name): attempt(int, value) for name, value in found.items()}

    def part(self, name: str) -> Any:
        """A sub-object that can be called.

        Raises:
          ArtifactError: there is none.
        """
        found = getattr(self.loaded, name, None)
        if not callable(found):
            raise ArtifactError(f"there is no .{name} that can be called")
        return found


def strings(texts: Sequence[str | bytes]) -> Any:
    """A string tensor [B]; texts become UTF-8."""
    import tensorflow as tf

    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    return tf.constant(encoded, tf.string, shape=[len(encoded)])


def as_packed(value: Any) -> Packed:
    """The three encoder inputs in what an artifact gave, of whatever dtype and sizes.

    Raises:
      ArtifactError: it is not a dict, lacks one of them, or one does not have two dimensions.
    """
    if not isinstance(value, Mapping):
        raise ArtifactError(f"gives a {type(value).__name__}, no dict")
    if missing := [name for name in ENCODER_INPUTS if name not in value]:
        raise ArtifactError(f"gives {', '.join(sorted(value))}; missing: {', '.join(missing)}")
    packed = {name: attempt(lambda each=value[name]: each.numpy()) for name in ENCODER_INPUTS}
    if wrong := [f"{name}: {list(each.shape)}" for name, each in packed.items() if each.ndim != 2]:
        raise ArtifactError("; ".join(wrong))
    return packed


def as_ragged(rows: Ids, words: bool = False) -> Any:
    """int32 [batch, (pieces)], or with `words` [batch, (words), (pieces)] of a piece to a word."""
    import tensorflow as tf

    splits = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    values = np.array([each for row in rows for each in row], np.int32)
    nested = [splits, np.arange(len(values) + 1, dtype=np.int64)] if words else [splits]
    return tf.RaggedTensor.from_nested_row_splits(values, nested)


def flat_rows(tokens: Any) -> list[list[int]]:
    """The ids of each text; words are joined.

    Raises:
      ArtifactError: the RaggedTensor is not of ragged rank 1 or 2 with scalars in it.
    """
    while tokens.ragged_rank > 1:
        tokens = tokens.merge_dims(1, 2)
    if tokens.ragged_rank != 1 or tokens.values.shape.rank != 1:
        raise ArtifactError(f"tokens have the shape {tokens.shape}")
    rows: list[list[int]] = tokens.to_list()
    return rows


def different_rows(a: Packed, b: Packed) -> np.ndarray:
    """bool [B]: whether any of the three inputs differs; True throughout for other shapes."""
    rows = len(b["input_word_ids"])
    different = np.zeros(rows, bool)
    for name in ENCODER_INPUTS:
        if a[name].shape != b[name].shape:
            return np.ones(rows, bool)
        different |= (a[name] != b[name]).reshape(rows, -1).any(axis=1)
    return different


def form_of_packed(packed: Packed, rows: int, length: int | None) -> str:
    """What is wrong with the dtypes, shapes and mask of three encoder inputs; "" for nothing."""
    dtypes = [f"{n}: {v.dtype}" for n, v in packed.items() if v.dtype != np.int32]
    if wrong := "; ".join([*dtypes, *filter(None, [shape_of_packed(packed, rows, length)])]):
        return wrong
    mask = packed["input_mask"]
    return "" if np.isin(mask, (0, 1)).all() else f"a mask of {some_of(map(str, np.unique(mask)))}"


def shape_of_packed(packed: Packed, rows: int, length: int | None) -> str:
    """What is wrong with the shapes; "" if all are [rows, length], or one length where None."""
    if length is None and packed["input_word_ids"].ndim == 2:
        length = packed["input_word_ids"].shape[1]
    wrong = [f"{n}: {list(v.shape)}" for n, v in packed.items() if v.shape != (rows, length)]
    return "; ".join(wrong)


def pack_examples(
    preprocessor: TextPreprocessor, examples: Sequence[Sequence[Sequence[int]]], seq_length: int
) -> Packed:
    """`TextPreprocessor.pack` of examples, each the ids of its segments, all of one number."""
    return preprocessor.pack(list(zip(*examples, strict=True)), seq_length)
