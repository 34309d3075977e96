"""The preprocessor SavedModel's objects: text in, encoder inputs out.

Interface: tensorflow.org/hub/common_saved_model_apis/text, on top of
tensorflow.org/hub/reusable_saved_models:

    preprocessor(text)                                  the three encoder inputs, default length
    preprocessor.tokenize(text)                         ragged ids
    preprocessor.tokenize.get_special_tokens_dict()     scalar ids and the vocabulary's size
    preprocessor.bert_pack_inputs([segment, ...], seq_length=...)
    preprocessor.tokenize_with_offsets(text)            optional
    preprocessor.words_with_offsets(text)               with it, where `tokenize` knows no words
    preprocessor.detokenize(ids)                        optional

Texts are string [batch]; [] stands for a batch of one and [batch, 1] for [batch]. Results have the
batch size of their texts also where that is known only to the graph that calls: the shapes of XLA
and TPU programs depend on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from hubexport.tokenizers.definition import PackingTemplate
from hubexport.tokenizers.graph.packing import pack_rows, rows_of, with_shape

_TEXT = tf.TensorSpec([None], tf.string, name="text")
OTHER_TEXTS = tuple(tf.TensorSpec(shape, tf.string, name="text") for shape in ([], [None, 1]))
"""What else texts come as: one alone, and a column of features, as Keras' Input(shape=(1,)) has
it."""

_RAGGED = tuple(tf.RaggedTensorSpec([None] * (rank + 1), tf.int32, rank) for rank in (1, 2))


class _Reusable(tf.Module):
    """What hub.KerasLayer asks of a callable: its variables and losses, of which there are none.

    tf.Module has properties of these names, which a SavedModel does not store.
    """

    variables: Any = None
    trainable_variables: Any = None

    def __init__(self, call: Callable[..., Any], **function_options: Any):
        """Makes `call` the object's `__call__`, as a tf.function, here and in the SavedModel."""
        super().__init__()
        self.variables = []
        self.trainable_variables = []
        self.regularization_losses: list[Callable[[], tf.Tensor]] = []
        # The instance's attribute is what gets saved, with the argument names and defaults of
        # `call`; a method of the class could not have the default of this very instance.
        self.__call__ = tf.function(  # type: ignore[method-assign]
            call, autograph=False, **function_options
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)["__call__"](*args, **kwargs)

    def trace(self, *specs: Any) -> None:
        """Adds a trace of `__call__` for each of these arguments."""
        for spec in specs:
            vars(self)["__call__"].get_concrete_function(spec)


class SpecialTokens(_Reusable):
    """`get_special_tokens_dict`: () -> {name: int32 scalar}."""

    def __init__(self, ids: Mapping[str, int]):
        super().__init__(
            lambda: {name: tf.constant(value, tf.int32) for name, value in ids.items()},
            input_signature=[],
        )


class _OfTexts(_Reusable):
    """Called with text: [batch], or [] for a batch of one, or [batch, 1] for [batch]."""

    def __init__(self, call: Callable[[tf.Tensor], Any]):
        """Args:
        call: takes string [batch].
        """
        of_batch = tf.function(call, input_signature=[_TEXT], autograph=False)
        super().__init__(lambda text: of_batch(as_batch(text)))
        self.trace(_TEXT, *OTHER_TEXTS)


class Tokenize(_OfTexts):
    """`tokenize` or `tokenize_with_offsets`: text [batch] -> RaggedTensor(s)."""

    def __init__(
        self, tokenizer: Any, call: Callable[[tf.Tensor], Any], special_tokens: SpecialTokens
    ):
        super().__init__(lambda text: _with_batch_size(call(text), text))
        # Tracked here and not by the root alone: the sub-object can become a part of another
        # model by itself, for example in a hub.KerasLayer, and must then bring its tables along.
        self._tokenizer = tokenizer
        self.get_special_tokens_dict = special_tokens


class Detokenize(_Reusable):
    """`detokenize`: int32 ids [batch, (pieces)] or [batch, (words), (pieces)] -> text [batch]."""

    def __init__(self, tokenizer: Any):
        def detokenize(ids: tf.RaggedTensor) -> tf.Tensor:
            if ids.ragged_rank > 1:
                splits = tf.gather(ids.values.row_splits, ids.row_splits)
                ids = tf.RaggedTensor.from_row_splits(ids.flat_values, splits, validate=False)
            return tokenizer.detokenize(ids)

        super().__init__(detokenize)
        self._tokenizer = tokenizer
        self.trace(*_RAGGED)


