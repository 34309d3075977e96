"""What a SavedModel holds, read from its `saved_model.pb`; TensorFlow is not imported.

Works on anybody's: hubexport's, Model Garden's, Keras', and TensorFlow 1's, which have a graph and
signatures but no objects. Format: tensorflow/core/protobuf/{saved_model,meta_graph,
saved_object_graph}.proto.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from hubexport.errors import HubexportError
from hubexport.saved_model.objects import (
    SubObject,
    Variable,
    dtype_name,
    read_root,
    read_variables,
)
from hubexport.saved_model.ops import CORE, packages_of
from hubexport.tf_formats import protos

PB, PBTXT = "saved_model.pb", "saved_model.pbtxt"
_INTERNAL_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """A signature's input or output.

    Attributes:
      dtype: numpy's name of it, or TensorFlow's where numpy has none ("string").
      shape: None for a dimension that is free; None altogether where even the rank is.
    """

    dtype: str
    shape: Shape | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """A named entry point, as TensorFlow Serving sees it."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclasses.dataclass(frozen=True)
class Asset:
    """A file that came with the model; `nbytes` is None where it is missing."""

    name: str
    nbytes: int | None


@dataclasses.dataclass(frozen=True)
class SavedModelSummary:
    """A SavedModel's contents, of the graph for serving where it has several.

    Attributes:
      directory: where it lies.
      tags: of that graph.
      tensorflow_version: that wrote it.
      producer, min_consumer: TensorFlow's graph versions of the writer, and of the oldest reader.
      signatures: by name.
      root: the root object; None in a SavedModel of TensorFlow 1.
      sub_objects: the root's public parts that can be called or hold what can, `tokenize` before
        `tokenize.get_special_tokens_dict`.
      variables: all of them, in the order of the object graph.
      ops: op -> number of its nodes, in the graph and the functions. Calls of functions are none.
      num_functions, num_nodes: of the library; of the graph and all functions together.
      devices: names of devices that nodes are pinned to: such a graph needs them when it is run.
      assets: by file name.
      num_objects: of the object graph.
    """

    directory: Path
    tags: tuple[str, ...]
    tensorflow_version: str
    producer: int
    min_consumer: int
    signatures: Mapping[str, Signature]
    root: SubObject | None
    sub_objects: tuple[SubObject, ...]
    variables: tuple[Variable, ...]
    ops: Mapping[str, int]
    num_functions: int
    num_nodes: int
    devices: tuple[str, ...]
    assets: tuple[Asset, ...]
    num_objects: int

    @property
    def num_parameters(self) -> int:
        """Elements of all trainable variables, as stored: Keras 3 exports keep each one twice."""
        return sum(variable.size for variable in self.variables if variable.trainable)

    @property
    def packages(self) -> dict[str, list[str]]:
        """Package -> the ops that it must register; see `hubexport.saved_model.ops`."""
        return packages_of(self.ops)

    def record(self) -> dict[str, Any]:
        """The part of an artifact's record that describes the written SavedModel."""
        return {
            "tags": list(self.tags),
            "tensorflow_version": self.tensorflow_version,
            "graph_versions": {"producer": self.producer, "min_consumer": self.min_consumer},
            "signatures": {
                name: {
                    "inputs": _plain(signature.inputs),
                    "outputs": _plain(signature.outputs),
                }
                for name, signature in self.signatures.items()
            },
            "root": self.root.record() if self.root else None,
            "sub_objects": {part.name: part.record() for part in self.sub_objects},
            "ops": dict(self.ops),
            "required_ops": {
                package: names for package, names in self.packages.items() if package != CORE
            },
            "num_functions": self.num_functions,
            "num_nodes": self.num_nodes,
            "num_objects": self.num_objects,
            "num_variables": len(self.variables),
            "devices": list(self.devices),
            "assets": {asset.name: asset.nbytes for asset in self.assets},
        }


def is_saved_model(path: Path) -> bool:
    """Whether a path is a SavedModel's directory, readable or not."""
    return (path / PB).is_file() or (path / PBTXT).is_file()


