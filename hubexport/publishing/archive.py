"""The archive of an artifact: a tar of the same bytes wherever and whenever it is made.

Members are in the order of their paths, directories before what they hold: tensorflow_hub makes
directories of such members only. Owners, times and permissions say nothing of the machine. Headers
are those of POSIX.1-2001 (pax), which has no limit of 8 GiB; an archive ends with two empty blocks,
as it must, and nothing behind them.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from hubexport.errors import HubexportError, some_of
from hubexport.publishing.manifest import Entry, Manifest, is_safe, media_type

NAMES = {"tar": "model.tar", "tar.gz": "model.tar.gz"}
"""--archive -> name of the file."""

_PIECE = 1 << 20
_AHEAD = 4  # pieces that a lane may be behind
_LEVEL = 1  # float32 weights: 0.915 of the size, and 0.911 at level 9 in twice the time
_END = bytes(2 * tarfile.BLOCKSIZE)


class Sink(Protocol):
    """What an archive is written to."""

    def write(self, piece: bytes, /) -> object: ...


@dataclass(frozen=True)
class Member:
    """A directory, or a file to read: its path in the archive, and its size."""

    path: str
    source: Path
    size: int | None
    """None for a directory."""


def members_of(directory: Path) -> list[Member]:
    """Everything in an artifact, in the archive's order.

    Raises:
      HubexportError: something is neither a file nor a directory, such as a link, or has a name
        that clients refuse.
    """
    members: list[Member] = []
    links: list[str] = []
    names: list[str] = []
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                name = path.relative_to(directory).as_posix()
                status = entry.stat(follow_symlinks=False)
                if not is_safe(name) or not name.isprintable():
                    names.append(ascii(name))
                if stat.S_ISDIR(status.st_mode):
                    members.append(Member(name, path, None))
                    pending.append(path)
                elif stat.S_ISREG(status.st_mode):
                    members.append(Member(name, path, status.st_size))
                else:
                    links.append(name)
    for problem, found in (
        ("the artifact has links or special files, which no client unpacks", links),
        ("the artifact has files with names that clients refuse", names),
    ):
        if found:
            raise HubexportError(
                problem,
                [("artifact", str(directory)), ("found", some_of(sorted(found)))],
                "replace links by the files that they lead to, and rename the others.",
            )
    return sorted(members, key=lambda member: member.path)


@dataclass(frozen=True)
class Packed:
    """An archive that was written: itself, and its files."""

    archive: Entry
    files: tuple[Entry, ...]


def pack(
    members: list[Member],
    sink: Sink,
    name: str,
    media: str,
    advance: Callable[[int], object] = lambda _: None,
) -> Packed:
    """Writes an archive; each file is read once.

    Args:
      members: of `members_of`.
      sink: gets the archive's bytes, in order.
      name: of the archive, which says whether it is compressed.
      media: its type, for the manifest.
      advance: told of the bytes that were read.

    Raises:
      HubexportError: a file cannot be read, or has changed its size.
      OSError: of the sink.
    """
    counted = _Counted(sink)
    files = []
    with contextlib.ExitStack() as stack:
        writing, hashing = stack.enter_context(_Lane()), stack.enter_context(_Lane())
        out: Sink = counted
        if name.endswith(".gz"):
            # The file name and the time of a gzip header would differ from run to run.
            out = gzip.GzipFile("", "wb", _LEVEL, counted, mtime=0)
        for member in members:
            writing(out.write, _header(member))
            if member.size is None:
                continue
            digest = hashlib.sha256()
            for piece in _pieces(member.source, member.size):
                hashing(digest.update, piece)
                writing(out.write, piece)
                advance(len(piece))
            writing(out.write, bytes(-member.size % tarfile.BLOCKSIZE))
            hashing.finish()
            files.append(
                Entry(member.path, member.size, digest.hexdigest(), media_type(member.path))
            )
        writing(out.write, _END)
        writing.finish()
        if isinstance(out, gzip.GzipFile):
            out.close()
    archive = Entry(name, counted.size, counted.digest.hexdigest(), media)
    return Packed(archive, tuple(files))


def unpack(
    archive: IO[bytes],
    manifest: Manifest,
    directory: Path | None,
    advance: Callable[[int], object] = lambda _: None,
) -> list[str]:
    """Reads an archive as its manifest says it is, and writes its files.

    Only directories and the manifest's files are taken, each once; their paths are the manifest's,
    which were looked at when it was read.

    Args:
      archive: its bytes, which are read once, to their end.
      manifest: of it.
      directory: to write to, empty; None to look only.
      advance: told of the bytes that were read.

    Returns:
      What differs, in words; empty where all is as it should be.
    """
    wanted = {entry.path: entry for entry in manifest.files}
    found: dict[str, tuple[int, str]] = {}
    problems: list[str] = []
    whole = hashlib.sha256()
    with _Lane() as hashing:

        def tell(piece: bytes) -> None:
            hashing(whole.update, piece)
            advance(len(piece))

        opened: Any = _Read(archive, tell)
        try:
            with tarfile.open(fileobj=opened, mode="r|*", bufsize=_PIECE) as tar:
                for member in tar:
                    problem = _refused(member, wanted, found)
                    if problem:
                        problems.append(problem)
                        continue
                    if directory is not None and member.isdir():
                        (directory / member.name.rstrip("/")).mkdir(parents=True, exist_ok=True)
                    if member.isfile() and member.size != wanted[member.name].bytes:
                        found[member.name] = member.size, ""  # not read: it may have any size
                    elif member.isfile():
                        target = None if directory is None else directory / member.name
                        found[member.name] = _copy(tar.extractfile(member), target)
            while opened.read(_PIECE):  # tar stops at the end's first block
                pass
        except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
            return [f"{manifest.archive.path}: cannot be read to its end: {error}"]
        hashing.finish()
    if (opened.size, whole.hexdigest()) != (manifest.archive.bytes, manifest.archive.sha256):
        problems.append(
            different(manifest.archive.path, manifest.archive, opened.size, whole.hexdigest())
        )
    problems += [f"{path}: not in the archive" for path in wanted if path not in found]
    problems += [
        different(path, wanted[path], size, digest)
        for path, (size, digest) in found.items()
        if (size, digest) != (wanted[path].bytes, wanted[path].sha256)
    ]
    return problems


def different(name: str, wanted: Entry, size: int, digest: str) -> str:
    """How a file differs from its entry, in words."""
    if size != wanted.bytes:
        return f"{name}: {size:,} bytes, the manifest says {wanted.bytes:,}"
    return f"{name}: SHA-256 {digest[:16]}..., the manifest says {wanted.sha256[:16]}..."


def digest_of(pieces: Iterator[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of bytes that come in pieces."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def pieces_of(path: Path) -> Iterator[bytes]:
    """A file's bytes.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _refused(
    member: tarfile.TarInfo, wanted: Mapping[str, Entry], found: Mapping[str, Any]
) -> str | None:
    name = member.name
    if member.isdir():
        is_parent = any(path.startswith(f"{name}/") for path in wanted)
        return None if is_parent or is_safe(name) else f"{name!r}: a directory outside"
    if not member.isfile():
        return f"{name!r}: neither a file nor a directory"
    if name not in wanted:
        return f"{name!r}: not in the manifest"
    return f"{name}: twice in the archive" if name in found else None


