"""How far two tensors in files are apart, read in pieces: memory does not grow with their size.

Everything is computed in float64, whatever the dtypes are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import google_crc32c
import numpy as np

from hubexport.checkpoints.source import numpy_dtype, read_region
from hubexport.tf_formats.bundle import BundleTensor

_BLOCK = 1 << 16  # elements: in float64 they still fit into a processor's cache
_BLOCK_BYTES = 1 << 18


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far b is from a.

    Attributes:
      absolute: the Frobenius norm of b - a.
      relative: that over the norm of a; infinite where a is zero and b is not.
      largest: the largest absolute difference; infinite where one is a number and one is not.
      at: the index of it.
      elements: how many differ, as numbers.
    """

    absolute: float
    relative: float
    largest: float
    at: tuple[int, ...]
    elements: int


class DistanceSum:
    """Adds up a distance, a block of elements after the other."""

    def __init__(self) -> None:
        self._difference = self._norm = self._largest = 0.0
        self._position = self._at = self._elements = 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Adds elements; both are flat and of one length."""
        one, difference = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            difference -= one
            squares, norm = _square_sum(difference), _square_sum(one)
            if not math.isfinite(squares + norm):
                # The same infinity, or no number in both, is no difference; no number in one is.
                other = b.astype(np.float64)
                difference[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
                difference[np.isnan(difference)] = math.inf
                one[~np.isfinite(one)] = 0.0
                squares, norm = _square_sum(difference), _square_sum(one)
        self._norm += norm
        self._difference += squares
        if max(difference.max(initial=0.0), -difference.min(initial=0.0)) > self._largest:
            np.abs(difference, out=difference)
            at = int(difference.argmax())
            self._largest, self._at = float(difference[at]), self._position + at
        self._elements += int(np.count_nonzero(difference != 0.0))
        self._position += one.size

    def distance(self, shape: tuple[int, ...]) -> Distance:
        """Of everything that was added, which has that shape."""
        absolute, norm = math.sqrt(self._difference), math.sqrt(self._norm)
        relative = absolute / norm if norm else (math.inf if absolute else 0.0)
        at = tuple(int(i) for i in np.unravel_index(self._at, shape)) if self._position else ()
        return Distance(absolute, relative, self._largest, at, self._elements)


def _square_sum(values: np.ndarray) -> float:
    # Not by a product of BLAS', whose threads would wait for each other at every block.
    return float(np.einsum("i,i->", values, values))


@dataclasses.dataclass(frozen=True)
class Bytes:
    """What was found when two tensors were read.

    Attributes:
      equal: whether their bytes are.
      damaged: those of "a" and "b" whose bytes are not those of their index' checksum.
      distance: where they are numbers of one shape that are not equal.
      elements: how many elements differ; None where elements have no fixed size.
    """

    equal: bool
    damaged: tuple[str, ...]
    distance: Distance | None = None
    elements: int | None = None


def compare_tensors(a: BundleTensor, b: BundleTensor) -> Bytes:
    """Reads two tensors of one shape and compares them: floats as numbers, others by their bytes.

    Raises:
      CheckpointError: a data file is missing or cut short.
    """
    if (a.dtype, a.nbytes) == (b.dtype, b.nbytes) and (damaged := _same_bytes(a, b)) is not None:
        return Bytes(True, damaged)
    readers = _Reader(a), _Reader(b)
    distance, elements = None, None
    whole = _is_whole(a) and _is_whole(b)
    if whole and is_float(a.dtype) and is_float(b.dtype):
        total = DistanceSum()
        for one, other in zip(*(reader.elements() for reader in readers), strict=True):
            total.add(one, other)
        distance = total.distance(a.shape)
        elements = distance.elements
    elif whole and a.dtype == b.dtype:
        elements = 0
        for one, other in zip(*(reader.elements() for reader in readers), strict=True):
            elements += int(np.count_nonzero(one != other))
    else:
        for reader in readers:
            for _ in reader.blocks(_BLOCK_BYTES):
                pass
    damaged = tuple(name for name, each in zip("ab", readers, strict=True) if each.is_damaged)
    return Bytes(False, damaged, distance, elements)


def is_float(dtype: str) -> bool:
    """Whether it is compared as numbers: bfloat16 with float32, say."""
    return "float" in dtype


def _same_bytes(a: BundleTensor, b: BundleTensor) -> tuple[str, ...] | None:
    """Which are damaged, where the bytes are equal; None where they are not."""
    one, other = _Reader(a), _Reader(b)
    for ours, theirs in zip(one.blocks(_BLOCK_BYTES), other.blocks(_BLOCK_BYTES), strict=True):
        if not np.array_equal(np.frombuffer(ours, np.uint8), np.frombuffer(theirs, np.uint8)):
            return None
    return tuple(name for name, each in (("a", one), ("b", other)) if each.is_damaged)


def _itemsize(dtype: str) -> int | None:
    """Bytes of an element; None for strings and what else has no fixed size."""
    try:
        return numpy_dtype(dtype).itemsize
    except TypeError:
        return None


def _is_whole(tensor: BundleTensor) -> bool:
    """Whether the bytes are as many as the elements of its shape have."""
    itemsize = _itemsize(tensor.dtype)
    return itemsize is not None and tensor.nbytes == math.prod(tensor.shape) * itemsize


class _Reader:
    """Reads a tensor in blocks of one size, and keeps the checksum of what it has read."""

    def __init__(self, tensor: BundleTensor):
        self._tensor, self._crc = tensor, 0

    @property
    def is_damaged(self) -> bool:
        """After reading all: whether the index has another checksum.

        That of strings covers their lengths in another form than is in the file.
        """
        return _itemsize(self._tensor.dtype) is not None and self._crc != self._tensor.crc32c

    def blocks(self, nbytes: int) -> Iterator[memoryview]:
        """The bytes, so many at a time; the last block may be shorter. They share a buffer."""
        tensor, buffer = self._tensor, memoryview(bytearray(nbytes))
        filled = 0
        for piece in read_region(tensor.path, tensor.offset, tensor.nbytes, None, tensor.name):
            while piece:
                count = min(len(piece), nbytes - filled)
                buffer[filled : filled + count] = piece[:count]
                piece, filled = piece[count:], filled + count
                if filled == nbytes:
                    yield self._counted(buffer)
                    filled = 0
        if filled:
            yield self._counted(buffer[:filled])

    def _counted(self, block: memoryview) -> memoryview:
        self._crc = google_crc32c.extend(self._crc, bytes(block))
        return block

    def elements(self) -> Iterator[np.ndarray]:
        """The elements, flat, `_BLOCK` at a time."""
        dtype = numpy_dtype(self._tensor.dtype)
        for block in self.blocks(_BLOCK * dtype.itemsize):
            yield np.frombuffer(block, dtype)


def array_distance(a: np.ndarray, b: np.ndarray) -> Distance:
    """Of two arrays of one shape, which may lie in files."""
    total, one, other = DistanceSum(), a.reshape(-1), b.reshape(-1)
    for start in range(0, one.size, _BLOCK):
        total.add(one[start : start + _BLOCK], other[start : start + _BLOCK])
    return total.distance(a.shape)
