"""A directory that appears complete, or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from hubexport.errors import ExportPathError, some_of
from hubexport.saved_model.staging import (
    make_staging,
    release,
    remove,
    remove_abandoned,
    swap_by_renaming,
)

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


def check_target(export_path: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Fails where `staged_directory` would refuse the target; for use before long work.

    Args:
      sources: what the artifact is made from: must not be replaced by it.

    Raises:
      ExportPathError: something is there that must not be replaced, or cannot be.
    """
    choose = "choose another path."
    try:
        target, here = _located(export_path), Path.cwd()
        if here.is_relative_to(target):
            raise ExportPathError(
                "the export path is the current directory, or holds it",
                [("export path", str(export_path)), ("current directory", str(here))],
                choose,
            )
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            found = "a symbolic link" if target.is_symlink() else "a file"
            raise ExportPathError(
                "the export path is not a directory",
                [("export path", str(export_path)), ("found", found)],
                choose,
            )
        if not target.is_dir():
            return
        names = sorted(entry.name for entry in target.iterdir())
        inside = [
            source
            for source in sources
            # By its place, and by the place that a link leads to: both must stay.
            if _located(source).is_relative_to(target) or source.resolve().is_relative_to(target)
        ]
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _cannot_be_written(export_path, error) from error
    if names and not overwrite:
        raise ExportPathError(
            "the export path is not empty",
            [("export path", str(export_path)), ("found", some_of(names))],
            "choose another path, or pass --overwrite to replace it.",
        )
    if inside:
        raise ExportPathError(
            "the export path holds what the artifact is made from",
            [("export path", str(export_path)), ("sources in it", some_of(map(str, inside)))],
            choose,
        )


def check_space(export_path: Path, nbytes: int) -> None:
    """Fails where the target cannot be made, or its file system has no room for so many bytes.

    Raises:
      ExportPathError: there is less room, or no permission.
    """
    target = _located(export_path)
    if target.is_mount():
        raise ExportPathError(
            "the export path is a mount point, which cannot be put in place in one step",
            [("export path", str(export_path))],
            "choose a directory below it.",
        )
    place = _existing(target.parent)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        code = errno.EACCES if place.is_dir() else errno.ENOTDIR
        raise _cannot_be_written(export_path, OSError(code, os.strerror(code)))
    usage = shutil.disk_usage(place)
    if usage.total and usage.free < nbytes:  # some file systems do not tell: total 0
        raise ExportPathError(
            "there is not enough room for the artifact",
            [
                ("export path", str(export_path)),
                ("needed", f"{nbytes / 2**20:,.0f} MiB"),
                ("free", f"{usage.free / 2**20:,.0f} MiB"),
            ],
            "make room, or choose a path on another file system.",
        )


def clear_abandoned(export_path: Path) -> None:
    """Removes what killed runs left beside the target; `staged_directory` does, too.

    For use before `check_target` and `check_space`, which may find more room, or an artifact that
    was moved aside and never put back. Raises nothing.
    """
    with contextlib.suppress(OSError, ValueError):
        remove_abandoned(_located(export_path).parent)


@contextlib.contextmanager
def staged_directory(export_path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Gives a new directory beside the target, which takes its place when the block succeeds.

    When the block fails or is interrupted, the new directory is removed and what was at the
    target is as it was. A replaced directory is exchanged in one step where the file system can.
    What a killed process leaves is removed by the next that comes here, in the same place.

    Args:
      export_path: the target; its parents are made.
      overwrite: whether a directory that is not empty may be replaced.

    Raises:
      ExportPathError: the target must not be replaced, or cannot be written.
    """
    clear_abandoned(export_path)
    check_target(export_path, overwrite=overwrite)
    export_path = _located(export_path)
    made_parents: list[Path] = []
    staging: Path | None = None
    lock: int | None = None
    try:
        _make_parents(export_path.parent, made_parents)
        staging, lock = make_staging(export_path)
        staging.chmod(0o777 & ~umask())
        yield staging
        sync(staging)
        check_target(export_path, overwrite=overwrite)  # others may have written meanwhile
        _put_in_place(staging, export_path)
        staging = None
        made_parents.clear()
        sync_directory(export_path.parent)
    except OSError as error:
        # Only what concerns the target: reading errors were turned into errors of their own.
        raise _cannot_be_written(export_path, error) from error
    finally:
        if staging is not None:
            remove(staging)
        release(lock)
        for parent in reversed(made_parents):
            with contextlib.suppress(OSError):
                parent.rmdir()


def _make_parents(directory: Path, made: list[Path]) -> None:
    """Makes a directory and what is missing above it; each one made is added to the list."""
    if not directory.exists():
        _make_parents(directory.parent, made)
        directory.mkdir()
        made.append(directory)


def umask() -> int:
    """Permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _put_in_place(staging: Path, target: Path) -> None:
    """Renames staging to target; what was there is removed."""
    if not target.exists():
        os.rename(staging, target)
        return
    if not any(target.iterdir()):
        os.replace(staging, target)  # rename(2) replaces an empty directory
        return
    if _exchange(staging, target):
        remove(staging)
    else:
        swap_by_renaming(staging, target)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two directories in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    paths = (os.fsencode(one), os.fsencode(other))
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code))


def sync(directory: Path) -> None:
    """Waits until a directory's files, and those below, are on their medium.

    Raises:
      OSError: one cannot be written.
    """
    for root, _, files in os.walk(directory):
        for name in files:
            descriptor = os.open(Path(root) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(root))


def sync_directory(directory: Path) -> None:
    """Waits until a directory's names are on their medium.

    Raises:
      OSError: they cannot be written.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_be_written(path: Path, error: OSError | ValueError) -> ExportPathError:
    facts = [("export path", str(path)), ("system", getattr(error, "strerror", "") or str(error))]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        facts.append(("free", f"{shutil.disk_usage(_existing(path)).free / 2**20:,.0f} MiB"))
    return ExportPathError(
        "the artifact cannot be written",
        facts,
        "make room, or choose a path that you may write to.",
    )


def _located(path: Path) -> Path:
    """The absolute path of what the system would make there: links above it are followed."""
    path = path.absolute()
    try:
        if path.name in ("", ".."):
            return path.resolve()
        return path.parent.resolve() / path.name
    except RuntimeError as error:  # Python 3.12 and before: links that lead to each other
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error


def _existing(path: Path) -> Path:
    """The path, or the nearest of its parents that is there."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())
