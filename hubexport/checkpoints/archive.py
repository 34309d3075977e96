"""Unpacks an archive of a checkpoint (`.tar.gz`, `.tgz`, `.tar`, `.zip`) into a directory.

Members are regular files below the directory, or all is refused: Python's own tar filter came
with 3.12 and does not exist for zip. Nothing of a refused archive is left behind.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from hubexport.checkpoints.source import CHUNK_BYTES
from hubexport.checkpoints.untrusted import clipped, looks_like, reading
from hubexport.errors import CheckpointError, ExportPathError, UnsafeCheckpointError, some_of

MAX_MEMBERS = 10_000
_MAX_READ = 2 * CHUNK_BYTES  # more at once is a header that claims to be that long
_BLOCK = 512  # of a tar file
_ENCRYPTED = 0x1
_ARCHIVE_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    IndexError,
)


class _Member(NamedTuple):
    """One entry: `refused` says why it must not be written; `content` is None for a folder."""

    name: str
    refused: str | None
    content: IO[bytes] | None


def extract(archive: Path, into: Path) -> Path:
    """Unpacks the archive into a directory of its own.

    Args:
      archive: a tar file, gzip-compressed or not, or a zip file; told apart by content.
      into: made by this function, or empty.

    Returns:
      The directory that holds the files: `into`, or the single folder inside it.

    Raises:
      UnsafeCheckpointError: members are links, devices, or lead out of `into` (all are named).
      CheckpointError: not an archive, damaged, empty, or larger than the free disk space.
      ExportPathError: `into` exists and is not an empty directory, or cannot be written.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ExportPathError(
            "the directory to extract into is not empty",
            [("archive", str(archive)), ("directory", str(into))],
            "name a directory that does not exist yet.",
        )
    members = _members_of(archive)
    partial = into.parent / f".{into.name}.{uuid.uuid4().hex}"
    try:
        with _writing(into):
            partial.mkdir(parents=True)
        with reading(archive):
            _write(archive, members, partial)
        with _writing(into):
            if into.is_dir():
                into.rmdir()  # empty; not every system replaces it
            os.replace(partial, into)
    except _ARCHIVE_ERRORS as error:
        raise _damaged(archive, f"{type(error).__name__}: {clipped(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _checkpoint_directory(into)


def _write(archive: Path, members: Iterator[_Member], target: Path) -> None:
    """Writes all members below `target`, counting what is really written."""
    free = shutil.disk_usage(target).free
    refused: list[str] = []
    written: set[str] = set()
    total = 0
    for count, member in enumerate(members, start=1):
        if count > MAX_MEMBERS:
            raise CheckpointError(
                "the archive has too many members for a checkpoint",
                [("archive", str(archive)), ("limit", f"{MAX_MEMBERS:,}")],
                "extract it yourself and pass the directory.",
            )
        parts, reason = _parts(member.name)
        reason = reason or member.refused
        if reason is None and member.content is not None and "/".join(parts) in written:
            reason = "there twice"
        if reason is not None:
            refused.append(f"{clipped(member.name)} ({reason})")
        if refused or not parts:
            continue  # from the first offender on, only named
        place = target.joinpath(*parts)
        if member.content is None:
            with _writing(place):
                place.mkdir(parents=True, exist_ok=True)
            continue
        written.add("/".join(parts))
        with _writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            file = open(place, "xb")  # noqa: SIM115 - closed below
        with file:
            while piece := member.content.read(CHUNK_BYTES):
                total += len(piece)
                if total > free:
                    raise CheckpointError(
                        "the archive is larger than the free disk space",
                        [("archive", str(archive)), ("free", f"{free:,} bytes")],
                        "make space, or check that the archive is what it should be.",
                    )
                with _writing(place):
                    file.write(piece)
    if refused:
        raise UnsafeCheckpointError(
            "the archive is refused: a checkpoint is plain files in a folder",
            [("archive", str(archive)), (f"refused ({len(refused)})", some_of(refused, 100))],
            "get the checkpoint from a source you trust; nothing of it was left on the disk.",
        )
    if not written:
        raise CheckpointError(
            "the archive holds no files",
            [("archive", str(archive))],
            "copy or download it again.",
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportPathError(
            "the archive cannot be extracted",
            [("writing", str(path)), ("system", error.strerror or str(error))],
            "make sure that the directory can be written and has space.",
        ) from error


def _parts(name: str) -> tuple[tuple[str, ...], str | None]:
    """The parts of a member's path, and why it must not be written, or None."""
    path = PurePosixPath(name.replace("\\", "/"))  # as Windows would read it
    if path.is_absolute() or (path.parts and path.parts[0].endswith(":")):
        return (), "absolute path"
    if path.parts and len(path.parts[0]) > 1 and path.parts[0][1] == ":":
        return (), "absolute path"
    if ".." in path.parts:
        return (), "leads out of the directory"
    if any(ord(character) < 32 for character in name):
        return (), "control characters in the name"
    return path.parts, None


def _members_of(archive: Path) -> Iterator[_Member]:
    with reading(archive), open(archive, "rb") as file:
        head = file.read(_BLOCK)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _zip_members(archive)
        if head.startswith(b"\x1f\x8b"):
            return _tar_members(archive, compressed=True)
        if head[257:262] == b"ustar" or _is_old_tar(head):
            return _tar_members(archive, compressed=False)
    raise CheckpointError(
        "not an archive that can be extracted",
        [("file", str(archive)), ("found", looks_like(archive))],
        "pass a .tar.gz, .tgz, .tar or .zip file, or a directory.",
    )


def _is_old_tar(head: bytes) -> bool:
    """A header of before POSIX, which has nothing but its checksum to be told by."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            refused = None
            if kind == stat.S_IFLNK:
                refused = "symbolic link"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refused = "not a regular file"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _damaged(archive, f"{clipped(info.filename)}: neither stored nor deflated")
            elif info.flag_bits & _ENCRYPTED:
                raise _damaged(archive, f"{clipped(info.filename)} is encrypted")
            if refused or info.is_dir():
                yield _Member(info.orig_filename, refused, None)
            else:
                with opened.open(info) as content:
                    yield _Member(info.orig_filename, None, content)


def _tar_members(archive: Path, compressed: bool) -> Iterator[_Member]:
    with open(archive, "rb") as file:
        stream = _CappedReads(gzip.GzipFile(fileobj=file) if compressed else file)
        with tarfile.open(fileobj=stream, mode="r:") as opened:  # type: ignore[call-overload]
            for info in opened:
                if info.isdir():
                    yield _Member(info.name, None, None)
                elif info.issym() or info.islnk():
                    yield _Member(info.name, f"link to {clipped(info.linkname)}", None)
                elif not info.isreg() or info.issparse():
                    yield _Member(info.name, "not a regular file", None)
                else:
                    yield _Member(info.name, None, opened.extractfile(info))
            # tarfile takes a damaged header in the middle for the end; the end is a zero block.
            stream.seek(opened.offset)
            if stream.read(_BLOCK) != bytes(_BLOCK):
                raise _damaged(archive, "no end of the archive where it should be")


class _CappedReads:
    """A file that refuses to be read in large pieces: tarfile takes a name's length on trust."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _damaged(archive: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the archive is cut short or damaged",
        [("archive", str(archive)), ("found", found)],
        "copy or download the archive again.",
    )


def _checkpoint_directory(top: Path) -> Path:
    """Goes down while there is only one folder; what macOS adds (`__MACOSX`, `._x`) aside."""
    while True:
        entries = [
            entry
            for entry in top.iterdir()
            if entry.name != "__MACOSX" and not entry.name.startswith(".")
        ]
        if len(entries) != 1 or not entries[0].is_dir():
            return top
        top = entries[0]
