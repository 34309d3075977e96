"""Reads `torch.save` files without PyTorch and without executing anything they hold.

`open_torch` tells the formats apart; the zip format (PyTorch 1.6 and later) is read here, the
older one in `torch_legacy`. A zip file holds one folder with `data.pkl` (the object; tensors
name their storages), `data/<key>` (a storage each, uncompressed) and perhaps `byteorder`.
Source: `_save` and `_load` in `torch/serialization.py`.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubexport.checkpoints.restricted_pickle import MAX_PICKLE_BYTES, RestrictedUnpickler
from hubexport.checkpoints.source import Checksum, TensorSource
from hubexport.checkpoints.torch_legacy import open_legacy
from hubexport.checkpoints.torch_objects import Storage, finder, typed_storage
from hubexport.checkpoints.torch_tensors import (
    StoredBytes,
    file_bytes,
    torch_source,
)
from hubexport.checkpoints.untrusted import clipped, looks_like, reading
from hubexport.errors import CheckpointError, some_of

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of the name, of the extra field
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800  # bits of a member's flags
# What zipfile raises for damaged files, besides its own error.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,  # UnicodeDecodeError among them
    NotImplementedError,
    RuntimeError,
    OverflowError,
    IndexError,
)


def open_torch(path: Path) -> TensorSource:
    """The tensors of a file written by `torch.save`, none of them read yet.

    Args:
      path: holds a state dict, or a dict with one under "state_dict", "model_state_dict" or
        "model" next to other values (those are left out). Python scalars and strings in a state
        dict are left out too.

    Returns:
      A TensorSource of layout "hugging_face"; "fairseq" by the tensors' names, or "xlm_original" by
      what else the file holds, then with the model's settings if the file has them. Tensors that
      lie contiguous in the file are regions of it; strided or compressed ones read their storage
      when read.

    Raises:
      UnsafeCheckpointError: the pickle asks for anything but tensors; nothing was executed.
      CheckpointError: not such a file, cut short, damaged, or of an unsupported kind.
    """
    with reading(path), open(path, "rb") as file:
        head = file.read(4)
    if head == b"PK\x03\x04":
        return _open_zip(path)
    with reading(path):
        is_tar = head[:1] != b"\x80" and tarfile.is_tarfile(path)
    if is_tar:
        raise CheckpointError(
            "not a file written by torch.save, or by PyTorch older than 0.2",
            [("file", str(path)), ("found", looks_like(path))],
            "extract it if it is an archive of a checkpoint; else load it with PyTorch and save "
            "its state dict again.",
        )
    return open_legacy(path)


def _open_zip(path: Path) -> TensorSource:
    with reading(path), _zip_errors(path), zipfile.ZipFile(path) as archive:
        members = _Members(path, archive)
        text = members.pickle()
        unpickler = RestrictedUnpickler(
            io.BytesIO(text), len(text), path, finder(path), members.storage
        )
        value = unpickler.load()
    return torch_source(path, "PyTorch pickle (zip)", value, members.storages)


class _Members:
    """The members of a torch.save zip file, by what they are for."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self._path, self._archive = path, archive
        self._infos = {info.filename: info for info in archive.infolist()}
        if len(self._infos) != len(archive.infolist()):
            raise _damaged(path, "two members of the same name")
        pickles = [n for n in self._infos if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                "not a file written by torch.save",
                [
                    ("file", str(path)),
                    ("found", f"a zip file of {some_of(map(clipped, self._infos))}"),
                ],
                "if it is an archive of a checkpoint, extract it and pass what is inside.",
            )
        # zipfile knows bzip2 and LZMA too, each with errors of its own; torch writes neither.
        methods = {info.compress_type for info in self._infos.values()}
        if not methods <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise _damaged(path, "members that are neither stored nor deflated")
        self._root = pickles[0][: -len("data.pkl")]
        self._refuse_scripts()
        self._require_little_endian()
        self.storages: dict[str, StoredBytes] = {}

    def pickle(self) -> bytes:
        return self._read("data.pkl", MAX_PICKLE_BYTES)

    def storage(self, identifier: Any) -> Storage:
        """For the unpickler: the storage of a persistent id, checked to be in the file."""
        storage, _ = typed_storage(identifier, fields=5)
        info = self._infos.get(f"{self._root}data/{storage.key}")
        if info is None:
            raise ValueError(f"the storage {clipped(storage.key)}, which is not in the file")
        if info.file_size != storage.nbytes:
            raise ValueError(
                f"the storage {clipped(storage.key)} of {storage.nbytes:,} bytes, "
                f"of which the file has {info.file_size:,}"
            )
        if storage.key not in self.storages:
            self.storages[storage.key] = self._locate(info)
        return storage

    def _refuse_scripts(self) -> None:
        if any(
            name == self._root + "constants.pkl" or name.startswith(self._root + "code/")
            for name in self._infos
        ):
            raise CheckpointError(
                "the file is a TorchScript program, not a checkpoint",
                [("file", str(self._path))],
                "save the weights: torch.save(torch.jit.load(path).state_dict(), other_path).",
            )

    def _require_little_endian(self) -> None:
        if self._root + "byteorder" not in self._infos:
            return  # before PyTorch 2.1; big-endian machines wrote files nobody else could read
        order = self._read("byteorder", 16)
        if order != b"little":
            raise CheckpointError(
                "the checkpoint has a byte order that is not supported",
                [
                    ("file", str(self._path)),
                    ("found", clipped(order.decode("latin-1"))),
                    ("expected", "little"),
                ],
                "load it with torch on any machine and save its state dict again.",
            )

    def _read(self, name: str, limit: int) -> bytes:
        """A small member, whatever size it claims to be."""
        info = self._infos[self._root + name]
        if info.CRC == 0 and info.compress_type == zipfile.ZIP_STORED:
            # Saved without checksums, which zipfile would take for damage.
            data = bytes(self._locate(info).read(0, min(info.file_size, limit + 1)))
        else:
            with self._archive.open(info) as member:
                data = member.read(limit + 1)
        if len(data) > limit:
            raise _damaged(self._path, f"more than {limit:,} bytes of {name}")
        return data

    def _locate(self, info: zipfile.ZipInfo) -> StoredBytes:
        if info.flag_bits & _ENCRYPTED:
            raise _damaged(self._path, "an encrypted member")
        if info.compress_type != zipfile.ZIP_STORED:
            return StoredBytes(info.file_size, None, self._decompressor(info))
        with open(self._path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(info.header_offset)
            signature, name_length, extra_length = _LOCAL_HEADER.unpack(
                file.read(_LOCAL_HEADER.size)
            )
            name = file.read(name_length)
        codec = "utf-8" if info.flag_bits & _UTF8_NAME else "cp437"
        offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if (
            signature != b"PK\x03\x04"
            or name != info.orig_filename.encode(codec)
            or info.compress_size != info.file_size
            or offset + info.file_size > size
        ):
            raise _damaged(self._path, f"no {clipped(info.filename)} where it should be")
        # torch.serialization.set_crc32_options(False) leaves 0 instead of checksums.
        checksum = Checksum("crc32", info.CRC) if info.CRC else None
        return file_bytes(self._path, offset, info.file_size, checksum)

    def _decompressor(self, info: zipfile.ZipInfo) -> Any:
        path = self._path

        def read(start: int, count: int) -> bytearray:
            with reading(path), _zip_errors(path), zipfile.ZipFile(path) as archive:
                with archive.open(info) as member:
                    member.seek(start)
                    data = member.read(count)
            if len(data) != count:
                raise _damaged(path, f"{clipped(info.filename)} is shorter than declared")
            return bytearray(data)

        return read


@contextmanager
def _zip_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _ZIP_ERRORS as error:
        raise _damaged(path, f"{type(error).__name__}: {clipped(error)}") from error


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the checkpoint is cut short or damaged",
        [("file", str(path)), ("found", found)],
        "copy or download the file again and compare its size with the original.",
    )
