"""Where versions are published to: what every such place can do, and the one on a file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from hubexport.errors import HubexportError, UsageError
from hubexport.files import replaced
from hubexport.publishing import catalogue
from hubexport.publishing.archive import pieces_of
from hubexport.publishing.handle import Handle, Model
from hubexport.publishing.manifest import read_manifest
from hubexport.publishing.tree import (
    FORMAT,
    HTML,
    HUB,
    INDEX,
    LOCK,
    MANIFEST,
    NEWEST,
    Tree,
    open_tree,
)
from hubexport.saved_model.staging import make_staging, release, remove, remove_abandoned
from hubexport.saved_model.target import sync, sync_directory, umask

_ATTEMPTS = 10


class ConflictError(HubexportError):
    """Somebody else has published the version meanwhile."""


class Staged(Protocol):
    """A version that is being written, and that nobody sees."""

    def put(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A file of the version, to write."""
        ...

    def read_back(self, name: str) -> Iterator[bytes]:
        """What was written, from where it was written to."""
        ...

    def commit(self) -> None:
        """Makes the version seen, whole, in one step.

        Raises:
          ConflictError: the version is there.
        """
        ...


class Target(Protocol):
    """A place that has versions; none is ever changed."""

    def taken(self, model: Model) -> list[int]:
        """Numbers of versions that are there, or were, ascending."""
        ...

    def manifest(self, handle: Handle) -> str | None:
        """The manifest's text; None where the version is not there.

        Raises:
          HubexportError: it was retracted, or cannot be read.
        """
        ...

    def read(self, handle: Handle, name: str) -> Iterator[bytes]:
        """A file of a version that is there.

        Raises:
          HubexportError: it is missing, or cannot be read.
        """
        ...

    def stage(self, handle: Handle) -> contextlib.AbstractContextManager[Staged]:
        """A version to write; what is not committed within is removed.

        Raises:
          HubexportError: it cannot be written.
        """
        ...

    def describe(self, handle: Handle) -> str:
        """Where the version is, for people."""
        ...

    def refresh(self) -> None:
        """Makes lists of what is there anew, such as the index."""
        ...


