"""Reads `torch.save` files of the format before PyTorch 1.6, which is not a zip file.

One after the other: five pickles (a magic number, the protocol version, facts about the system,
the object, the keys of its storages), then the storages in that order, each an 8-byte count of
elements and the elements.
Source: `_legacy_save` and `_legacy_load` in `torch/serialization.py`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, BinaryIO

from hubexport.checkpoints.restricted_pickle import RestrictedUnpickler
from hubexport.checkpoints.source import TensorSource, numpy_dtype
from hubexport.checkpoints.torch_objects import Storage, finder, no_globals, typed_storage
from hubexport.checkpoints.torch_tensors import (
    StoredBytes,
    file_bytes,
    torch_source,
)
from hubexport.checkpoints.untrusted import looks_like, nbytes_of, reading
from hubexport.errors import CheckpointError, UnsafeCheckpointError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


def open_legacy(path: Path) -> TensorSource:
    """The tensors of a non-zip `torch.save` file, none of them read yet.

    Raises:
      UnsafeCheckpointError: the pickle asks for more than tensors.
      CheckpointError: it is not such a file, or cut short or damaged.
    """
    with reading(path), open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        _read_preamble(path, file, size)
        roots = _Roots()
        value = RestrictedUnpickler(
            file, size - file.tell(), path, finder(path), roots.storage
        ).load()
        storages = _read_storages(path, file, size, roots)
    return torch_source(path, "PyTorch pickle (legacy)", value, storages)


class _Roots:
    """The storages that the object names, as it declares them."""

    def __init__(self) -> None:
        self.declared: dict[str, Storage] = {}

    def storage(self, identifier: Any) -> Storage:
        storage, view = typed_storage(identifier, fields=6)
        if self.declared.setdefault(storage.key, storage) != storage:
            raise ValueError(f"the storage {storage.key} with two types or lengths")
        if view is None:
            return storage
        if type(view) is not tuple or len(view) != 3:
            raise ValueError("a view of a storage without a place")
        _, offset, count = view  # the first is the view's own key
        start, nbytes = nbytes_of((offset,), storage.dtype), nbytes_of((count,), storage.dtype)
        if start is None or nbytes is None or start + nbytes > storage.nbytes:
            raise ValueError("a view that is not inside its storage")
        return dataclasses.replace(storage, start=start, nbytes=nbytes)


def _read_preamble(path: Path, file: BinaryIO, size: int) -> None:
    """Leaves the file behind its third pickle, or raises if it is not one of torch.save."""

    def load() -> Any:
        return RestrictedUnpickler(file, size - file.tell(), path, no_globals(path)).load()

    problem = "not a file written by torch.save"
    advice = "pass pytorch_model.bin itself, a file written by torch.save, or safetensors."
    if file.read(1) != b"\x80":  # every pickle of protocol 2 and later
        raise CheckpointError(problem, [("file", str(path)), ("found", looks_like(path))], advice)
    file.seek(0)
    try:
        magic = load()
    except UnsafeCheckpointError:
        raise
    except CheckpointError as error:
        raise CheckpointError(problem, error.facts, advice) from error
    if magic != MAGIC_NUMBER:
        facts = [("file", str(path)), ("found", "a pickle without torch.save's magic number")]
        raise CheckpointError(problem, facts, advice)
    version = load()
    if version != PROTOCOL_VERSION:
        facts = [("file", str(path)), ("expected", f"version {PROTOCOL_VERSION}")]
        raise CheckpointError("a file of an unknown version of torch.save", facts, advice)
    system = load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError(
            "the checkpoint was written on a big-endian machine, which is not supported",
            [("file", str(path))],
            "load it with torch on any machine and save its state dict again.",
        )


def _read_storages(path: Path, file: BinaryIO, size: int, roots: _Roots) -> dict[str, StoredBytes]:
    """Where the storages lie: all that the object names, each inside the file."""
    keys = RestrictedUnpickler(file, size - file.tell(), path, no_globals(path)).load()
    named = isinstance(keys, list) and all(type(key) is str for key in keys)
    if not named or len(keys) != len(set(keys)) or set(keys) != set(roots.declared):
        raise _damaged(path, "a list of storages that is not that of the tensors")
    found: dict[str, StoredBytes] = {}
    position = file.tell()
    for key in keys:
        declared = roots.declared[key]
        end = position + 8 + declared.nbytes
        if end > size:
            raise CheckpointError(
                "the checkpoint is cut short",
                [
                    ("file", str(path)),
                    ("found", f"{size:,} bytes"),
                    ("needed", f"{end:,} bytes, up to the end of storage {len(found) + 1}"),
                ],
                "copy or download the file again and compare its size with the original.",
            )
        file.seek(position)
        count = int.from_bytes(file.read(8), "little", signed=True)
        if count * numpy_dtype(declared.dtype).itemsize != declared.nbytes:
            raise _damaged(path, f"a storage of {count:,} elements, declared otherwise")
        found[key] = file_bytes(path, position + 8, declared.nbytes)
        position = end
    return found


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the checkpoint is damaged",
        [("file", str(path)), ("found", found)],
        "copy or download the file again.",
    )
