"""What tasks make of an encoder and a preprocessor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

# Internal: see hubexport.saved_model.reusable.
from tensorflow.python.eager.polymorphic_function.saved_model_utils import TrackableConstant

Tensors = Mapping[str, tf.Tensor]

TEXT, TEXT_PAIR = "text", "text_pair"
"""Names of inputs, as transformers has them."""


@dataclasses.dataclass(frozen=True)
class Function:
    """One thing that a pipeline can be asked.

    Attributes:
      texts: names of its inputs, string [B] each.
      outputs: name -> dtype and shape of a text's.
      answer: (the encoder's inputs int32 [B, S], whether dropout is active) -> outputs [B, ...].
      prompt: what is put in front of each text.
    """

    texts: tuple[str, ...]
    outputs: Mapping[str, tf.TensorSpec]
    answer: Callable[[Tensors, bool], Tensors]
    prompt: str = ""


@dataclasses.dataclass(frozen=True)
class Parts:
    """An encoder and a preprocessor, as they are when loaded.

    Attributes:
      specials: number of texts -> how many special tokens are packed with them.
      special_ids: ids that stand for no text.
    """

    encoder: Any
    preprocessor: Any
    specials: Mapping[int, int]
    special_ids: frozenset[int]

    def length_of_prompt(self, prompt: str) -> int:
        """How many tokens come before those of the text itself, as sentence-transformers counts.

        Those of the prompt packed alone, less a special one at the end.
        """
        packed = self.preprocessor.bert_pack_inputs([self.preprocessor.tokenize([prompt])])
        ids = packed["input_word_ids"].numpy()[packed["input_mask"].numpy() > 0]
        return len(ids) - int(ids[-1] in self.special_ids) if len(ids) else 0

    def encode(self, inputs: Tensors, training: bool) -> Tensors:
        """The encoder's outputs.

        For inference by its signature: that is the encoder for servers, without a choice by
        device, and has fewer outputs.
        """
        if training:
            outputs: Tensors = self.encoder(dict(inputs), training=True)
        else:
            outputs = self.encoder.signatures["serving_default"](**inputs)
        return outputs

    def predict(self, head: str, inputs: Tensors, training: bool) -> Tensors:
        """A head's outputs."""
        if training:
            outputs: Tensors = getattr(self.encoder, head)(dict(inputs), training=True)
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
