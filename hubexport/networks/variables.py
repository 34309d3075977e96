"""Variables with a name and a shape, and no memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import tensorflow as tf

# What tf.saved_model.load itself makes its variables with; there is no public way to declare a
# variable without giving it a value, which for a large model would be gigabytes of zeros.
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

Shape = tuple[int, ...]


class NamedVariables(Protocol):
    """What hands out variables by name, or their values."""

    def __call__(self, name: str, *shape: int, dense: bool = False) -> tf.Variable | tf.Tensor:
        """The variable of that name; the network says the shape that it relies on.

        Args:
          dense: whether it is only ever used cast to the network's dtype.
        """


def in_dtype(variable: tf.Variable, dtype: tf.DType | str) -> tf.Variable | tf.Tensor:
    """Its value cast to that dtype; the variable itself where that is its own.

    For variables as they are made here tf.cast is no such thing: it reads those that need no cast,
    too, in a scope of its own.
    """
    return variable if variable.dtype == dtype else tf.cast(variable, dtype)


class Variables:
    """Hands out a network's variables by name, each created when first asked for.

    A variable holds a tensor of no elements: its true shape is in the graph, its value comes into
    the SavedModel from the checkpoint without passing through it.

    Args:
      shapes: every variable that may be asked for.
      dense_dtype: of those that are dense layers'; all others are float32.
    """

    def __init__(self, shapes: Mapping[str, Shape], dense_dtype: str = "float32"):
        self._shapes = dict(shapes)
        self._dense_dtype = dense_dtype
        self._made: dict[str, tf.Variable] = {}

    def __call__(self, name: str, *shape: int, dense: bool = False) -> tf.Variable:
        """As of `NamedVariables`.

        Raises:
          ValueError: the name is not in `shapes`, or has another shape there: the network and
            its family's table disagree.
        """
        if self._shapes.get(name) != shape:
            raise ValueError(f"{name}: the network has {shape}, the table {self._shapes.get(name)}")
        if name not in self._made:
            dtype = tf.as_dtype(self._dense_dtype if dense else "float32")
            variable = UninitializedVariable(dtype=dtype, shape=shape, name=name, trainable=True)
            # An uninitialized variable cannot be saved; one that holds [0] elements can.
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tf.zeros([0], dtype))
            self._made[name] = variable
        return self._made[name]

    def made(self) -> dict[str, tf.Variable]:
        """The variables asked for so far, in that order."""
        return dict(self._made)

    def unused(self) -> list[str]:
        """Names in `shapes` that no network asked for."""
        return [name for name in self._shapes if name not in self._made]