def read_saved_model(directory: Path) -> SavedModelSummary:
    """Reads a SavedModel's graph and objects; of its variables' bundle only scalars are read.

    Raises:
      HubexportError: there is no SavedModel, it is written as text, or it is damaged.
    """
    meta_graph = serving_graph(read_message(directory), directory)
    graph = meta_graph.graph_def
    nodes = meta_graph.object_graph_def.nodes
    files = [asset.filename for asset in meta_graph.asset_file_def]
    try:
        root, sub_objects = read_root(nodes, files, directory)
        variables = read_variables(nodes)
    except IndexError as error:
        raise _damaged(directory, "an object that refers to one that is not there") from error
    functions = {function.signature.name for function in graph.library.function}
    ops: collections.Counter[str] = collections.Counter()
    devices: set[str] = set()
    num_nodes = 0
    for group in (graph.node, *(function.node_def for function in graph.library.function)):
        num_nodes += len(group)
        ops.update(node.op for node in group)
        devices.update(node.device for node in group)
    return SavedModelSummary(
        directory=directory,
        tags=tuple(meta_graph.meta_info_def.tags),
        tensorflow_version=meta_graph.meta_info_def.tensorflow_version,
        producer=graph.versions.producer,
        min_consumer=graph.versions.min_consumer,
        signatures=_signatures(meta_graph.signature_def),
        root=root,
        sub_objects=sub_objects,
        variables=variables,
        ops={name: ops[name] for name in sorted(ops.keys() - functions)},
        num_functions=len(functions),
        num_nodes=num_nodes,
        devices=tuple(sorted(devices - {""})),
        assets=tuple(_asset(directory, name) for name in sorted(set(files))),
        num_objects=len(nodes),
    )


def read_message(directory: Path) -> Any:
    """The message `protos.SavedModel` of a SavedModel.

    Raises:
      HubexportError: there is no SavedModel, it is written as text, or it is damaged.
    """
    path = directory / PB
    if not path.is_file() and (directory / PBTXT).is_file():
        raise HubexportError(
            "the SavedModel is written as text, which is not supported",
            [("found", str(directory / PBTXT)), ("needed", PB)],
            "load it with TensorFlow and save it again.",
        )
    try:
        return protos.SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise HubexportError(
            "there is no readable SavedModel",
            [("looked for", str(path)), ("system", error.strerror or str(error))],
            "pass a directory that holds saved_model.pb.",
        ) from error
    except DecodeError as error:
        raise _damaged(directory, "bytes that are not a SavedModel message") from error


def serving_graph(saved_model: Any, directory: Path) -> Any:
    """The graph tagged `serve`, or the first: TensorFlow 1 wrote one per set of tags.

    Args:
      saved_model: of `read_message`.
      directory: that it was read from, for messages.

    Raises:
      HubexportError: there is none.
    """
    if not saved_model.meta_graphs:
        raise _damaged(directory, "no graph in it")
    return next(
        (graph for graph in saved_model.meta_graphs if "serve" in graph.meta_info_def.tags),
        saved_model.meta_graphs[0],
    )


def _damaged(directory: Path, found: str) -> HubexportError:
    path = directory / PB
    return HubexportError(
        "the SavedModel is damaged",
        [("file", str(path)), ("found", f"{path.stat().st_size:,} bytes, {found}")],
        "copy or download it again.",
    )


def _signatures(named: Iterable[Any]) -> dict[str, Signature]:
    return {
        entry.key: Signature(_specs(entry.value.inputs), _specs(entry.value.outputs))
        for entry in sorted(named, key=lambda entry: entry.key)
        if entry.key not in _INTERNAL_SIGNATURES
    }


def _specs(named: Iterable[Any]) -> dict[str, TensorSpec]:
    return {
        entry.key: TensorSpec(dtype_name(entry.value.dtype), _shape(entry.value.shape))
        for entry in sorted(named, key=lambda entry: entry.key)
    }


def _shape(shape: Any) -> Shape | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _plain(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {
        name: {"dtype": spec.dtype, "shape": None if spec.shape is None else list(spec.shape)}
        for name, spec in specs.items()
    }


def _asset(directory: Path, name: str) -> Asset:
    path = directory / "assets" / name
    return Asset(name, path.stat().st_size if path.is_file() else None)