def open_target(address: str) -> Target:
    """The target of `--to`.

    Raises:
      UsageError: it is of no kind that is known.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost") or not parts.path:
        raise UsageError(
            "this address is not one to publish to",
            [("--to", address), ("known", "file:///DIRECTORY, DIRECTORY")],
            "pass the directory of a hub.",
        )
    return LocalTarget(Path(unquote(parts.path) if parts.scheme else address))


class LocalTarget:
    """A hub's tree on a file system; a directory that is empty or not there becomes one.

    A version is written into a hidden directory beside its place and renamed to it: rename(2) of
    directories fails where there is one that is not empty, so that of two publishers one is first.
    """

    def __init__(self, root: Path):
        self.root = root
        self._tree: Tree | None = None

    @property
    def tree(self) -> Tree:
        """For reading; it is as if empty where there is none yet.

        Raises:
          HubexportError: something else is there.
        """
        if self._tree is None:
            # Hidden files are of a publisher that makes the hub just now, or was killed.
            if not (self.root.is_dir() and any(_visible(self.root))):
                return Tree(self.root)
            self._tree = open_tree(self.root)
        return self._tree

    def taken(self, model: Model) -> list[int]:
        taken = set(self.tree.all_versions(model))
        with contextlib.suppress(OSError):
            # What is no version, a link say, is in the way of one all the same.
            taken |= {int(name) for name in os.listdir(self.tree.place(model)) if name.isdecimal()}
        return sorted(taken)

    def manifest(self, handle: Handle) -> str | None:
        reason = self.tree.retraction(handle)
        if reason is not None:
            raise HubexportError(
                "the version was retracted, and its number is not given again",
                [("version", str(handle)), ("reason", reason)],
                "publish the next version.",
            )
        path = self.tree.file(handle, MANIFEST)
        return None if path is None else read_manifest(path).text()

    def read(self, handle: Handle, name: str) -> Iterator[bytes]:
        path = self.tree.file(handle, name)
        try:
            if path is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            yield from pieces_of(path)
        except OSError as error:
            raise HubexportError(
                "a file of a published version cannot be read",
                [
                    ("file", str(self.tree.place(handle) / name)),
                    ("system", error.strerror or str(error)),
                ],
                "look what else is wrong: `hubexport hub check`.",
            ) from error

    @contextlib.contextmanager
    def stage(self, handle: Handle) -> Iterator[Staged]:
        place = self.tree.place(handle)
        self._check_links(place)
        staging: Path | None = None
        lock: int | None = None
        try:
            self._make_root()
            staging, lock = _made_beside(place)
            staging.chmod(0o777 & ~umask())
            yield LocalStaged(staging, place, handle)
        except OSError as error:
            raise self._cannot(error) from error
        finally:
            if staging is not None:
                remove(staging)  # nothing, where it was committed
            release(lock)
            _remove_empty(place.parent, self.root)

    def describe(self, handle: Handle) -> str:
        return str(self.tree.place(handle))

    def refresh(self) -> None:
        """Writes the index, the catalogue and what nginx needs of them, from the manifests."""
        try:
            with _alone(self.root):
                index = catalogue.index_of(self.tree)
                for name, text in (
                    (INDEX, catalogue.index_text(index)),
                    (HTML, catalogue.catalogue_html(index)),
                    (NEWEST, catalogue.newest_map(index)),
                ):
                    write_text(self.root / name, text)
        except OSError as error:
            raise self._cannot(error) from error

    def _make_root(self) -> None:
        if self._tree is None:
            self.root.mkdir(parents=True, exist_ok=True)
            # Others may do the same just now: they write the same.
            write_text(self.root / HUB, json.dumps({"format": FORMAT}) + "\n")
            self._tree = open_tree(self.root)

    def _check_links(self, place: Path) -> None:
        """What lies behind a link is not of the hub: nobody would see what is written there."""
        parents = place.relative_to(self.root).parents
        links = [each for each in parents if each.name and (self.root / each).is_symlink()]
        if links:
            raise HubexportError(
                "a directory of the hub is a link, which hubs have none of",
                [("hub", str(self.root)), ("link", links[-1].as_posix())],
                "put the directory itself there.",
            )

    def _cannot(self, error: OSError) -> HubexportError:
        facts = [("hub", str(self.root)), ("system", error.strerror or str(error))]
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            above = next(path for path in (self.root, *self.root.parents) if path.exists())
            facts.append(("free", f"{shutil.disk_usage(above).free / 2**20:,.0f} MiB"))
        return HubexportError(
            "the hub cannot be written",
            facts,
            "make room, or choose a directory that you may write to.",
        )


class LocalStaged:
    """A version's hidden directory."""

    def __init__(self, staging: Path, place: Path, handle: Handle):
        self._staging, self._place, self._handle = staging, place, handle

    @contextlib.contextmanager
    def put(self, name: str) -> Iterator[IO[bytes]]:
        with open(self._staging / name, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _forget(file.fileno())

    def read_back(self, name: str) -> Iterator[bytes]:
        return pieces_of(self._staging / name)

    def commit(self) -> None:
        sync(self._staging)
        try:
            os.rename(self._staging, self._place)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            raise ConflictError(
                "the version was published by somebody else just now",
                [("version", str(self._handle)), ("found", str(self._place))],
                "publish it as the next version.",
            ) from error
        sync_directory(self._place.parent)


def _made_beside(place: Path) -> tuple[Path, int | None]:
    """A new directory beside a version's place, and its lock."""
    for left in reversed(range(_ATTEMPTS)):
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(place.parent)
        try:
            return make_staging(place)
        except FileNotFoundError:  # another publisher gave up, and removed the empty directory
            if not left:
                raise
    raise AssertionError("unreachable")


def write_text(path: Path, text: str) -> None:
    """Writes a small file whole or not at all, where it is not there already.

    Raises:
      OSError: it cannot be written.
    """
    data = text.encode()
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return
    with replaced(path) as partial, open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Others that make the index wait, so that the last to write it has seen all versions."""
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _visible(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if not name.startswith(".")]


def _forget(descriptor: int) -> None:
    """Asks the system to read the file from its medium, and not from memory, the next time."""
    with contextlib.suppress(OSError, AttributeError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _remove_empty(directory: Path, root: Path) -> None:
    """Removes directories that a publication made for nothing, up to the root."""
    with contextlib.suppress(OSError):
        while directory != root:
            directory.rmdir()
            directory = directory.parent
