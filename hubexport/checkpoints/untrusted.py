"""Checks shared by the readers of files that nobody vouches for.

A header may declare any shape and any length: what is asked of numpy or of the file system is
checked here first, so that a crafted file ends in an error and not in a full memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubexport.checkpoints.source import numpy_dtype
from hubexport.errors import CheckpointError

MAX_RANK = 32  # numpy 1's limit, numpy 2 allows 64; no model comes near
MAX_BYTES = 1 << 62  # shape arithmetic inside numpy stays below a signed 64-bit integer
_SHOWN_CHARACTERS = 120

# What is often found in place of a checkpoint, by its first bytes.
_IMPOSTORS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"PK\x03\x04", "a zip file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x80", "a pickle"),
)


def nbytes_of(shape: Sequence[Any], dtype: str) -> int | None:
    """Length in bytes of a row-major tensor [*shape] of dtype, or None where none can exist.

    None: a dimension that is not a whole number >= 0, too many of them, or an extent (taking
    zeros as ones, as numpy does) beyond 2**62 bytes.
    """
    if len(shape) > MAX_RANK or any(type(size) is not int or size < 0 for size in shape):
        return None
    itemsize = numpy_dtype(dtype).itemsize
    if math.prod(max(size, 1) for size in shape) * itemsize > MAX_BYTES:
        return None
    nbytes: int = math.prod(shape) * itemsize
    return nbytes


def clipped(text: object) -> str:
    """A name out of the file as an error may show it: printable and short."""
    shown = str(text).encode("unicode_escape").decode("ascii")
    if len(shown) <= _SHOWN_CHARACTERS:
        return shown
    return shown[:_SHOWN_CHARACTERS] + f"... ({len(shown):,} characters)"


def looks_like(path: Path) -> str:
    """What a file seems to be instead of the checkpoint that was expected, for people."""
    with reading(path), open(path, "rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    if head[257:262] == b"ustar":
        return "a tar archive"
    for start, name in _IMPOSTORS:
        if head.startswith(start):
            return name
    return f"a file that starts with {head[:8]!r}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the system's errors about a file into a CheckpointError that names it."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            "the checkpoint cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at the path and its permissions.",
        ) from error
