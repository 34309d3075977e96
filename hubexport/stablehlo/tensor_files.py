"""Tensors on disk as plain bytes, cut into files of a size that copies well.

All tensors of a set, little-endian and row-major, make one stream, which is cut every so many
bytes, through tensors where it falls so. The manifest holds names, dtypes, shapes and the files'
digests; nothing in the files themselves is interpreted, so nothing in them can be dangerous.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hubexport.errors import HubexportError

_PIECE = 1 << 24

DTYPES = (
    "bool",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    "bfloat16",
    *(f"float{bits}" for bits in (16, 32, 64)),
)


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """A tensor of a set: its name, numpy's (or ml_dtypes') name of its dtype, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * numpy_dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class FileSpec:
    """A file: its path below the bundle's directory, its size, its SHA-256 in hexadecimal."""

    path: str
    nbytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class TensorSet:
    """Tensors, and the files that hold them; no files where values are drawn from a seed."""

    tensors: tuple[TensorSpec, ...]
    files: tuple[FileSpec, ...]

    def record(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "tensors": [dataclasses.asdict(each) for each in self.tensors],
            "files": [dataclasses.asdict(each) for each in self.files],
        }


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype of that name; `bfloat16` is of ml_dtypes, which comes with TensorFlow and JAX."""
    if name == "bfloat16":
        import ml_dtypes

        dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


class _Cutter:
    """Writes a stream into files `STEM-00000.bin`, `STEM-00001.bin`, ..."""

    def __init__(self, directory: Path, stem: str, limit: int):
        self._directory, self._stem, self._limit = directory, stem, limit
        self.files: list[FileSpec] = []
        self._file: BinaryIO | None = None

    def write(self, data: memoryview) -> None:
        while data:
            if self._file is None:
                self._path = f"{self._stem}-{len(self.files):05}.bin"
                self._file = open(self._directory / self._path, "xb")  # noqa: SIM115  see close
                self._size = 0
                self._digest = hashlib.sha256()
            piece = data[: min(self._limit - self._size, _PIECE)]
            self._file.write(piece)
            self._digest.update(piece)
            self._size += len(piece)
            data = data[len(piece) :]
            if self._size == self._limit:
                self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self.files.append(FileSpec(self._path, self._size, self._digest.hexdigest()))


def write_tensors(
    directory: Path, stem: str, tensors: Iterable[tuple[str, np.ndarray]], limit: int
) -> TensorSet:
    """Writes tensors, one after the other, into files of `limit` bytes at most.

    Args:
      directory: the bundle's.
      stem: of the files' paths below it: "weights/values".
      tensors: names and values; each is dropped before the next is asked for.

    Raises:
      OSError: they cannot be written.
    """
    (directory / stem).parent.mkdir(parents=True, exist_ok=True)
    cutter, specs = _Cutter(directory, stem, limit), []
    try:
        for name, value in tensors:
            specs.append(TensorSpec(name, value.dtype.name, value.shape))
            cutter.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    finally:
        cutter.close()
    return TensorSet(tuple(specs), tuple(cutter.files))


def read_tensors(directory: Path, tensors: TensorSet) -> Iterator[tuple[TensorSpec, np.ndarray]]:
    """Reads tensors one by one; a file's digest is checked when its last byte has been read.

    Raises:
      HubexportError: a file is not what the manifest says.
    """
    stream = _Joined(directory, tensors.files)
    for spec in tensors.tensors:
        data = np.empty(spec.nbytes, np.uint8)
        stream.read_into(data.data)
        yield spec, data.view(numpy_dtype(spec.dtype)).reshape(spec.shape)


class _Joined:
    """The files of a set as one stream."""

    def __init__(self, directory: Path, files: Sequence[FileSpec]):
        self._directory = directory
        self._waiting = list(files)
        self._file: BinaryIO | None = None

    def read_into(self, target: memoryview) -> None:
        while target:
            if self._file is None:
                self._spec = self._waiting.pop(0)
                self._left = self._spec.nbytes
                self._digest = hashlib.sha256()
                self._file = open(self._directory / self._spec.path, "rb")  # noqa: SIM115
            piece = target[: min(self._left, _PIECE)]
            count = self._file.readinto(piece)  # type: ignore[attr-defined]
            self._digest.update(piece[:count])
            self._left -= count
            target = target[count:]
            if count == 0 or not self._left:
                self._file.close()
                self._file = None
                if self._left or self._digest.hexdigest() != self._spec.sha256:
                    raise _damaged(self._directory, self._spec)


def _damaged(directory: Path, spec: FileSpec) -> HubexportError:
    return HubexportError(
        "a file of the bundle is damaged",
        [("file", str(directory / spec.path)), ("needed", f"SHA-256 {spec.sha256}")],
        "copy the bundle again, or write it again.",
    )


def read_bytes(directory: Path, spec: FileSpec) -> bytes:
    """A whole file.

    Raises:
      HubexportError: it is not what the manifest says.
    """
    data = (directory / spec.path).read_bytes()
    if hashlib.sha256(data).hexdigest() != spec.sha256:
        raise _damaged(directory, spec)
    return data
