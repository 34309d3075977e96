"""Tensor bundles: `<prefix>.index` + `<prefix>.data-NNNNN-of-NNNNN`, read and written lazily.

Format: tensorflow/core/util/tensor_bundle/tensor_bundle.{h,cc}. The index is a sorted string
table from the tensor's name to a BundleEntry (dtype, shape, shard, offset, size, CRC-32C); the
data files hold the plain little-endian bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

import google_crc32c
from google.protobuf.message import DecodeError

from hubexport.errors import CheckpointError
from hubexport.tf_formats import protos, table

HEADER_KEY = b""


@dataclasses.dataclass(frozen=True)
class BundleTensor:
    """Where one tensor lies.

    Attributes:
      name: its key.
      dtype: numpy's (or ml_dtypes') name; "string" and others for what is not an array of numbers.
      shape: its dimensions.
      path: the data file, which need not exist.
      offset, nbytes: the region in it.
      crc32c: unmasked checksum of the region.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int
    crc32c: int


def read_bundle(prefix: Path) -> dict[str, BundleTensor]:
    """The tensors of a bundle, by name; only the index file is opened.

    Raises:
      CheckpointError: the index is missing or damaged, the bundle is big-endian, or it holds
        partitioned (sliced) tensors.
    """
    index = prefix.with_name(prefix.name + ".index")
    records = table.read_table(index)
    damaged = CheckpointError(
        "the checkpoint index is damaged, or not of this kind of machine",
        [("file", str(index))],
        "copy or download the checkpoint again.",
    )
    tensors: dict[str, BundleTensor] = {}
    partitioned = []
    try:
        header = protos.BundleHeader.FromString(records.pop(HEADER_KEY, b""))
        if header.endianness != 0 or header.num_shards < 1:
            raise damaged
        for key, value in records.items():
            tensor, is_partitioned = _tensor(prefix, header.num_shards, key, value)
            tensors[tensor.name] = tensor
            if is_partitioned:
                partitioned.append(tensor.name)
            if min((tensor.offset, tensor.nbytes, *tensor.shape)) < 0:
                raise damaged
    except DecodeError as error:
        raise damaged from error
    if partitioned:
        raise CheckpointError(
            "the checkpoint holds partitioned variables",
            [("file", str(index)), ("variables", ", ".join(partitioned[:8]))],
            "save it again without a partitioner.",
        )
    return tensors


def _tensor(prefix: Path, shards: int, key: bytes, value: bytes) -> tuple[BundleTensor, bool]:
    """An entry of the index, and whether it is only the head of a partitioned variable."""
    entry = protos.BundleEntry.FromString(value)
    tensor = BundleTensor(
        key.decode("utf-8", "replace"),
        protos.DTYPES.get(entry.dtype, f"dtype {entry.dtype}"),
        tuple(dim.size for dim in entry.shape.dim),
        prefix.with_name(f"{prefix.name}.data-{entry.shard_id:05d}-of-{shards:05d}"),
        entry.offset,
        entry.size,
        table.unmask_crc(entry.crc32c),
    )
    return tensor, bool(entry.slices)


class BundleWriter:
    """Writes a bundle of one shard, a piece of a tensor at a time.

    Use as a context manager: the index, which makes the bundle valid, is written last, and only
    when no exception passed.
    """

    def __init__(self, prefix: Path):
        self._prefix = prefix
        self._records: dict[bytes, bytes] = {}
        self._offset = 0

    def __enter__(self) -> BundleWriter:
        self._data = open(self._prefix.with_name(self._prefix.name + ".data-00000-of-00001"), "wb")
        return self

    def add(
        self, name: str, dtype: str, shape: tuple[int, ...], pieces: Iterable[bytes | memoryview]
    ) -> None:
        """Appends a tensor from its bytes in row-major little-endian order."""
        crc, nbytes = 0, 0
        for piece in pieces:
            crc = google_crc32c.extend(crc, bytes(piece))
            self._data.write(piece)
            nbytes += len(piece)
        self._record(name, dtype, shape, nbytes, crc)

    def copy(self, tensor: BundleTensor, pieces: Iterable[bytes | memoryview]) -> None:
        """Appends an entry of another bundle as it is, its own kind of checksum included."""
        nbytes = 0
        for piece in pieces:
            self._data.write(piece)
            nbytes += len(piece)
        self._record(tensor.name, tensor.dtype, tensor.shape, nbytes, tensor.crc32c)

    def _record(
        self, name: str, dtype: str, shape: tuple[int, ...], nbytes: int, crc32c: int
    ) -> None:
        entry = protos.BundleEntry(
            dtype=protos.DTYPE_CODES[dtype],
            offset=self._offset,
            size=nbytes,
            crc32c=table.mask_crc(crc32c),
        )
        for size in shape:
            entry.shape.dim.add(size=size)
        self._records[name.encode()] = entry.SerializeToString()
        self._offset += nbytes

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._data.close()
        if error is None:
            header = protos.BundleHeader(num_shards=1)
            header.version.producer = 1
            records: Mapping[bytes, bytes] = {
                HEADER_KEY: header.SerializeToString(),
                **self._records,
            }
            table.write_table(self._prefix.with_name(self._prefix.name + ".index"), records)
