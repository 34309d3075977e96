"""The files are whole: checksums, finite values, and what the record says was written."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from hubexport.checkpoints.source import Checksum, read_region
from hubexport.errors import HubexportError, some_of
from hubexport.saved_model.reading import PB
from hubexport.saved_model.record import source_file
from hubexport.tf_formats.bundle import BundleTensor, read_bundle
from hubexport.tf_formats.table import read_varint
from hubexport.validation.context import Context
from hubexport.validation.results import GateResult, Measurement, judge

NAME = "integrity"
SUMMARY = "checksums, finite values, and what the record says of the files"
NEEDS = ("encoder",)
LOADED = False
APART = False
EACH_PRECISION = False

_LARGEST_PROGRAM = 2**31 - 1
"""Bytes that a protocol buffer may have."""


def run(context: Context) -> GateResult:
    """Reads every byte of the artifacts once, and compares with their records."""
    measurements: list[Measurement] = []
    if context.saved_model is not None:
        measurements += _variables(context.saved_model)
        measurements += _program(context.saved_model, context.record, "")
        if context.record is not None:
            measurements += _as_recorded(context, context.record)
    if context.preprocessor is not None:
        measurements += _program(
            context.preprocessor, context.preprocessor_record, "preprocessor: "
        )
    return judge(NAME, measurements)


def _variables(directory: Path) -> Iterator[Measurement]:
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


def _program(directory: Path, record: Any, label: str) -> Iterator[Measurement]:
    """The graph's file, and the files that came with it."""
    found = source_file(directory / PB)
    fits = found["bytes"] <= _LARGEST_PROGRAM
    yield Measurement(f"{label}bytes of {PB}", fits, f"{found['bytes']:,}", f"{_LARGEST_PROGRAM:,}")
    if record is None:
        return
    wanted = record["saved_model"]["program"]["sha256"]
    yield Measurement(
        f"{label}{PB} is the one of the record", found["sha256"] == wanted, found["sha256"], wanted
    )
    tokenizer = record.get("tokenizer") or {}
    known = {file["name"]: file["sha256"] for file in tokenizer.get("files", {}).values()}
    assets = sorted(path for path in (directory / "assets").glob("*") if path.is_file())
    for path in assets:
        digest = source_file(path)["sha256"]
        # TensorFlow renames assets whose names are equal.
        same = digest in known.values() if path.name not in known else digest == known[path.name]
        yield Measurement(f"{label}asset {path.name} is the one of the record", same, digest)


def _as_recorded(context: Context, record: Mapping[str, Any]) -> Iterator[Measurement]:
    """What the record says of the encoder, and what its variables and graph say."""
    written = {str(row["variable"]): list(row["shape"]) for row in record["tensors"]}
    shapes = {each.name: list(each.shape) for each in context.summary.variables if each.trainable}
    other = [
        f"{name}: {shapes.get(name, 'absent')}, the record says {written.get(name, 'nothing')}"
        for name in sorted({*written, *shapes})
        if shapes.get(name) != written.get(name)
    ]
    yield Measurement(
        f"the record's {len(written)} variables and shapes",
        not other,
        some_of(other) or "all there",
    )
    architecture = record["architecture"]
    sizes = {
        name: f"{size}, the record says {architecture.get(name)}"
        for name, size in context.sizes.items()
        if size != architecture.get(name)
    }
    found = ", ".join(f"{name}: {text}" for name, text in sizes.items())
    yield Measurement("sizes are those of the record", not sizes, found or None)
    dtype = architecture.get("dtype", "float32")
    yield Measurement("dtype of matrix products", context.dtype == dtype, context.dtype, dtype)


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
    return bool(google_crc32c.value(covered) == entry.crc32c)
