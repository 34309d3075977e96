"""From what a `torch.save` pickle declares to tensors that can be read.

Offsets, shapes and strides come from the file: each tensor is checked to lie inside its storage
before anything is made of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.checkpoints import xlm
from hubexport.checkpoints.fairseq import model_settings, state_dict_layout
from hubexport.checkpoints.restricted_pickle import StandIn
from hubexport.checkpoints.source import (
    Checksum,
    ComputedTensor,
    FileTensor,
    LazyTensor,
    TensorSource,
    numpy_dtype,
    read_region,
)
from hubexport.checkpoints.torch_objects import TorchTensor
from hubexport.checkpoints.untrusted import clipped, nbytes_of
from hubexport.errors import CheckpointError, some_of

NESTED_KEYS = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights, next to epochs and optimizers."""

MAX_REPEATED_BYTES = 64 << 20  # of a tensor that shows the same numbers many times (stride 0)

_PLAIN = (type(None), bool, int, float, str, bytes, StandIn)


@dataclasses.dataclass(frozen=True)
class StoredBytes:
    """Where the bytes of a storage are.

    Attributes:
      nbytes: how many there are.
      offset: of the first one in the file, or None where they are compressed.
      read: gives [start, start + count) of them, for what is not one piece of the file.
      checksum: of all of them, where the file keeps one.
    """

    nbytes: int
    offset: int | None
    read: Callable[[int, int], bytearray]
    checksum: Checksum | None = None


def file_bytes(
    path: Path, offset: int, nbytes: int, checksum: Checksum | None = None
) -> StoredBytes:
    """A storage that lies in the file as it is."""

    def read(start: int, count: int) -> bytearray:
        data = bytearray()
        for piece in read_region(path, offset + start, count, None, "a storage"):
            data += piece
        return data

    return StoredBytes(nbytes, offset, read, checksum)


def torch_source(
    path: Path, file_format: str, value: Any, storages: Mapping[str, StoredBytes]
) -> TensorSource:
    """The source for what a file holds.

    Args:
      path: the file.
      file_format: for people.
      value: a state dict, or what a training program saved around one.
      storages: key -> where the storage's bytes are, for all that `value` names.

    Raises:
      CheckpointError: there is no state dict, or it holds what is not a tensor.
    """
    tensors = lazy_tensors(path, select_state_dict(path, value), storages)
    layout = state_dict_layout(tensors)
    settings = model_settings(path, value) if layout == "fairseq" else {}
    if xlm.is_original(value):
        layout, settings = xlm.LAYOUT, xlm.params_of(path, value)
    return TensorSource(path, file_format, layout, (path,), tensors, settings=settings)


def select_state_dict(path: Path, value: Any) -> dict[str, TorchTensor]:
    """The tensors of a state dict, or of the one that a training checkpoint holds.

    Raises:
      CheckpointError: there is none, there are several, or it holds other things than tensors
        and plain values.
    """
    if not isinstance(value, dict):
        raise _not_a_state_dict(path, f"a {type(value).__name__} at the top")
    nested = [key for key in NESTED_KEYS if _has_tensors(value.get(key))]
    if not nested:
        return _tensors_of(path, value)
    left_out = {nested[0], xlm.PARAMS} if xlm.is_original(value) else {nested[0]}
    others = [
        clipped(key)
        for key, item in value.items()
        if key not in left_out and (isinstance(item, TorchTensor) or _has_tensors(item))
    ]
    if others:
        raise _not_a_state_dict(path, f"tensors under {nested[0]!r} and under {some_of(others)}")
    return _tensors_of(path, value[nested[0]])


def lazy_tensors(
    path: Path, found: Mapping[str, TorchTensor], storages: Mapping[str, StoredBytes]
) -> dict[str, LazyTensor]:
    """Name -> readable tensor, in the same order.

    Raises:
      CheckpointError: a tensor is not inside its storage, or of a dtype that NumPy does not have.
    """
    return {
        name: _lazy_tensor(path, name, tensor, storages[tensor.storage.key])
        for name, tensor in found.items()
    }


def _has_tensors(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(v, TorchTensor) for v in value.values())


def _tensors_of(path: Path, state: dict[Any, Any]) -> dict[str, TorchTensor]:
    tensors = {k: v for k, v in state.items() if isinstance(v, TorchTensor)}
    unnamed = [repr(key) for key in tensors if not isinstance(key, str)]
    if unnamed:
        raise _not_a_state_dict(
            path, f"tensors under keys that are not strings: {some_of(unnamed)}"
        )
    if not tensors:
        raise _not_a_state_dict(path, f"a dict without tensors: {some_of(map(clipped, state))}")
    others = [
        f"{clipped(key)} ({type(item).__name__})"
        for key, item in state.items()
        if key not in tensors and not isinstance(item, _PLAIN)
    ]
    if others:
        raise _not_a_state_dict(path, f"other things next to the tensors: {some_of(others)}")
    return tensors


def _not_a_state_dict(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the checkpoint is not a state dict",
        [
            ("file", str(path)),
            ("found", found),
            ("expected", "names and tensors, or these under " + " or ".join(NESTED_KEYS)),
        ],
        "save only the weights of the model: torch.save(model.state_dict(), path).",
    )


def _lazy_tensor(path: Path, name: str, tensor: TorchTensor, stored: StoredBytes) -> LazyTensor:
    shape, stride, offset, dtype = tensor.shape, tensor.stride, tensor.offset, tensor.dtype
    storage = tensor.storage

    def refuse(found: str) -> CheckpointError:
        return CheckpointError(
            f"the tensor {clipped(name)} cannot be what the checkpoint says it is",
            [("file", str(path)), ("found", found)],
            "copy or download the file again, or get the weights as safetensors.",
        )

    if type(shape) is not tuple or type(stride) is not tuple or len(shape) != len(stride):
        raise refuse("a shape and strides that do not go together")
    nbytes = nbytes_of(shape, dtype)
    if nbytes is None or any(type(n) is not int or n < 0 for n in (offset, *stride)):
        raise refuse("a shape, stride or offset that no tensor has")
    if nbytes == 0:
        return FileTensor(name, shape, dtype, path, 0)
    itemsize = numpy_dtype(dtype).itemsize
    steps = zip(shape, stride, strict=True)
    span = 1 + sum((size - 1) * step for size, step in steps)  # elements
    if (offset + span) * itemsize > storage.nbytes:
        raise refuse(
            f"elements {offset:,} to {offset + span:,} ({dtype}) of a storage "
            f"of {storage.nbytes:,} bytes"
        )
    start = storage.start + offset * itemsize
    contiguous = _is_contiguous(shape, stride)
    if contiguous and stored.offset is not None:
        whole = start == 0 and nbytes == stored.nbytes
        checksum = stored.checksum if whole else None
        return FileTensor(name, shape, dtype, path, stored.offset + start, checksum)
    if math.prod(shape) > span and nbytes > MAX_REPEATED_BYTES:
        raise refuse(f"{nbytes:,} bytes that repeat {span * itemsize:,} bytes of a storage")

    def compute() -> np.ndarray:
        data = stored.read(start, span * itemsize)
        flat = np.frombuffer(data, numpy_dtype(dtype))
        if contiguous:
            return flat.reshape(shape)
        in_bytes = tuple(step * itemsize for step in stride)
        view = np.lib.stride_tricks.as_strided(flat, shape, in_bytes, writeable=False)
        return np.array(view, order="C")

    return ComputedTensor(name, shape, dtype, compute)


def _is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Row-major and in one piece; the stride of an axis of length one says nothing."""
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True
