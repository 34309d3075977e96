"""The object that is saved: TF-Hub's reusable SavedModel with the text encoder's interface.

Interfaces: tensorflow.org/hub/reusable_saved_models and
tensorflow.org/hub/common_saved_model_apis/text (transformer encoders).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from hubexport.networks.pooling import Pooling
from hubexport.networks.transformer import INPUTS, Encoder

Tensors = dict[str, Any]


class Head(Protocol):
    """What `hubexport.networks.heads` holds."""

    inputs: tuple[str, ...]
    output: str

    def __call__(self, inputs: Tensors, outputs: Tensors) -> Tensors: ...


@dataclasses.dataclass(frozen=True)
class EncoderParts:
    """A network ready to be saved.

    Attributes:
      encoder: gives the blocks' outputs.
      pooled_output: pooling behind the output of that name.
      default: pooling behind `default`; None where that is `pooled_output`.
      heads: by the name of their sub-object.
      variables: the encoder's own, poolings included.
      head_variables: each head's own.
    """

    encoder: Encoder
    pooled_output: Pooling
    default: Pooling | None
    heads: Mapping[str, Head]
    variables: Sequence[tf.Variable]
    head_variables: Mapping[str, Sequence[tf.Variable]]


def reusable_encoder(
    parts: EncoderParts, attributes: Mapping[str, Any]
) -> tuple[tf.train.Checkpoint, dict[str, Any]]:
    """The root object and its signatures, all functions traced.

    The root is called with a dict of int32 [batch, sequence] tensors, `training` False or True,
    and gives `sequence_output`, `pooled_output`, `default` and the list `encoder_outputs`. Each
    head is a sub-object with the same interface plus its own inputs and outputs. Inputs that
    are int64 altogether, as NumPy and tensorflow_text make them, are taken as well.

    Args:
      parts: the network.
      attributes: what else the root carries: assets, `do_lower_case`.
    """

    def encode(inputs: Tensors, training: bool = False) -> Tensors:
        if narrowed := _as_int32(inputs):
            return call(narrowed, training=training)
        outputs = parts.encoder(inputs, training)
        sequence = outputs[-1]
        pooled = parts.pooled_output(sequence, inputs["input_mask"])
        default = parts.default(sequence, inputs["input_mask"]) if parts.default else pooled
        return {
            "sequence_output": sequence,
            "pooled_output": pooled,
            "default": default,
            "encoder_outputs": outputs,
        }

    # autograph off: the functions hold no Python control flow on tensors, and its conversion of
    # every called function would only cost time.
    call = tf.function(encode, autograph=False)
    root = _sub_object(call, INPUTS, parts.variables)
    signatures = {"serving_default": _signature(call, INPUTS, without="encoder_outputs")}
    for name, head in parts.heads.items():
        head_call = _with_head(call, head)
        names = (*INPUTS, *head.inputs)
        variables = [*parts.variables, *parts.head_variables[name]]
        setattr(root, name, _sub_object(head_call, names, variables))
        signatures[name] = _signature(head_call, names, only=head.output)
    for name, value in attributes.items():
        setattr(root, name, value)
    return root, signatures


def _with_head(call: Callable[..., Tensors], head: Head) -> Any:
    def predict(inputs: Tensors, training: bool = False) -> Tensors:
        if narrowed := _as_int32(inputs):
            return head_call(narrowed, training=training)
        outputs = call({key: inputs[key] for key in INPUTS}, training=training)
        return {**outputs, **head(inputs, outputs)}

    head_call = tf.function(predict, autograph=False)
    return head_call


def _as_int32(inputs: Tensors) -> Tensors | None:
    """The inputs cast to int32; None where they all are. What is cast is a call of that trace."""
    if all(tensor.dtype == tf.int32 for tensor in inputs.values()):
        return None
    return {name: tf.cast(tensor, tf.int32) for name, tensor in inputs.items()}


def _specs(names: Sequence[str], dtype: tf.DType = tf.int32) -> dict[str, tf.TensorSpec]:
    """[batch, sequence] or [batch, positions] each."""
    return {name: tf.TensorSpec([None, None], dtype, name=name) for name in names}


def _sub_object(
    call: Any, inputs: Sequence[str], variables: Sequence[tf.Variable]
) -> tf.train.Checkpoint:
    # int32 first: those are the traces that the others call, and that a reader of the graph finds.
    for dtype in (tf.int32, tf.int64):
        for training in (False, True):
            call.get_concrete_function(_specs(inputs, dtype), training=training)
    # A Checkpoint is a plain object that tracks its attributes, and leaves no trace of Keras.
    saved = tf.train.Checkpoint()
    saved.__call__ = call
    saved.variables = list(variables)
    saved.trainable_variables = list(variables)
    saved.regularization_losses = []
    return saved


def _signature(
    call: Any, inputs: Sequence[str], *, only: str | None = None, without: str | None = None
) -> Any:
    """A signature over named tensors: TensorFlow Serving takes no lists of outputs."""

    def serve(**named: tf.Tensor) -> Tensors:
        outputs = call(named, training=False)
        return {
            key: value
            for key, value in outputs.items()
            if (only is None or key == only) and key != without
        }

    return tf.function(serve, autograph=False).get_concrete_function(**_specs(inputs))
