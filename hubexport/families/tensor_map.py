"""From a network's variables to a checkpoint's tensors, as a table of its parts.

A family lists its network's parts (dense layers, layer norms, embeddings) once, each with its
variables' scope and its name in every checkpoint layout. `hubexport.families.names` turns that
table into `Weight`s: which tensor fills which variable, and what is done to it on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hubexport.families.transforms import (
    AS_IS,
    TRANSPOSED,
    AsIs,
    HeadsMerged,
    Shape,
    Squeezed,
    chain,
)

TORCH = ("hugging_face", "fairseq")
"""Layouts of PyTorch, whose dense layers keep [out, in]."""

Name = str | tuple[str, ...]
"""A name in a layout, or several of which a checkpoint has one."""


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
class Leaf:
    """One weight of a part.

    Attributes:
      name: kernel, bias, gamma, beta, or empty for a variable that is named by the scope alone.
      shape: of the variable.
      transforms: by layout; those that are not in it keep the variable as it is.
    """

    name: str
    shape: Shape
    transforms: Mapping[str, AsIs] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer of the network with its weights, and its name in each layout.

    Attributes:
      scope: of its variables, as in google-research/bert without the leading `bert/`.
      leaves: its weights.
      names: layout -> name there, to which the layout's word for the leaf is added, or put in the
        place of `{}`. In `tf1`, a part without a name has `bert/` and its scope.
      base: whether the names are below the encoder's own prefix or root; those of heads are not.
    """

    scope: str
    leaves: tuple[Leaf, ...]
    names: Mapping[str, Name]
    base: bool = True

    def renamed(self, **names: Name) -> Part:
        """The same with other names in some layouts."""
        return dataclasses.replace(self, names={**self.names, **names})

    def fused(self, layout: str, name: Name, cut: AsIs) -> Part:
        """The same where a layout of PyTorch keeps several layers' tensors as one.

        Args:
          layout: the layout.
          name: of the tensors there.
          cut: what takes this part's share of kernel and bias out of them.
        """
        leaves = tuple(
            dataclasses.replace(
                leaf,
                transforms={
                    **leaf.transforms,
                    layout: chain(cut, TRANSPOSED) if leaf.name == "kernel" else cut,
                },
            )
            for leaf in self.leaves
        )
        return dataclasses.replace(self, leaves=leaves).renamed(**{layout: name})


def dense(scope: str, size_in: int, size_out: int, *, base: bool = True, **names: Name) -> Part:
    """kernel [size_in, size_out] and bias [size_out]."""
    kernel = Leaf("kernel", (size_in, size_out), dict.fromkeys(TORCH, TRANSPOSED))
    return Part(scope, (kernel, Leaf("bias", (size_out,))), names, base)


def conv1d(scope: str, size_in: int, size_out: int, *, cut: AsIs = AS_IS, **names: Name) -> Part:
    """The weights of `dense` where PyTorch's module is the Conv1D of transformers, which keeps
    [in, out], and OpenAI's a convolution of width 1, [1, in, out]; `cut` takes them out of a
    kernel, and a bias, that several layers share."""
    squeezed = Squeezed() if cut is AS_IS else chain(cut, Squeezed())
    leaves = (
        Leaf("kernel", (size_in, size_out), {"hugging_face": cut, "openai": squeezed}),
        Leaf("bias", (size_out,), {"hugging_face": cut, "openai": cut}),
    )
    return Part(scope, leaves, names)


def dense_to_heads(scope: str, size_in: int, heads: int, head_size: int, **arguments: Any) -> Part:
    """Projection to attention heads: kernel [size_in, A * D], bias [A * D]."""
    part = dense(scope, size_in, heads * head_size, **arguments)
    return _with_tf2(
        part, HeadsMerged((size_in, heads, head_size)), HeadsMerged((heads, head_size))
    )


def dense_from_heads(
    scope: str, heads: int, head_size: int, size_out: int, **arguments: Any
) -> Part:
    """Projection of the heads' outputs: kernel [A * D, size_out], bias [size_out]."""
    part = dense(scope, heads * head_size, size_out, **arguments)
    return _with_tf2(part, HeadsMerged((heads, head_size, size_out)), AS_IS)


def _with_tf2(part: Part, *transforms: AsIs) -> Part:
    leaves = tuple(
        dataclasses.replace(leaf, transforms={**leaf.transforms, "tf2": transform})
        for leaf, transform in zip(part.leaves, transforms, strict=True)
    )
    return dataclasses.replace(part, leaves=leaves)


def layer_norm(scope: str, size: int, *, base: bool = True, **names: Name) -> Part:
    """gamma [size] and beta [size]."""
    return Part(scope, (Leaf("gamma", (size,)), Leaf("beta", (size,))), names, base)


def table(
    scope: str, *shape: int, transform: AsIs = AS_IS, base: bool = True, **names: Name
) -> Part:
    """A single variable, named by its scope; the transform is that of every layout."""
    transforms = dict.fromkeys(("tf1", "tf2", "openai", *TORCH), transform)
    return Part(scope, (Leaf("", shape, transforms),), names, base)
