"""Values on their way from a checkpoint into a SavedModel, one bounded piece at a time."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from hubexport.checkpoints.source import LazyTensor, byte_view, numpy_dtype, read_region
from hubexport.checkpoints.tensorflow import OBJECT_GRAPH_KEY, VALUE_SUFFIX, read_object_graph
from hubexport.errors import CheckpointError
from hubexport.families.transforms import AsIs, Shape
from hubexport.tf_formats import bundle


@dataclasses.dataclass(frozen=True)
class Value:
    """Where a variable's value comes from.

    Attributes:
      shape: of the variable.
      tensor: what is read: float32, or a narrower float that float32 holds exactly.
      transform: what is done to it.
    """

    shape: Shape
    tensor: LazyTensor
    transform: AsIs

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """In float32."""
        return self.size * 4

    def pieces(self) -> Iterator[memoryview]:
        """The value's bytes: float32, little-endian, row-major."""
        if self.tensor.dtype == "float32" and self.transform.keeps_bytes:
            yield from self.tensor.chunks()  # the very bytes of the checkpoint
            return
        value = self.transform(self.tensor.read(), self.shape)
        # A row block at a time: a transposed kernel is never in memory twice.
        rows = max(1, (1 << 22) // max(1, value[:1].size * 4))
        for start in range(0, value.shape[0], rows):
            block = np.ascontiguousarray(value[start : start + rows], dtype="<f4")
            yield byte_view(block)


def fill_variables(
    saved_model: Path, values: Mapping[str, Value], progress: Callable[[int], object]
) -> None:
    """Replaces the placeholders in a SavedModel's variables by the values.

    `tf.saved_model.save` has written each variable of `values` without elements. Its bundle is
    written anew: those variables from their values, all other entries byte for byte.

    Args:
      saved_model: the directory.
      values: by the variable's name.
      progress: called with the number of bytes of each piece read, as float32.

    Raises:
      RuntimeError: the SavedModel's variables are not those of `values`.
      CheckpointError: a number is too large for its variable's dtype.
    """
    old = saved_model / "variables"
    hollow = old.rename(saved_model / "variables.hollow")
    prefix = hollow / "variables"
    entries = bundle.read_bundle(prefix)
    keys = _variable_keys(entries)
    if missing := sorted(values.keys() - keys.keys()):
        raise RuntimeError(f"TensorFlow saved no variables of these names: {missing}")
    by_key = {keys[name]: value for name, value in values.items()}
    old.mkdir()
    with bundle.BundleWriter(old / "variables") as writer:
        for key, entry in entries.items():
            value = by_key.get(key)
            if value is None:
                pieces: Iterator[memoryview] = read_region(
                    entry.path, entry.offset, entry.nbytes, None, key
                )
                writer.copy(entry, pieces)
            else:
                writer.add(
                    key, entry.dtype, value.shape, stored_pieces(value, entry.dtype, progress)
                )
    shutil.rmtree(hollow)


def stored_pieces(
    value: Value, dtype: str, progress: Callable[[int], object]
) -> Iterator[memoryview]:
    """A value's bytes in the dtype of its variable; arguments as of `fill_variables`.

    Raises:
      CheckpointError: a number is too large for the dtype.
    """
    pieces = _counted(value.pieces(), progress)
    return pieces if dtype == "float32" else _narrowed(pieces, dtype, value.tensor.name)


def _narrowed(pieces: Iterator[memoryview], dtype: str, tensor: str) -> Iterator[memoryview]:
    """Pieces of float32 in a narrower dtype, rounded to nearest, ties to even, as by tf.cast."""
    for piece in pieces:
        values = np.frombuffer(piece, "<f4")
        with np.errstate(over="ignore"):
            narrow = values.astype(numpy_dtype(dtype))
        if too_large := np.count_nonzero(np.isinf(narrow) & np.isfinite(values)):
            raise CheckpointError(
                f"the weights do not fit into {dtype}",
                [("tensor", tensor), ("too large", f"{too_large:,} or more of its numbers")],
                "export with --variable_dtype=float32, and with a --dtype of float32's range.",
            )
        yield byte_view(narrow)


def _counted(
    pieces: Iterator[memoryview], progress: Callable[[int], object]
) -> Iterator[memoryview]:
    for piece in pieces:
        yield piece
        progress(len(piece))


def _variable_keys(entries: Mapping[str, bundle.BundleTensor]) -> dict[str, str]:
    """Variable name -> key in the bundle; TensorFlow derives keys from the object graph."""
    graph = read_object_graph(entries[OBJECT_GRAPH_KEY])
    return {
        attribute.full_name: attribute.checkpoint_key
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.checkpoint_key.endswith(VALUE_SUFFIX)
    }