class BertPackInputs(_Reusable):
    """`bert_pack_inputs`: ([segment, ...], seq_length=default) -> encoder inputs.

    Traced for 1 or 2 int32 segments of ragged rank 1 or 2 in any mix, with any scalar length
    (outputs of shape [None, None]) and with the default one (shape [None, default_seq_length]).
    """

    def __init__(self, default_seq_length: int, template: PackingTemplate, truncation: str):
        # One inner function for each number of segments, which all traces call: a graph takes its
        # time to load.
        inner = {count: self._inner(count, template, truncation) for count in (1, 2)}

        def pack(
            inputs: Sequence[tf.RaggedTensor], seq_length: int | tf.Tensor = default_seq_length
        ) -> dict[str, tf.Tensor]:
            if len(inputs) not in inner:
                raise ValueError(f"bert_pack_inputs takes 1 or 2 segments, not {len(inputs)}.")
            rows = [rows_of(segment) for segment in inputs]
            tensors = [tensor for row in rows for tensor in row]
            packed = inner[len(inputs)](*tensors, tf.cast(seq_length, tf.int64))
            _, starts, _ = rows[0]
            return with_shape(packed, starts, seq_length)

        super().__init__(pack)
        function = vars(self)["__call__"]
        for count in (1, 2):
            for segments in itertools.product(_RAGGED, repeat=count):
                for seq_length in (default_seq_length, tf.TensorSpec([], tf.int32)):
                    function.get_concrete_function(list(segments), seq_length=seq_length)

    @staticmethod
    def _inner(count: int, template: PackingTemplate, truncation: str) -> Any:
        def pack(*arguments: tf.Tensor) -> dict[str, tf.Tensor]:
            *rows, seq_length = arguments
            segments = [tuple(rows[i : i + 3]) for i in range(0, len(rows), 3)]
            return pack_rows(segments, seq_length, template, truncation)

        row = [tf.TensorSpec([None], dtype) for dtype in (tf.int32, tf.int64, tf.int64)]
        signature = [*row * count, tf.TensorSpec([], tf.int64)]
        return tf.function(pack, input_signature=signature, autograph=False)


class Preprocessor(_OfTexts):
    """The root: text [batch] -> encoder inputs int32 [batch, default_seq_length]."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        special_tokens: Mapping[str, int],
        packing: PackingTemplate,
        truncation: str = "round_robin",
        default_seq_length: int,
        tokenize_with_offsets: bool = False,
        words_with_offsets: bool = False,
        detokenizer: Any = None,
        assets: Mapping[str, Path] | None = None,
    ):
        """Args:
        tokenizer: has `tokenize`, and `tokenize_with_offsets` if that is asked for.
        special_tokens: the entries of `get_special_tokens_dict`.
        packing: the order of texts and special tokens.
        truncation: see `hubexport.tokenizers.graph.packing.TRUNCATIONS`.
        default_seq_length: of the root, and of `bert_pack_inputs` unless told otherwise.
        tokenize_with_offsets, words_with_offsets: whether there are such sub-objects.
        detokenizer: has `detokenize`; None for no such sub-object.
        assets: attribute of `.tokenize` -> file that is shipped for information under that
          name; nothing reads it.
        """
        special = SpecialTokens(special_tokens)
        pack = BertPackInputs(default_seq_length, packing, truncation)
        pieces = tf.function(
            getattr(tokenizer, "pieces", tokenizer.tokenize),
            input_signature=[_TEXT],
            autograph=False,
        )
        group = getattr(tokenizer, "group", lambda ids: ids)

        def preprocess(text: tf.Tensor) -> dict[str, tf.Tensor]:
            packed: dict[str, tf.Tensor] = pack([_with_batch_size(pieces(text), text)])
            return packed

        super().__init__(preprocess)
        self._tokenizer = tokenizer
        self.tokenize = Tokenize(tokenizer, lambda text: group(pieces(text)), special)
        for name, path in (assets or {}).items():
            setattr(self.tokenize, name, tf.saved_model.Asset(str(path)))
        if tokenize_with_offsets:
            self.tokenize_with_offsets = Tokenize(
                tokenizer, tokenizer.tokenize_with_offsets, special
            )
        if words_with_offsets:
            self.words_with_offsets = Tokenize(tokenizer, tokenizer.words_with_offsets, special)
        if detokenizer is not None:
            self.detokenize = Detokenize(detokenizer)
        self.bert_pack_inputs = pack

    def signatures(self) -> dict[str, Any]:
        """What `tf.saved_model.save` takes; the text input is called `text`."""
        return {"serving_default": vars(self)["__call__"].get_concrete_function(_TEXT)}


def as_batch(text: tf.Tensor) -> tf.Tensor:
    """string [], [batch] or [batch, 1] -> [batch]. Of other shapes, the reshape fails when it runs.

    A graph may promise texts [batch] and be fed others: nothing checks what a signature is given.
    TensorFlow's optimizer believes the promise and removes a reshape from one axis to one axis;
    it keeps a reshape to two axes, and the slice of a column.
    """
    size = tf.concat([tf.shape(text), [1]], axis=0)[:1]  # [1]
    return tf.reshape(text, tf.concat([size, [1]], axis=0))[:, 0]


def _with_batch_size(tokens: Any, text: tf.Tensor) -> Any:
    """RaggedTensor(s) [batch, ...] of text [batch], with a static batch size where text has one.

    The ops that split text forget how many rows they give.
    """
    if isinstance(tokens, tuple):
        return tuple(_with_batch_size(each, text) for each in tokens)
    splits = tf.reshape(tokens.row_splits, tf.shape(text, tf.int64) + 1)
    return tf.RaggedTensor.from_row_splits(tokens.values, splits, validate=False)
