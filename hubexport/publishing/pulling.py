"""Pulling: a version is downloaded, checked, and put in place whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hubexport.errors import HubexportError, UsageError, some_of
from hubexport.paths import PathLike
from hubexport.progress import bytes_bar
from hubexport.publishing import hub_cache
from hubexport.publishing.archive import digest_of, pieces_of, unpack
from hubexport.publishing.manifest import Entry, Manifest
from hubexport.publishing.places import Place, UnreachableError, locate, manifest_of
from hubexport.publishing.tree import MANIFEST
from hubexport.saved_model.identity import RECORD, file_digests
from hubexport.saved_model.staging import remove_abandoned
from hubexport.saved_model.target import check_space, check_target, staged_directory

_ATTEMPTS = 5  # in a row that bring nothing
_PIECE = 1 << 20


@dataclass(frozen=True)
class Pulled:
    """What was pulled: from where, to where, and whether it was there already."""

    manifest: Manifest
    address: str
    directory: Path
    was_there: bool


def pull(
    *,
    source: str,
    output: PathLike | None = None,
    into_cache: bool = False,
    hub: str | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Pulled:
    """Downloads a version, checks every digest, and puts its directory in place.

    A download that was cut off goes on where it stopped, also in another run with the same
    target. Nothing is at the target before all of it is as the manifest says.

    Args:
      source: URL of a version or model, directory of a version, or a handle on `hub`.
      output: directory to make.
      into_cache: whether the target is the place in TF-Hub's cache where `hub.load(URL)` looks.
      hub: URL or directory of the hub, for handles.
      sha256: that the archive must have, for those who know it.
      overwrite: whether a target that holds something else is replaced.
      show_progress: whether a bar is shown, on a terminal.

    Raises:
      HubexportError: there is no such version, it is not as its manifest says, or the target
        cannot be written.
    """
    if (output is None) == (not into_cache):
        raise UsageError(
            "a version goes to one place",
            [("--output", str(output)), ("--into_cache", str(into_cache))],
            "pass one of them.",
        )
    place = locate(source, hub)
    manifest = manifest_of(place)
    _check_digest(place, manifest, sha256)
    if into_cache:
        if not place.address.startswith(("http://", "https://")):
            raise UsageError(
                "TF-Hub's cache is for URLs",
                [("source", place.address)],
                "hub.load takes directories as they are; or pass a URL.",
            )
        # Of an unversioned URL tensorflow_hub has an entry of its own.
        url = source if source.startswith(("http://", "https://")) else place.address
        target = hub_cache.directory_of(url)
    else:
        assert output is not None
        target, url = Path(output), ""
    was_there = _is_there(target, manifest)
    if not was_there:
        _fetch(place, manifest, target, overwrite=overwrite, show_progress=show_progress)
    if url:
        hub_cache.describe(url, target)
    return Pulled(manifest, place.address, target, was_there)


@contextlib.contextmanager
def fetched(source: str, hub: str | None = None, *, show_progress: bool = False) -> Iterator[Path]:
    """The directory of an artifact: a directory as it is, a published version pulled for a while.

    Raises:
      HubexportError: as of `pull`.
    """
    directory = Path(source)
    if directory.is_dir() and not (directory / MANIFEST).is_file():
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="hubexport.") as place:
        yield pull(
            source=source, output=Path(place, "artifact"), hub=hub, show_progress=show_progress
        ).directory


def _fetch(
    place: Place, manifest: Manifest, target: Path, *, overwrite: bool, show_progress: bool
) -> None:
    check_target(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent)
    check_space(target, manifest.archive.bytes + manifest.unpacked)
    partial = target.with_name(f".{target.name[:40]}.{manifest.archive.sha256[:16]}.download")
    total = 2 * manifest.archive.bytes  # read twice: from the hub, and from the download
    with _alone(partial), bytes_bar("pulling", total, show=show_progress) as advance:
        _download(place, manifest.archive, partial, advance)
        with staged_directory(target, overwrite=overwrite) as directory:
            with open(partial, "rb") as archive:
                problems = unpack(archive, manifest, directory, advance)
            if problems:
                partial.unlink()  # going on with it would give the same
                raise HubexportError(
                    "the download is not what the manifest says",
                    [("from", place.address), ("first", problems[0]), ("all", some_of(problems))],
                    "run the same command again; if it is so again, the hub's copy is damaged.",
                )
        partial.unlink()


def _download(place: Place, entry: Entry, partial: Path, advance: Callable[[int], object]) -> None:
    """Appends to the file until it is as long as the archive."""
    with open(partial, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size > entry.bytes:
            size = _emptied(file)
        advance(size)
        left = _ATTEMPTS
        while size < entry.bytes:
            before = size
            error: HubexportError = HubexportError(
                "the server sends less than the archive",
                [
                    ("from", f"{place.address}/{entry.path}"),
                    ("received", f"{size:,} bytes"),
                    ("expected", f"{entry.bytes:,} bytes"),
                ],
                "the hub's copy is damaged: pull from another.",
            )
            try:
                _append(place, entry, file, size, advance)
            except UnreachableError as cut:
                error = cut
            size = file.seek(0, os.SEEK_END)
            left = _ATTEMPTS if size > before else left - 1
            if not left:
                raise error


def _append(
    place: Place, entry: Entry, file: IO[bytes], size: int, advance: Callable[[int], object]
) -> None:
    """One request for what is missing."""
    with place.open(entry.path, size) as (begin, stream):
        if begin != size:  # a server that does not know ranges begins again
            size = _emptied(file)
        while size < entry.bytes and (piece := stream.read(min(_PIECE, entry.bytes - size))):
            file.write(piece)
            size += len(piece)
            advance(len(piece))


def _emptied(file: IO[bytes]) -> int:
    file.seek(0)
    return file.truncate(0)


@contextlib.contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """The file is there, and no other process writes to it.

    Raises:
      HubexportError: another does.
      OSError: it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor, is_ours = os.open(partial, flags, 0o666), False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (partial.exists() and os.path.samestat(os.fstat(descriptor), partial.stat())):
            raise BlockingIOError  # another was done with it, and removed it, just now
        is_ours = True
        yield
    except BlockingIOError as error:
        raise HubexportError(
            "another process is pulling this version to the same place",
            [("download", str(partial))],
            "wait until it is done.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            if is_ours and os.fstat(descriptor).st_size == 0:
                partial.unlink()  # nothing that another run could go on with
        os.close(descriptor)


def _check_digest(place: Place, manifest: Manifest, sha256: str | None) -> None:
    found = manifest.archive.sha256
    if sha256 is not None and sha256.lower() != found:
        raise HubexportError(
            "the archive is not the one that was asked for",
            [("from", place.address), ("--sha256", sha256), ("manifest", found)],
            "check where the digest is from: a published version never changes.",
        )


def _is_there(target: Path, manifest: Manifest) -> bool:
    """Whether a directory holds exactly what the manifest lists."""
    record = target / RECORD
    if not target.is_dir() or any(path.is_symlink() for path in target.rglob("*")):
        return False
    found = file_digests(target)
    if record.is_file():
        found[RECORD] = digest_of(pieces_of(record))[1]
    return found == {file.path: file.sha256 for file in manifest.files}
