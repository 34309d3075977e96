"""What tasks make of an encoder and a preprocessor."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

# Internal: see hubexport.saved_model.reusable.
from tensorflow.python.eager.polymorphic_function.saved_model_utils import TrackableConstant

from hubexport.pipelines.packing import Packing
from hubexport.tokenizers.graph.ragged import without_words

Tensors = Mapping[str, tf.Tensor]

TEXT, TEXT_PAIR = "text", "text_pair"
QUESTION, CONTEXT = "question", "context"
"""Names of inputs, as transformers has them."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows that are computed at once.

    Attributes:
      inputs: the encoder's, int32 [b, S].
      lengths: how many tokens of each segment are in them, int32 [b] each; before any are cut.
      training: whether dropout is active.
    """

    inputs: Tensors
    lengths: Sequence[tf.Tensor]
    training: bool


class Rows(abc.ABC):
    """How texts become rows of the encoder, where that is not one each, cut at its end.

    Made for each call.
    """

    segments: Sequence[tf.RaggedTensor]
    """Ids [R, (tokens)] of each segment of the rows, which fit."""

    @abc.abstractmethod
    def answers(self, of_rows: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What the rows' outputs, [R, ...], mean for the texts: outputs [B, ...]."""


@dataclasses.dataclass(frozen=True)
class Function:
    """One thing that a pipeline can be asked.

    Attributes:
      texts: names of its inputs, string [B] each.
      outputs: name -> dtype and shape of a row's; of as many as it has where it is ragged.
      answer: of rows -> outputs [b, ...], or RaggedTensors [b, (n), ...].
      prompt: what is put in front of each text.
      rows: texts [B] each -> their rows; None for a row of each.
    """

    texts: tuple[str, ...]
    outputs: Mapping[str, tf.TensorSpec | tf.RaggedTensorSpec]
    answer: Callable[[Batch], Tensors]
    prompt: str = ""
    rows: Callable[[Sequence[tf.Tensor]], Rows] | None = None


@dataclasses.dataclass(frozen=True)
class Parts:
    """An encoder and a preprocessor, as they are when loaded.

    Attributes:
      tokenizer: its part of the preprocessor's record.
      max_seq_length: tokens, special ones included, of a row.
    """

    encoder: Any
    preprocessor: Any
    tokenizer: Mapping[str, Any]
    max_seq_length: int

    @property
    def packing(self) -> Packing:
        """How special tokens and texts are arranged."""
        return Packing.of_record(self.tokenizer)

    @property
    def special_ids(self) -> dict[str, int]:
        """Of pieces that stand for no text, by their standard names."""
        return {name: token["id"] for name, token in self.tokenizer["special_tokens"].items()}

    def room(self, segments: int) -> int:
        """How many tokens of so many texts a row has place for."""
        return self.max_seq_length - self.packing.specials(segments)

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Text [B] -> ids int32 [B, (tokens)]."""
        ids: tf.RaggedTensor = without_words(self.preprocessor.tokenize(text))
        return ids

    def of_segment(self, values: tf.Tensor, batch: Batch, index: int) -> tf.RaggedTensor:
        """Of values [b, S, ...] those of a segment's tokens, [b, (tokens), ...]."""
        shape = tf.shape(values)
        starts = tf.add_n([tf.zeros_like(batch.lengths[0]), *batch.lengths[:index]])
        starts += self.packing.before(len(batch.lengths), index)
        if self.packing.padding_side == "left":
            starts += shape[1] - tf.reduce_sum(batch.inputs["input_mask"], axis=1)
        starts += tf.range(shape[0]) * shape[1]
        places = tf.raw_ops.RaggedRange(
            starts=starts, limits=starts + batch.lengths[index], deltas=1, Tsplits=tf.int64
        )
        flat = tf.reshape(values, tf.concat([[-1], shape[2:]], axis=0))
        return tf.RaggedTensor.from_row_splits(
            tf.gather(flat, places.rt_dense_values), places.rt_nested_splits, validate=False
        )

    def length_of_prompt(self, prompt: str) -> int:
        """How many tokens come before those of the text itself, as sentence-transformers counts.

        Those of the prompt packed alone, less a special one at the end.
        """
        packed = self.preprocessor.bert_pack_inputs([self.preprocessor.tokenize([prompt])])
        ids = packed["input_word_ids"].numpy()[packed["input_mask"].numpy() > 0]
        return len(ids) - int(ids[-1] in self.special_ids.values()) if len(ids) else 0

    def encode(self, batch: Batch) -> Tensors:
        """The encoder's outputs.

        For inference by its signature: that is the encoder for servers, without a choice by
        device, and has fewer outputs.
        """
        if batch.training:
            outputs: Tensors = self.encoder(dict(batch.inputs), training=True)
        else:
            outputs = self.encoder.signatures["serving_default"](**batch.inputs)
        return outputs

    def predict(self, head: str, batch: Batch, **inputs: tf.Tensor) -> Tensors:
        """A head's outputs, of what it takes beside the encoder's inputs."""
        inputs = {**batch.inputs, **inputs}
        if batch.training:
            outputs: Tensors = getattr(self.encoder, head)(inputs, training=True)
        else:
            outputs = self.encoder.signatures[head](**inputs)
        return outputs


@dataclasses.dataclass(frozen=True)
class Built:
    """A task's functions.

    Attributes:
      functions: by name; the first is what the pipeline itself is called for.
      variables: what they are trained by: the encoder's, a head's, and own ones.
      attributes: what else the root carries.
    """

    functions: Mapping[str, Function]
    variables: Sequence[tf.Variable]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def constant(values: Sequence[str]) -> TrackableConstant:
    """Strings as an attribute that a SavedModel keeps, and is a tensor when loaded."""
    return TrackableConstant(tf.constant(values), None)
