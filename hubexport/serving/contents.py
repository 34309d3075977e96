"""What a hub's tree holds, as a server needs it: files to send, and the index.

Manifests and the index are remembered, and read again when they have changed. Which versions there
are is always read from the directories: what was just published is served at once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hubexport.errors import HubexportError
from hubexport.publishing.catalogue import index_of, index_text
from hubexport.publishing.handle import Handle
from hubexport.publishing.manifest import Entry, Manifest, media_type, parse_manifest
from hubexport.publishing.tree import HTML, INDEX, MANIFEST, SUMS, Tree

_REMEMBERED = 256
"""Manifests in memory; one of a usual model has some kilobytes."""
_LARGEST_TEXT = 2**26
"""Bytes of a manifest, sums or page, which are read whole."""


class DamagedError(Exception):
    """A version whose files are not those of its manifest; the text says which."""


@dataclass(frozen=True)
class Digest:
    """A SHA-256, in hexadecimal."""

    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Digest:
        return cls(hashlib.sha256(content).hexdigest())

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'

    @property
    def repr_digest(self) -> str:
        """As RFC 9530 writes it."""
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode()}:"


@dataclass(frozen=True)
class Sendable:
    """An open file, which whoever has it closes.

    Attributes:
      file: unbuffered, for reading.
      size: in bytes.
      digest: of the whole file.
      media_type: with the set of characters, if it is a text.
    """

    file: BinaryIO
    size: int
    digest: Digest
    media_type: str


@dataclass(frozen=True)
class Index:
    """The index of a moment: as data, and as the bytes of `index.json`."""

    models: dict[str, Any]
    text: bytes
    digest: Digest


class Contents:
    """Of a tree; see the module."""

    def __init__(self, tree: Tree):
        self.tree = tree
        self._manifests: dict[Handle, tuple[Any, Manifest, Digest]] = {}
        self._index: tuple[Any, Index] | None = None
        self._index_lock = asyncio.Lock()

    def archive(self, handle: Handle) -> Sendable | None:
        """The archive of a version; None where there is no such version.

        Raises:
          DamagedError: it is not as the manifest says.
          OSError: the system refuses to open it.
        """
        found = self._manifest(handle)
        return found and self._listed(handle, found[0].archive)

    def file(self, handle: Handle, name: str) -> Sendable | None:
        """A file of a version, by its name; None for names that a hub has no files of.

        Raises:
          DamagedError: it is not as the manifest says.
          OSError: the system refuses to open it.
        """
        found = self._manifest(handle)
        if found is None or name.startswith("."):
            return None
        manifest, digest = found
        for entry in (manifest.archive, *manifest.beside):
            if entry.path == name:
                return self._listed(handle, entry)
        if name not in (MANIFEST, SUMS, HTML):
            return None
        file = self._open(handle, name)
        if file is None:
            return None
        if name != MANIFEST:
            with _closed_on_error(file):
                digest = Digest.of(_whole(file))
        return _sendable(file, name, digest)

    async def index(self) -> Index:
        """Made again, in a thread, when `index.json` has changed: publications write it anew."""
        async with self._index_lock:
            signature = _signature(self.tree.root / INDEX)
            if self._index is None or self._index[0] != signature:
                made = await asyncio.to_thread(_make_index, self.tree)
                self._index = signature, made
            return self._index[1]

    def _manifest(self, handle: Handle) -> tuple[Manifest, Digest] | None:
        path = self.tree.file(handle, MANIFEST)
        if path is None:
            return None
        signature = _signature(path)
        known = self._manifests.get(handle)
        if known is None or known[0] != signature:
            known = self._manifests[handle] = (signature, *self._read_manifest(handle))
            while len(self._manifests) > _REMEMBERED:
                del self._manifests[next(iter(self._manifests))]
        return known[1:]

    def _read_manifest(self, handle: Handle) -> tuple[Manifest, Digest]:
        file = self._open(handle, MANIFEST)
        if file is None:
            raise DamagedError("its manifest is gone")
        with file:
            text = _whole(file)
        try:
            manifest = parse_manifest(text, MANIFEST)
        except HubexportError as error:
            raise DamagedError("its manifest is damaged") from error
        if manifest.handle != str(handle):
            raise DamagedError("its manifest is of another handle")
        return manifest, Digest.of(text)

    def _listed(self, handle: Handle, entry: Entry) -> Sendable:
        """A file that the manifest has, of the size that it has there."""
        file = self._open(handle, entry.path)
        if file is None:
            raise DamagedError(f"{entry.path} is missing")
        with _closed_on_error(file):
            size = os.fstat(file.fileno()).st_size
            if size != entry.bytes:
                raise DamagedError(
                    f"{entry.path} has {size:,} bytes, {entry.bytes:,} in its manifest"
                )
        return _sendable(file, entry.path, Digest(entry.sha256))

    def _open(self, handle: Handle, name: str) -> BinaryIO | None:
        path = self.tree.file(handle, name)
        if path is None:
            return None
        flags = os.O_RDONLY | os.O_CLOEXEC
        # What a name stands for may have changed since it was looked at.
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            file = os.fdopen(os.open(path, flags), "rb", buffering=0)
        except FileNotFoundError:
            return None
        with _closed_on_error(file):
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DamagedError(f"{name} is not a file")
        return file


def _make_index(tree: Tree) -> Index:
    models = index_of(tree)
    text = index_text(models).encode()
    return Index(models, text, Digest.of(text))


def _sendable(file: BinaryIO, name: str, digest: Digest) -> Sendable:
    # By the name, never by what a manifest says: a header is no place for anybody's text.
    kind = _KINDS.get(name) or media_type(name)
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    return Sendable(file, os.fstat(file.fileno()).st_size, digest, kind)


_KINDS = {
    HTML: "text/html",
    SUMS: "text/plain",
    "model.tar": "application/x-tar",
    "model.tar.gz": "application/gzip",
}


def _whole(file: BinaryIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > _LARGEST_TEXT:
        raise DamagedError(f"a text of {size:,} bytes")
    content = b""
    while len(content) < size and (piece := os.pread(file.fileno(), size, len(content))):
        content += piece
    return content


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes with a file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


@contextlib.contextmanager
def _closed_on_error(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise
