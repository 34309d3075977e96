"""Sorted string tables: the file format of a TensorFlow checkpoint's `.index`.

The format is LevelDB's (github.com/google/leveldb, doc/table_format.md), as in
tensorflow/core/lib/io/table.cc: blocks of prefix-compressed records, each followed by a
compression byte and a masked CRC-32C, an index block of block handles, and a 48-byte footer.
TensorFlow writes these files without compression; some builds compressed blocks with Snappy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import google_crc32c

from hubexport.errors import CheckpointError

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5  # compression type, CRC-32C
# Target size of a data block, as in TensorFlow's own tables (core/lib/io/table_options.h). The
# index of an encoder is smaller and therefore one block, which is all that OpenVINO reads.
_BLOCK_BYTES = 262_144
_CRC_MASK_DELTA = 0xA282EAD8
_SNAPPY = 1  # the compression byte
_MAXIMUM_BLOCK_BYTES = 64 << 20


def mask_crc(crc: int) -> int:
    """LevelDB's masking of a CRC that is stored next to the data that it covers."""
    return (((crc >> 15) | (crc << 17)) + _CRC_MASK_DELTA) & 0xFFFFFFFF


def unmask_crc(masked: int) -> int:
    """Inverse of `mask_crc`."""
    rotated = (masked - _CRC_MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The base-128 varint at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("varint longer than 64 bits")


def write_varint(value: int) -> bytes:
    """An unsigned integer as base-128 varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_table(path: Path) -> dict[bytes, bytes]:
    """All records of a table file, in order, checksums verified.

    Raises:
      CheckpointError: the file cannot be read, is not a table, is damaged or compressed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "the checkpoint index cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at the path and its permissions.",
        ) from error
    try:
        footer = data[-_FOOTER_BYTES:]
        if len(footer) < _FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
            raise ValueError("no table footer at its end")
        position = 0
        _, position = read_varint(footer, position)  # handle of the (empty) meta index:
        _, position = read_varint(footer, position)  # offset and size
        offset, position = read_varint(footer, position)
        size, _ = read_varint(footer, position)
        records: dict[bytes, bytes] = {}
        for _, handle in _records(_block(data, offset, size)):
            block_offset, position = read_varint(handle, 0)
            block_size, _ = read_varint(handle, position)
            records.update(_records(_block(data, block_offset, block_size)))
        return records
    except (ValueError, IndexError, struct.error) as error:
        raise CheckpointError(
            "the file is not an intact TensorFlow checkpoint index",
            [
                ("file", str(path)),
                ("found", f"{len(data):,} bytes, {error}"),
            ],
            "copy or download the checkpoint again.",
        ) from error


def write_table(path: Path, records: Mapping[bytes, bytes]) -> None:
    """Writes a table file; the records are sorted by key."""
    out = bytearray()
    index: list[tuple[bytes, bytes]] = []
    block: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in sorted(records.items()):
        block.append((key, value))
        size += len(key) + len(value)
        if size >= _BLOCK_BYTES:
            index.append((key, _append_block(out, block)))
            block, size = [], 0
    if block:
        index.append((block[-1][0], _append_block(out, block)))
    meta_index_handle = _append_block(out, [])
    footer = meta_index_handle + _append_block(out, index)
    footer += bytes(_FOOTER_BYTES - 8 - len(footer)) + struct.pack("<Q", _MAGIC)
    path.write_bytes(bytes(out) + footer)


def _block(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + _TRAILER_BYTES > len(data):
        raise ValueError("a block reaches past its end")
    (masked,) = struct.unpack("<I", data[end + 1 : end + _TRAILER_BYTES])
    if google_crc32c.value(data[offset : end + 1]) != unmask_crc(masked):
        raise ValueError(f"a wrong checksum of the block at byte {offset}")
    if data[end] == _SNAPPY:
        return _uncompressed(data[offset:end])
    if data[end] != 0:
        raise ValueError(f"compression of the unknown type {data[end]}")
    return data[offset:end]


def _uncompressed(block: bytes) -> bytes:
    import cramjam

    if read_varint(block, 0)[0] > _MAXIMUM_BLOCK_BYTES:
        raise ValueError("a block that claims to be larger than any index")
    try:
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise ValueError(f"a block that Snappy cannot read ({error})") from error


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    position, key = 0, b""
    while position < end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _append_block(out: bytearray, records: list[tuple[bytes, bytes]]) -> bytes:
    """Appends a block with its trailer; gives its handle. No prefix sharing: indexes are small."""
    block, restarts = bytearray(), []
    for key, value in records:
        restarts.append(len(block))
        block += b"\0" + write_varint(len(key)) + write_varint(len(value)) + key + value
    for restart in restarts or [0]:
        block += struct.pack("<I", restart)
    block += struct.pack("<I", len(restarts) or 1)
    handle = write_varint(len(out)) + write_varint(len(block))
    block += b"\0"
    out += block + struct.pack("<I", mask_crc(google_crc32c.value(bytes(block))))
    return handle
