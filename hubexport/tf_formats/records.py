"""Files of records (TFRecord), written.

Format: tensorflow/core/lib/io/record_writer.h. Each record is its length (uint64), the masked
CRC-32C of that, its bytes, and the masked CRC-32C of those, all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import google_crc32c

from hubexport.tf_formats.table import mask_crc


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Writes a file of records."""
    with open(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + _checksum(length) + record + _checksum(record))


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", mask_crc(google_crc32c.value(data)))
