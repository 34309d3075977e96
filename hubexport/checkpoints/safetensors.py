"""Reads `*.safetensors`: an 8-byte length, a JSON header of that length, then the tensors.

The header is parsed here because offsets are needed, which the `safetensors` package keeps to
itself. It is checked as strictly as that package does: every byte after the header belongs to
one tensor, no more and no less.
Format: https://huggingface.co/docs/safetensors (section "Format").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.fairseq import state_dict_layout
from hubexport.checkpoints.source import FileTensor, LazyTensor, TensorSource
from hubexport.checkpoints.untrusted import clipped, looks_like, nbytes_of, reading
from hubexport.errors import CheckpointError, some_of

MAX_HEADER_BYTES = 100_000_000  # the safetensors package's own bound

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def open_safetensors(path: Path) -> TensorSource:
    """The tensors of one safetensors file, none of them read yet.

    Args:
      path: a `*.safetensors` file of PyTorch tensors.

    Returns:
      A TensorSource whose tensors are regions of the file, of layout "hugging_face", or "fairseq"
      by their names.

    Raises:
      CheckpointError: it cannot be read, is not safetensors, is cut short or damaged, or was
        written from a TensorFlow or Flax model, whose tensors have other names and axes.
    """
    header, start, size = _read_header(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise _damaged(path, "__metadata__ is not an object")
    written_from = metadata.get("format")
    if written_from in ("tf", "flax"):
        raise CheckpointError(
            "the checkpoint holds weights of another framework's model",
            [
                ("file", str(path)),
                ("found", f"format {written_from!r} in its metadata"),
                ("expected", "'pt', as PyTorch models are saved"),
            ],
            "use the PyTorch weights of the model (model.safetensors or pytorch_model.bin).",
        )
    tensors: dict[str, LazyTensor] = {}
    regions = []
    for name, entry in header.items():
        tensor, begin, end = _tensor(path, name, entry, start)
        tensors[name] = tensor
        regions.append((begin, end, name))
    _check_cover(path, regions, size - start)
    return TensorSource(path, "safetensors", state_dict_layout(tensors), (path,), tensors)


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """Returns the parsed header, where the tensors' bytes start, and the file's size."""
    with reading(path), open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > MAX_HEADER_BYTES or file.read(1) != b"{":
            raise CheckpointError(
                "not a safetensors file",
                [("file", f"{path} ({size:,} bytes)"), ("found", looks_like(path))],
                "pass the model.safetensors file itself; if it was downloaded, download it again.",
            )
        if 8 + length > size:
            raise _cut_short(path, size, 8 + length, "the header")
        file.seek(8)
        text = file.read(length)
    try:
        # RecursionError: a header of thousands of opening brackets.
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header: {clipped(error)}") from error
    return header, 8 + length, size


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {clipped(twice)} is there twice")
    return found


def _tensor(path: Path, name: str, entry: Any, start: int) -> tuple[FileTensor, int, int]:
    """Returns the tensor and its [begin, end) counted from `start`."""
    what = f"the header's entry for {clipped(name)}"
    if not isinstance(entry, Mapping) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"{what} is not exactly dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    dtype = _DTYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise CheckpointError(
            f"the dtype of {clipped(name)} is not supported",
            [
                ("file", str(path)),
                ("found", clipped(code)),
                ("supported", ", ".join(_DTYPES)),
            ],
            "use a checkpoint with weights in one of these dtypes.",
        )
    nbytes = nbytes_of(shape, dtype) if isinstance(shape, list) else None
    if nbytes is None:
        raise _damaged(path, f"{what} has the shape {clipped(shape)}")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or any(type(offset) is not int or offset < 0 for offset in offsets)
        or offsets[1] - offsets[0] != nbytes
    ):
        raise _damaged(
            path,
            f"{what} has data_offsets {clipped(offsets)}; {shape} {dtype} needs {nbytes:,} bytes",
        )
    begin, end = offsets
    return FileTensor(name, tuple(shape), dtype, path, start + begin), begin, end


def _check_cover(path: Path, regions: list[tuple[int, int, str]], available: int) -> None:
    """Every byte of the data belongs to exactly one tensor."""
    position, overlaps = 0, []
    for begin, end, name in sorted(regions):
        if begin != position:
            overlaps.append(f"{clipped(name)} at {begin:,}, expected at {position:,}")
        position = max(position, end)
    if overlaps:
        raise _damaged(path, f"tensors overlap or leave holes: {some_of(overlaps)}")
    if position > available:
        last = max(regions, key=lambda region: region[1])[2]
        raise _cut_short(path, available, position, clipped(last), of="tensor data")
    if position < available:
        raise _damaged(path, f"{available - position:,} bytes after the last tensor")


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the safetensors file is damaged",
        [("file", str(path)), ("found", found)],
        "copy or download the file again; if that does not help, save it again from the model.",
    )


def _cut_short(path: Path, found: int, needed: int, what: str, of: str = "") -> CheckpointError:
    return CheckpointError(
        "the checkpoint is cut short",
        [
            ("file", str(path)),
            ("found", f"{found:,} bytes {of}".rstrip()),
            ("needed", f"{needed:,} bytes, up to the end of {what}"),
        ],
        "copy or download the file again and compare its size with the original.",
    )
