"""TensorFlow checkpoints, name-based (TF1) and object-based (TF2), as a TensorSource.

Reads the files itself: importing TensorFlow would take seconds and half a gigabyte.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from hubexport.checkpoints.source import Checksum, FileTensor, LazyTensor, TensorSource, read_region
from hubexport.errors import CheckpointError
from hubexport.tf_formats import bundle, protos, table

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
"""How TensorFlow ends the key of a variable's value in an object-based checkpoint."""


def open_tensorflow(prefix: Path) -> TensorSource:
    """Opens `<prefix>.index` and its data files.

    The names of an object-based checkpoint are its keys without TensorFlow's suffix, unescaped:
    `encoder/_pooler_layer/kernel`. `find` also takes any other path through the object graph.
    The data files need not be there until a tensor is read (then paths do not resolve).

    Raises:
      CheckpointError: the index is missing or damaged.
    """
    entries = bundle.read_bundle(prefix)
    object_based = OBJECT_GRAPH_KEY in entries
    tensors: dict[str, LazyTensor] = {}
    for entry in entries.values():
        if entry.name == OBJECT_GRAPH_KEY:
            continue
        name = _tensor_name(entry.name) if object_based else entry.name
        tensors[name] = FileTensor(
            name,
            entry.shape,
            entry.dtype,
            entry.path,
            entry.offset,
            Checksum("crc32c", entry.crc32c),
        )
    files = [prefix.with_name(prefix.name + ".index")]
    files += sorted({entry.path for entry in entries.values()})
    if not object_based:
        return TensorSource(prefix, "TensorFlow checkpoint", "tf1", tuple(files), tensors)
    graph = entries[OBJECT_GRAPH_KEY]
    source = TensorSource(
        prefix, "TensorFlow object-based checkpoint", "tf2", tuple(files), tensors
    )
    if not graph.path.exists():
        return source
    paths = _ObjectPaths(graph)
    return dataclasses.replace(source, resolve=paths.resolve, variable_names=paths.variable_names)


def _tensor_name(key: str) -> str:
    """A key as the attribute names it was made of (TensorFlow writes `/` as `.S`, `.` as `..`)."""
    return re.sub(
        r"\.([.S])",
        lambda match: "." if match[1] == "." else "/",
        key.removesuffix(VALUE_SUFFIX),
    )


def read_object_graph(entry: bundle.BundleTensor) -> Any:
    """The TrackableObjectGraph message of an object-based checkpoint.

    Raises:
      CheckpointError: the data file is cut short or damaged.
    """
    # A string tensor is stored as varint lengths, their checksum (4 bytes), then the bytes. The
    # entry's own checksum covers another encoding of the lengths, so the proto parser is the check.
    raw = b"".join(
        bytes(piece)
        for piece in read_region(entry.path, entry.offset, entry.nbytes, None, entry.name)
    )
    try:
        length, position = table.read_varint(raw, 0)
        start = position + 4
        if start + length > len(raw):
            raise ValueError(f"{len(raw)} bytes of at least {start + length}")
        return protos.TrackableObjectGraph.FromString(raw[start : start + length])
    except (DecodeError, IndexError, ValueError) as error:
        raise CheckpointError(
            "the object graph of the checkpoint is damaged",
            [("file", str(entry.path)), ("found", str(error))],
            "copy or download the checkpoint again.",
        ) from error


class _ObjectPaths:
    """Looks names up in the object graph, which is read when first asked for."""

    def __init__(self, entry: bundle.BundleTensor):
        self._entry = entry

    @functools.cached_property
    def _nodes(self) -> Any:
        return read_object_graph(self._entry).nodes

    def variable_names(self) -> Mapping[str, str]:
        """Checkpoint name -> name of the variable in the program that saved it."""
        return {
            _tensor_name(attribute.checkpoint_key): attribute.full_name
            for node in self._nodes
            for attribute in node.attributes
        }

    def resolve(self, path: str) -> str | None:
        """The checkpoint name behind a path of attribute names from the root, if there is one."""
        nodes = self._nodes
        if not nodes:
            return None
        # An attribute name may itself contain "/" (Keras' "output_bias/bias"): take the longest
        # run of path components that names a child.
        node, parts = nodes[0], path.split("/")
        while parts:
            children = {child.local_name: child.node_id for child in node.children}
            for length in range(len(parts), 0, -1):
                node_id = children.get("/".join(parts[:length]))
                if node_id is not None and node_id < len(nodes):
                    node, parts = nodes[node_id], parts[length:]
                    break
            else:
                return None
        for attribute in node.attributes:
            if attribute.name == "VARIABLE_VALUE":
                return _tensor_name(attribute.checkpoint_key)
        return None
