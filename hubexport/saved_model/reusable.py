"""The object that is saved: TF-Hub's reusable SavedModel with the text encoder's interface.

Interfaces: tensorflow.org/hub/reusable_saved_models and
tensorflow.org/hub/common_saved_model_apis/text (transformer encoders).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

# Internal: what TensorFlow keeps captured constants as. Saved as an attribute, a constant is a
# tensor again when loaded; a variable of strings would have to be trained, placed and initialized.
from tensorflow.python.eager.polymorphic_function.saved_model_utils import TrackableConstant

from hubexport.families.heads import (
    ENCODER_LEAD,
    FLOATS,
    Axes,
    Function,
    Interface,
    OptionalInput,
)
from hubexport.networks.place import Network
from hubexport.networks.pooling import Pooling
from hubexport.networks.transformer import INPUTS, Encoded, Encoder

Tensors = dict[str, Any]


class Encode(Protocol):
    """As `Encoder`."""

    def __call__(self, inputs: Tensors, training: bool, *, portable: bool = False) -> Encoded: ...


@dataclasses.dataclass(frozen=True)
class HeadParts:
    """A head ready to be saved.

    Attributes:
      interface: what it is called with and gives.
      network: gives its outputs.
      variables: its own.
      encoder: runs the encoder in the head's way, given all inputs; None for the root's.
    """

    interface: Interface
    network: Network
    variables: Sequence[tf.Variable]
    encoder: Encode | None


@dataclasses.dataclass(frozen=True)
class EncoderParts:
    """A network ready to be saved.

    Attributes:
      encoder: gives the blocks' outputs.
      pooled_output: pooling behind the output of that name.
      default: pooling behind `default`; None where that is `pooled_output`.
      heads: by the name of their sub-object.
      variables: the encoder's own, poolings included.
      optional: inputs that it can do without.
    """

    encoder: Encoder
    pooled_output: Pooling
    default: Pooling | None
    heads: Mapping[str, HeadParts]
    variables: Sequence[tf.Variable]
    optional: Mapping[str, OptionalInput]


def reusable_encoder(
    parts: EncoderParts, attributes: Mapping[str, Any]
) -> tuple[tf.train.Checkpoint, dict[str, Any]]:
    """The root object and its signatures, all functions traced.

    The root is called with a dict of int32 [batch, sequence] tensors, `training` False or True,
    and gives `sequence_output`, `pooled_output`, `default` and the list `encoder_outputs`. Each
    head is a sub-object with the same interface plus its own inputs and outputs, and may have
    functions beside it. Inputs that are int64 altogether, as NumPy and tensorflow_text make them,
    are taken as well, but by functions.

    Args:
      parts: the network.
      attributes: what else the root carries: assets, `do_lower_case`.
    """
    call = _encoding(parts, parts.encoder)
    # TensorFlow Serving and converters take signatures.
    chooses = parts.encoder.layout.chooses
    served = _encoding(parts, parts.encoder, portable=True) if chooses else call
    axes = dict.fromkeys(INPUTS, ENCODER_LEAD)
    root = _sub_object(call, axes, parts.variables, _optional(parts, ENCODER_LEAD))
    signatures = {"serving_default": _signature(served, axes, without="encoder_outputs")}
    for name, head in parts.heads.items():
        interface = head.interface
        head_call = _with_head(call, parts, head)
        axes = {**dict.fromkeys(INPUTS, interface.lead), **interface.inputs}
        optional = _optional(parts, interface.lead)
        part = _sub_object(head_call, axes, [*parts.variables, *head.variables], optional)
        for function_name, function in interface.functions.items():
            traced = _function(call, head.network, function_name, function, parts.optional)
            setattr(part, function_name, traced)
        if interface.labels:
            part.labels = TrackableConstant(tf.constant(interface.labels), None)
        setattr(root, name, part)
        head_served = head_call if not chooses else _with_head(served, parts, head, portable=True)
        signatures[name] = _signature(head_served, axes, only=interface.outputs)
    for name, value in attributes.items():
        setattr(root, name, value)
    return root, signatures


def _optional(parts: EncoderParts, lead: Axes) -> dict[str, Axes]:
    return {name: each.of_lead(lead) for name, each in parts.optional.items()}


def _encoding(parts: EncoderParts, encoder: Encode, *, portable: bool = False) -> Any:
    """An encoder and the poolings as a function; `portable` as of `Encoder`."""

    def encode(inputs: Tensors, training: bool = False) -> Tensors:
        if narrowed := _as_int32(inputs):
            outputs: Tensors = call(narrowed, training=training)
            return outputs
        layers, others = encoder(inputs, training, portable=portable)
        sequence = layers[-1]
        pooled = parts.pooled_output(sequence, inputs["input_mask"])
        default = parts.default(sequence, inputs["input_mask"]) if parts.default else pooled
        return {
            "sequence_output": sequence,
            "pooled_output": pooled,
            "default": default,
            "encoder_outputs": layers,
            **others,
        }

    # autograph off: the functions hold no Python control flow on tensors, and its conversion of
    # every called function would only cost time.
    call = tf.function(encode, autograph=False)
    return call


def _with_head(
    call: Callable[..., Tensors], parts: EncoderParts, head: HeadParts, *, portable: bool = False
) -> Any:
    """A head as a function, on the root's call, or on an encoder of its own."""
    of_choices = head.interface.lead != ENCODER_LEAD
    encoders = (*INPUTS, *parts.optional)
    if head.encoder is not None:
        call = _encoding(parts, head.encoder, portable=portable)
        encoders += tuple(head.interface.inputs)
    given = {
        *("sequence_output", "pooled_output", "default", "encoder_outputs"),
        *(name for each in parts.optional.values() for name in each.outputs),
    }

    def predict(inputs: Tensors, training: bool = False) -> Tensors:
        if narrowed := _as_int32(inputs):
            of_head: Tensors = head_call(narrowed, training=training)
            return of_head
        if of_choices:  # each a row of its own to the encoder
            lead = tf.shape(inputs[INPUTS[0]])[:-1]  # [B, C]
            inputs = {name: _rows(value) for name, value in inputs.items()}
        taken = {key: inputs[key] for key in encoders if key in inputs}
        outputs = call(taken, training=training)
        own = head.network(inputs, outputs)
        outputs = {key: value for key, value in outputs.items() if key in given}
        if of_choices:
            outputs = tf.nest.map_structure(lambda value: _choices(value, lead), outputs)
            axes = head.interface.outputs.values()
            own = tuple(
                tf.reshape(value, tf.concat([lead, tf.shape(value)[1 : len(each) - 1]], axis=0))
                for value, each in zip(own, axes, strict=True)
            )
        return {**outputs, **dict(zip(head.interface.outputs, own, strict=True))}

    head_call = tf.function(predict, autograph=False)
    return head_call


def _function(
    call: Callable[..., Tensors],
    network: Any,
    name: str,
    interface: Function,
    optional: Mapping[str, OptionalInput],
) -> Any:
    """A function beside a head's call, traced: with the encoder's inputs, the optional ones
    included, and what the encoder gives for them, or with inputs of its own, in the place of which
    the network may have others.

    Of int32 only: each trace takes every variable, which for a network of 48 layers is 30 MiB.
    """
    asked = getattr(network, name)
    axes = interface.inputs or dict.fromkeys(INPUTS, ENCODER_LEAD)

    def ask(inputs: Tensors) -> Tensors:
        if inputs.keys() < axes.keys():  # a call of the one trace, whose graph is large
            answers: Tensors = answer({**inputs, **network.instead(inputs)})
            return answers
        outputs = None if interface.inputs else call(inputs, training=False)
        return dict(zip(interface.outputs, asked(inputs, outputs), strict=True))

    answer = tf.function(ask, autograph=False)
    few = {name: each for name, each in axes.items() if name not in interface.optional}
    takes = [axes, few] if interface.optional else [axes]
    if not interface.inputs:
        takes += [{**axes, n: each.axes} for n, each in optional.items() if each.of_functions]
    for given in takes:
        answer.get_concrete_function(_specs(given))
    return answer


def _rows(value: tf.Tensor) -> tf.Tensor:
    """[B, C, ...] -> [B * C, ...]."""
    shape = tf.shape(value)
    return tf.reshape(value, tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0))


def _choices(value: tf.Tensor, lead: tf.Tensor) -> tf.Tensor:
    """[B * C, ...] -> [B, C, ...]."""
    return tf.reshape(value, tf.concat([lead, tf.shape(value)[1:]], axis=0))


def _as_int32(inputs: Tensors) -> Tensors | None:
    """The inputs with all integers as int32; None where they are. What is cast is a call of that
    trace."""
    if all(name in FLOATS or tensor.dtype == tf.int32 for name, tensor in inputs.items()):
        return None
    return {n: t if n in FLOATS else tf.cast(t, tf.int32) for n, t in inputs.items()}


def _specs(inputs: Mapping[str, Axes], dtype: tf.DType = tf.int32) -> dict[str, tf.TensorSpec]:
    """Each input with its rank; every size that is not a number may vary."""
    return {
        name: tf.TensorSpec(
            [axis if isinstance(axis, int) else None for axis in axes],
            tf.float32 if name in FLOATS else dtype,
            name=name,
        )
        for name, axes in inputs.items()
    }


def _sub_object(
    call: Any,
    inputs: Mapping[str, Axes],
    variables: Sequence[tf.Variable],
    optional: Mapping[str, Axes],
) -> tf.train.Checkpoint:
    """An object that is called with the inputs, and with one of the optional ones or none."""
    takes = [inputs, *({**inputs, name: axes} for name, axes in optional.items())]
    # int32 first: those are the traces that the others call, and that a reader of the graph finds.
    for dtype in (tf.int32, tf.int64):
        for taken in takes:
            for training in (False, True):
                call.get_concrete_function(_specs(taken, dtype), training=training)
    # A Checkpoint is a plain object that tracks its attributes, and leaves no trace of Keras.
    saved = tf.train.Checkpoint()
    saved.__call__ = call
    saved.variables = list(variables)
    saved.trainable_variables = list(variables)
    saved.regularization_losses = []
    return saved


def _signature(
    call: Any,
    inputs: Mapping[str, Axes],
    *,
    only: Collection[str] | None = None,
    without: str | None = None,
) -> Any:
    """A signature over named tensors: TensorFlow Serving takes no lists of outputs."""

    def serve(**named: tf.Tensor) -> Tensors:
        outputs = call(named, training=False)
        return {
            key: value
            for key, value in outputs.items()
            if (only is None or key in only) and key != without
        }

    return tf.function(serve, autograph=False).get_concrete_function(**_specs(inputs))
