"""From a network's variables to a checkpoint's tensors, as a table of its parts.

A family lists its network's parts (dense layers, layer norms, embeddings) once, each with its
variables' scope and its name in every checkpoint layout. `hubexport.families.names` turns that
table into `Weight`s: which tensor fills which variable, and what is done to it on the way.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class AsIs:
    """The tensor is the variable's value."""

    def source_shape(self, shape: Shape) -> Shape:
        """The shape that the checkpoint's tensor must have for a variable of this shape."""
        return shape

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value


@dataclasses.dataclass(frozen=True)
class Transposed(AsIs):
    """torch.nn.Linear keeps [out, in]; TensorFlow's kernels are [in, out]."""

    def source_shape(self, shape: Shape) -> Shape:
        return shape[::-1]

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value.T


@dataclasses.dataclass(frozen=True)
class HeadsMerged(AsIs):
    """Keras' attention keeps the head axis: [H, A, D], [A, D] or [A, D, H], the same bytes."""

    split: Shape

    def source_shape(self, shape: Shape) -> Shape:
        assert math.prod(self.split) == math.prod(shape), (self.split, shape)
        return self.split

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value.reshape(shape)


@dataclasses.dataclass(frozen=True)
class FirstRows(AsIs):
    """The first rows of a table of `rows`: fewer positions than the model was trained with."""

    rows: int

    def source_shape(self, shape: Shape) -> Shape:
        return (self.rows, *shape[1:])

    def __call__(self, value: np.ndarray, shape: Shape) -> np.ndarray:
        return value[: shape[0]]


AS_IS, TRANSPOSED = AsIs(), Transposed()


@dataclasses.dataclass(frozen=True)
class Weight:
    """One variable, and the tensor of the checkpoint that fills it.

    Attributes:
      variable: name in the exported network (google-research/bert's).
      shape: of the variable.
      tensor: name in the checkpoint.
      transform: what makes the variable's value of the tensor.
    """

    variable: str
    shape: Shape
    tensor: str
    transform: AsIs = AS_IS


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer of the network with its weights, and its name in each layout.

    Attributes:
      scope: of its variables, as in google-research/bert without the leading `bert/`.
      leaves: (leaf, shape, transform from tf2, transform from hugging_face) of each weight; leaf
        is kernel, bias, gamma, beta, or empty for a variable that is named by the scope alone.
      tf2: attribute path below the encoder (or head) object in Model Garden.
      hugging_face: module path in `BertModel` (or `BertForPreTraining`) of transformers.
      tf1: scope in google-research/bert; `bert/` + scope unless given.
    """

    scope: str
    leaves: tuple[tuple[str, Shape, AsIs, AsIs], ...]
    tf2: str
    hugging_face: str
    tf1: str = ""


def dense(scope: str, size_in: int, size_out: int, **names: str) -> Part:
    """kernel [size_in, size_out] and bias [size_out]."""
    return Part(
        scope,
        (
            ("kernel", (size_in, size_out), AS_IS, TRANSPOSED),
            ("bias", (size_out,), AS_IS, AS_IS),
        ),
        **names,
    )


def dense_to_heads(scope: str, size_in: int, heads: int, head_size: int, **names: str) -> Part:
    """Projection to attention heads: kernel [size_in, A * D], bias [A * D]."""
    size_out = heads * head_size
    return Part(
        scope,
        (
            ("kernel", (size_in, size_out), HeadsMerged((size_in, heads, head_size)), TRANSPOSED),
            ("bias", (size_out,), HeadsMerged((heads, head_size)), AS_IS),
        ),
        **names,
    )


def dense_from_heads(scope: str, heads: int, head_size: int, size_out: int, **names: str) -> Part:
    """Projection of the heads' outputs: kernel [A * D, size_out], bias [size_out]."""
    size_in = heads * head_size
    return Part(
        scope,
        (
            ("kernel", (size_in, size_out), HeadsMerged((heads, head_size, size_out)), TRANSPOSED),
            ("bias", (size_out,), AS_IS, AS_IS),
        ),
        **names,
    )


def layer_norm(scope: str, size: int, **names: str) -> Part:
    """gamma [size] and beta [size]."""
    return Part(scope, (("gamma", (size,), AS_IS, AS_IS), ("beta", (size,), AS_IS, AS_IS)), **names)


def table(scope: str, *shape: int, transform: AsIs = AS_IS, **names: str) -> Part:
    """A single variable, named by its scope."""
    return Part(scope, (("", shape, transform, transform),), **names)
