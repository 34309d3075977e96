"""What every checkpoint format looks like to the rest of hubexport.

A `TensorSource` knows the names, shapes and dtypes of a checkpoint's tensors; the numbers are
read one tensor at a time, when asked for. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import abc
import dataclasses
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from hubexport.errors import CheckpointError

CHUNK_BYTES = 4 << 20
"""How much of a tensor is in memory at once while it is copied."""


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a dtype name; bfloat16 and the float8s come from ml_dtypes.

    Raises:
      TypeError: numpy and ml_dtypes know no such dtype.
    """
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        if not hasattr(ml_dtypes, name):
            raise
        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype


def byte_view(array: np.ndarray) -> memoryview:
    """The bytes of a contiguous array of any dtype, without copying them."""
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class LazyTensor(abc.ABC):
    """One tensor of a checkpoint: known by name, shape and dtype, read on demand.

    Attributes:
      name: as the checkpoint spells it.
      shape: its dimensions.
      dtype: numpy's (or ml_dtypes') name of its dtype, such as "float32" or "bfloat16".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def read(self) -> np.ndarray:
        """The whole tensor, [*shape] of dtype, in memory."""

    def chunks(self) -> Iterator[memoryview]:
        """Its bytes in row-major little-endian order, a bounded piece at a time."""
        data = np.ascontiguousarray(self.read())
        flat = byte_view(data)
        for start in range(0, len(flat), CHUNK_BYTES):
            yield flat[start : start + CHUNK_BYTES]

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Checksum:
    """A CRC that a file format keeps: `crc32c` (TensorFlow) or `crc32` (zip, PyTorch)."""

    kind: str
    value: int

    def extend(self, value: int, piece: memoryview) -> int:
        """The checksum of what `value` is the checksum of, and of a piece more."""
        if self.kind == "crc32":
            return zlib.crc32(piece, value)
        return int(google_crc32c.extend(value, piece.tobytes()))


@dataclasses.dataclass(frozen=True)
class FileTensor(LazyTensor):
    """A tensor that lies row-major, little-endian and in one piece in a file.

    Attributes:
      path: the file.
      offset: of its first byte.
      checksum: of its bytes, where the format keeps one; verified whenever all is read.
    """

    path: Path
    offset: int
    checksum: Checksum | None = None

    @property
    def nbytes(self) -> int:
        try:
            return self.size * numpy_dtype(self.dtype).itemsize
        except TypeError as error:
            raise CheckpointError(
                f"the tensor {self.name} is of a type that cannot be read",
                [("file", str(self.path)), ("found", self.dtype)],
                "save it as a floating-point or integer tensor.",
            ) from error

    def read(self) -> np.ndarray:
        return _gathered(self)

    def chunks(self) -> Iterator[memoryview]:
        yield from read_region(self.path, self.offset, self.nbytes, self.checksum, self.name)


@dataclasses.dataclass(frozen=True)
class JoinedTensor(LazyTensor):
    """A tensor whose bytes are those of several pieces of files, one after another.

    Attributes:
      pieces: of its dtype; together they have its number of elements.
    """

    pieces: tuple[FileTensor, ...]

    def read(self) -> np.ndarray:
        return _gathered(self)

    def chunks(self) -> Iterator[memoryview]:
        for piece in self.pieces:
            yield from piece.chunks()


def _gathered(tensor: LazyTensor) -> np.ndarray:
    """A tensor that is read in pieces, in one."""
    data = np.empty(tensor.shape, numpy_dtype(tensor.dtype))
    view, position = byte_view(data), 0
    for chunk in tensor.chunks():
        view[position : position + len(chunk)] = chunk
        position += len(chunk)
    return data


@dataclasses.dataclass(frozen=True)
class ComputedTensor(LazyTensor):
    """A tensor whose numbers come from a function: a decoded or a generated one."""

    compute: Callable[[], np.ndarray] = dataclasses.field(repr=False)

    def read(self) -> np.ndarray:
        data = self.compute()
        if data.shape != self.shape or data.dtype != numpy_dtype(self.dtype):
            raise CheckpointError(
                f"the tensor {self.name} is not what the checkpoint says it is",
                [
                    ("declared", f"{list(self.shape)} {self.dtype}"),
                    ("found", f"{list(data.shape)} {data.dtype}"),
                ],
                "copy or download the checkpoint again.",
            )
        return data


@dataclasses.dataclass(frozen=True)
class TensorSource:
    """All tensors of one checkpoint.

    Attributes:
      path: what was opened, as the user named it.
      format: the file format, for people: "TensorFlow checkpoint", "safetensors", ...
      layout: how tensors are named: "tf1" (TensorFlow, by variable name), "tf2"
        (TensorFlow object-based, as Model Garden writes), "openai" (GPT's release, by the place
        of each tensor), "fairseq" (PyTorch state dict of fairseq's RoBERTa), "xlm_original" (that
        of facebookresearch/XLM) or "hugging_face" (any other PyTorch state dict).
      files: every file that belongs to it, in a stable order.
      tensors: name -> tensor, in the checkpoint's order.
      resolve: other spellings. An object-based checkpoint stores a shared variable under one
        of its paths only; this finds that name from any path. Gives None for what is not there.
      variable_names: name -> the name that the variable had in the program that saved it, where
        the format keeps it (object-based checkpoints do).
      settings: the model's configuration, or what is known of it, where it is kept with the
        weights (as in "fairseq", "xlm_original" and "openai"); plain values only.
    """

    path: Path
    format: str
    layout: str
    files: tuple[Path, ...]
    tensors: Mapping[str, LazyTensor]
    resolve: Callable[[str], str | None] = dataclasses.field(default=lambda name: None, repr=False)
    variable_names: Callable[[], Mapping[str, str]] = dataclasses.field(default=dict, repr=False)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def find(self, name: str) -> LazyTensor | None:
        """The tensor of that name, or of that path through the object graph, or None."""
        tensor = self.tensors.get(name)
        if tensor is None:
            canonical = self.resolve(name)
            tensor = self.tensors.get(canonical) if canonical is not None else None
        return tensor


def read_region(
    path: Path, offset: int, nbytes: int, checksum: Checksum | None, name: str
) -> Iterator[memoryview]:
    """Reads bytes [offset, offset + nbytes) of a file in bounded pieces.

    The pieces share one buffer: use each before asking for the next.

    Raises:
      CheckpointError: the file ends early, cannot be read, or its checksum differs.
    """
    buffer = memoryview(bytearray(min(CHUNK_BYTES, nbytes) or 1))
    crc = 0
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            left = nbytes
            while left:
                count = file.readinto(buffer[: min(left, len(buffer))])
                if not count:
                    raise CheckpointError(
                        "the checkpoint is cut short",
                        [
                            ("file", str(path)),
                            ("found", f"{os.fstat(file.fileno()).st_size:,} bytes"),
                            ("needed", f"{offset + nbytes:,} bytes, up to the end of {name}"),
                        ],
                        "copy or download the file again and compare its size with the original.",
                    )
                piece = buffer[:count]
                if checksum is not None:
                    crc = checksum.extend(crc, piece)
                left -= count
                yield piece
    except OSError as error:
        raise CheckpointError(
            "the checkpoint cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at the path and its permissions.",
        ) from error
    if checksum is not None and crc != checksum.value:
        raise CheckpointError(
            f"the checkpoint is damaged: the checksum of {name} does not match its bytes",
            [("file", str(path))],
            "copy or download the checkpoint again.",
        )
