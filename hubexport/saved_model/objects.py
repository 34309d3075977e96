"""The objects of a SavedModel: what a program finds on the root after loading it.

Read from the SavedObjectGraph (tensorflow/core/protobuf/saved_object_graph.proto): nodes with
named children, the root first. TensorFlow is not imported.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.tensorflow import open_tensorflow
from hubexport.errors import CheckpointError
from hubexport.tf_formats import protos

# Children that hold up the interface, or Keras, and are not part of what a model offers.
_BOOKKEEPING = re.compile(
    r"_.*|variables|trainable_variables|regularization_losses|signatures|keras_api|save_counter"
    r"|call_and_return_(all_)?conditional_losses|layer(_with_weights)?-\d+|\d+"
)
_DEPTH = 2  # `tokenize`, and `tokenize.get_special_tokens_dict`


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable as the object graph declares it; its name need not be unique.

    Attributes:
      shape: None for a dimension that is free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    trainable: bool

    @property
    def size(self) -> int:
        """Number of elements; 0 where a dimension is free."""
        return math.prod(dim or 0 for dim in self.shape)

    @property
    def is_floating(self) -> bool:
        """Whether it holds numbers that can be trained, and not a counter or a flag."""
        return "float" in self.dtype


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A value that an object carries.

    Attributes:
      kind: "asset", "variable" or "constant".
      detail: an asset's file name, a variable's dtype and shape, a constant's node.
      value: of a scalar variable, where the checkpoint's data are there; else None.
    """

    kind: str
    detail: str
    value: bool | int | float | None = None


@dataclasses.dataclass(frozen=True)
class SubObject:
    """An object or function, and how it can be used.

    Attributes:
      name: the attribute path from the root, "" for the root itself.
      kind: "callable" (an object with `__call__`), "function", or "object" (holds others).
      num_traces: concrete functions behind the call: one per combination of argument types.
      variables, trainable_variables: distinct variables in the lists of those names, None where
        there is no such list.
      num_parameters: elements of the floating-point ones of `variables`, None as there.
      attributes: by name.
    """

    name: str
    kind: str
    num_traces: int
    variables: int | None
    trainable_variables: int | None
    num_parameters: int | None
    attributes: Mapping[str, Attribute]

    def record(self) -> dict[str, Any]:
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "name"}


def dtype_name(code: int) -> str:
    """The name of a tensorflow.DataType."""
    return protos.DTYPES.get(code, f"dtype {code}")


def read_variables(nodes: Sequence[Any]) -> tuple[Variable, ...]:
    """All variables, in the order of the object graph."""
    return tuple(_variable(node.variable) for node in nodes if node.HasField("variable"))


def read_root(
    nodes: Sequence[Any], assets: Sequence[str], directory: Path
) -> tuple[SubObject | None, tuple[SubObject, ...]]:
    """The root, None where there are no objects, and its public parts by path.

    Args:
      nodes: of the SavedObjectGraph.
      assets: file names, in the order that the objects refer to.
      directory: of the SavedModel, for the values of scalars.

    Raises:
      IndexError: a child, or an asset, is not there.
    """
    if not nodes:
        return None, ()
    objects = _Objects(nodes, assets, directory)
    return objects.describe(0, ""), tuple(objects.walk(0, "", ()))


class _Objects:
    def __init__(self, nodes: Sequence[Any], assets: Sequence[str], directory: Path):
        self._nodes, self._assets, self._directory = nodes, assets, directory

    def walk(self, node_id: int, path: str, ancestors: tuple[int, ...]) -> Iterator[SubObject]:
        """The public parts below a node, parents first."""
        if len(ancestors) >= _DEPTH or self._traces(node_id):
            return  # children of a function are its traces
        for name, child_id in self._children(node_id).items():
            if _BOOKKEEPING.fullmatch(name) or child_id in (*ancestors, node_id):
                continue
            child = self.describe(child_id, f"{path}{name}")
            below = list(self.walk(child_id, f"{path}{name}.", (*ancestors, node_id)))
            if child.kind != "object" or below:
                yield child
            yield from below

    def describe(self, node_id: int, path: str) -> SubObject:
        children = self._children(node_id)
        kind, function = "object", -1
        if "__call__" in children and self._traces(children["__call__"]):
            kind, function = "callable", children["__call__"]
        elif self._traces(node_id):
            kind, function = "function", node_id
        variables = self._listed(children.get("variables"))
        trainable = self._listed(children.get("trainable_variables"))
        return SubObject(
            path,
            kind,
            self._traces(function) if function >= 0 else 0,
            None if variables is None else len(variables),
            None if trainable is None else len(trainable),
            None if variables is None else sum(v.size for v in variables if v.is_floating),
            dict(self._attributes(children, path)),
        )

    def _children(self, node_id: int) -> dict[str, int]:
        return {child.local_name: child.node_id for child in self._nodes[node_id].children}

    def _traces(self, node_id: int) -> int:
        node = self._nodes[node_id]
        bare = bool(node.HasField("bare_concrete_function"))
        return len(node.function.concrete_functions) + bare

    def _listed(self, node_id: int | None) -> list[Variable] | None:
        """The distinct variables of a list; lists inside it count as well."""
        if node_id is None:
            return None
        found: dict[int, Variable] = {}
        seen, waiting = {node_id}, [node_id]
        while waiting:
            for child in self._nodes[waiting.pop()].children:
                node = self._nodes[child.node_id]
                if node.HasField("variable"):
                    found[child.node_id] = _variable(node.variable)
                elif child.node_id not in seen:
                    seen.add(child.node_id)
                    waiting.append(child.node_id)
        return list(found.values())

    def _attributes(
        self, children: Mapping[str, int], path: str
    ) -> Iterator[tuple[str, Attribute]]:
        for name, child_id in sorted(children.items()):
            node = self._nodes[child_id]
            if _BOOKKEEPING.fullmatch(name):
                continue
            if node.HasField("asset"):
                file = self._assets[node.asset.asset_file_def_index]
                yield name, Attribute("asset", Path(file).name)
            elif node.HasField("variable"):
                variable = _variable(node.variable)
                value = None if variable.shape else self._scalar(f"{path}.{name}".lstrip("."))
                detail = f"{variable.dtype} {shape_text(variable.shape)}"
                yield name, Attribute("variable", detail, value)
            elif node.HasField("constant"):
                yield name, Attribute("constant", node.constant.operation)

    @functools.cached_property
    def _checkpoint(self) -> TensorSource | None:
        try:
            return open_tensorflow(self._directory / "variables" / "variables")
        except CheckpointError:  # no variables, or no intact ones: then no values are known
            return None

    def _scalar(self, path: str) -> bool | int | float | None:
        if self._checkpoint is None:
            return None
        try:
            tensor = self._checkpoint.find(path.replace(".", "/"))
            if tensor is None or tensor.shape or tensor.dtype in ("string", "variant"):
                return None
            value = tensor.read().item()
        except (CheckpointError, TypeError, AttributeError):
            return None
        return value if isinstance(value, bool | int | float) else None


def shape_text(shape: Sequence[int | None] | None) -> str:
    """`[None, 768]`; `unknown rank` where even that is."""
    return "unknown rank" if shape is None else str(list(shape))


def _variable(variable: Any) -> Variable:
    shape = tuple(None if dim.size < 0 else dim.size for dim in variable.shape.dim)
    return Variable(variable.name, dtype_name(variable.dtype), shape, variable.trainable)