def _copy(source: IO[bytes] | None, target: Path | None) -> tuple[int, str]:
    assert source is not None
    digest, size = hashlib.sha256(), 0
    with contextlib.ExitStack() as stack:
        out = None
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            out = stack.enter_context(open(target, "xb"))
        while piece := source.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            if out is not None:
                out.write(piece)
    return size, digest.hexdigest()


def _header(member: Member) -> bytes:
    info = tarfile.TarInfo(member.path)
    if member.size is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = member.size, 0o644
    # Owner and time are 0 and names of owners empty, unless something sets them.
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with open(path, "rb") as file:
            while left and (piece := file.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece
            more = bool(file.read(1))
    except OSError as error:
        raise HubexportError(
            "a file of the artifact cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at its permissions.",
        ) from error
    if left or more:
        raise HubexportError(
            "a file of the artifact changes while it is read",
            [("file", str(path)), ("size at first", f"{size:,} bytes")],
            "wait until whoever writes it is done, validate the artifact, and publish it again.",
        )


class _Counted:
    """Counts and digests what is written."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self.digest, self.size = hashlib.sha256(), 0

    def write(self, piece: bytes) -> int:
        self._sink.write(piece)
        self.digest.update(piece)
        self.size += len(piece)
        return len(piece)

    def flush(self) -> None:
        """For gzip."""


class _Read(io.RawIOBase):
    """Tells of everything that is read, and counts it."""

    def __init__(self, file: IO[bytes], tell: Callable[[bytes], object]):
        self._file, self._tell = file, tell
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if piece:
            self._tell(piece)
            self.size += len(piece)
        return piece


class _Lane:
    """Runs calls one after the other in a thread of its own, a few ahead of their results.

    Digests are most of the work, and leave the interpreter to others meanwhile.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[Any]] = deque()

    def __enter__(self) -> _Lane:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, call: Callable[..., object], *arguments: object) -> None:
        while len(self._pending) >= _AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(call, *arguments))

    def finish(self) -> None:
        """Waits for all calls; what one raised is raised here."""
        while self._pending:
            self._pending.popleft().result()
