"""Gradients of a SavedModel's variables as a step that XLA compiles can use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# Internal: nothing else tells.
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext


def is_compiled() -> bool:
    """Whether what is traced now is for XLA, and for one device: the gradients of variables that
    have a copy on each device are TensorFlow's own affair."""
    graph = tf.compat.v1.get_default_graph()
    one = tf.distribute.get_strategy().num_replicas_in_sync == 1
    return one and bool(GraphOrParentsInXlaContext(graph))


def differentiated(function: Callable[[Any], Any], inputs: Any) -> Any:
    """A SavedModel's outputs, where gradients of its tables have shapes that XLA knows.

    Keras' optimizers make dense what is `tf.IndexedSlices`. The size comes from the SavedModel, and
    for XLA to know it when it compiles, all that the SavedModel is given has to be constant, its
    variables included: each step would be compiled anew.
    """

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> Any:
        floats = [tensor for tensor in flat if tensor.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(floats)
            outputs = function(tf.nest.pack_sequence_as(inputs, flat))
        found = tf.nest.flatten(outputs)
        structures.append(outputs)

        def gradient(*given: tf.Tensor, variables: Sequence[tf.Variable] = ()) -> Any:
            each = iter(tape.gradient(found, [*floats, *variables], output_gradients=given))
            of_inputs = [next(each) if tensor.dtype.is_floating else None for tensor in flat]
            of_variables = [_sized(*pair) for pair in zip(each, variables, strict=True)]
            return of_inputs, of_variables

        return found, gradient

    structures: list[Any] = []
    flat_outputs = run(*tf.nest.flatten(inputs))
    return tf.nest.pack_sequence_as(structures[0], flat_outputs)


def _sized(gradient: Any, variable: tf.Variable) -> Any:
    """A gradient of a variable, of the variable's own shape."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    shape = tf.constant(variable.shape.as_list(), gradient.indices.dtype)
    return tf.IndexedSlices(gradient.values, gradient.indices, shape)
