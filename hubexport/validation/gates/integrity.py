"""The files are whole: checksums, finite values, and what the record says was written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from hubexport.checkpoints.source import Checksum, read_region
from hubexport.errors import HubexportError, some_of
from hubexport.saved_model.reading import PB, read_saved_model
from hubexport.saved_model.record import source_file
from hubexport.tf_formats.bundle import BundleTensor, read_bundle
from hubexport.tf_formats.table import read_varint
from hubexport.validation.context import Context
from hubexport.validation.results import GateResult, Measurement, judge

NAME = "integrity"
_LARGEST_PROGRAM = 2**31 - 1
"""Bytes that a protocol buffer may have."""


def run(context: Context) -> GateResult:
    """Reads every byte of the encoder's variables once."""
    assert context.saved_model is not None
    measurements = list(_variables(context.saved_model, context.record))
    measurements += _program(context.saved_model, context.record)
    return judge(NAME, measurements)


def _variables(directory: Path, record: Any) -> Iterator[Measurement]:
    try:
        entries = read_bundle(directory / "variables" / "variables")
    except HubexportError as error:
        yield Measurement("variables.index", False, error.problem)
        return
    damaged, not_finite = [], []
    for entry in entries.values():
        try:
            if entry.dtype == "string":
                if not entry.shape and not _string_is_whole(entry):
                    damaged.append(entry.name)
            elif not _is_finite(entry):
                not_finite.append(entry.name)
        except HubexportError as error:
            damaged.append(f"{entry.name}: {error.problem}")
    yield Measurement(
        f"checksums of {len(entries)} tensors", not damaged, some_of(damaged) or "all agree"
    )
    yield Measurement("values that are not finite", not not_finite, some_of(not_finite) or 0, 0)
    if record is None:
        return
    written = {str(row["variable"]): list(row["shape"]) for row in record["tensors"]}
    shapes = {each.name: list(each.shape) for each in read_saved_model(directory).variables}
    other = [
        f"{name} {shape}, found {shapes.get(name)}"
        for name, shape in written.items()
        if shapes.get(name) != shape
    ]
    yield Measurement(
        f"the record's {len(written)} variables and shapes",
        not other,
        some_of(other) or "all there",
    )


def _program(directory: Path, record: Any) -> Iterator[Measurement]:
    found = source_file(directory / PB)
    fits = found["bytes"] <= _LARGEST_PROGRAM
    yield Measurement(f"bytes of {PB}", fits, f"{found['bytes']:,}", f"{_LARGEST_PROGRAM:,}")
    if record is not None:
        wanted = record["saved_model"]["program"]["sha256"]
        yield Measurement(
            f"{PB} is the one of the record", found["sha256"] == wanted, found["sha256"], wanted
        )


def _is_finite(entry: BundleTensor) -> bool:
    """Whether all numbers of a tensor are; its bytes are checked on the way.

    Raises:
      CheckpointError: the checksum differs, or the file ends early.
    """
    floating = "float" in entry.dtype
    if floating:
        import ml_dtypes  # noqa: F401  numpy knows bfloat16 then
    finite = True
    checksum = Checksum("crc32c", entry.crc32c)
    for piece in read_region(entry.path, entry.offset, entry.nbytes, checksum, entry.name):
        if floating:
            finite = finite and bool(np.isfinite(np.frombuffer(piece, np.dtype(entry.dtype))).all())
    return finite


def _string_is_whole(entry: BundleTensor) -> bool:
    """Whether a scalar string's checksum agrees: it is of the length as uint32, of the stored
    checksum of that length, and of the bytes (tensor_bundle.cc, WriteStringTensor).

    Raises:
      CheckpointError: the file ends early.
    """
    region = read_region(entry.path, entry.offset, entry.nbytes, None, entry.name)
    stored = b"".join(bytes(piece) for piece in region)
    length, start = read_varint(stored, 0)
    covered = struct.pack("<I", length) + stored[start:]
    return google_crc32c.value(covered) == entry.crc32c
