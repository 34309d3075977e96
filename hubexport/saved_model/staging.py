"""Directories that are being written: their names, their locks, and what killed runs left.

A process that is killed cannot remove what it was writing. So the owner of a directory holds a lock
on it, which the kernel releases however the owner ends, and the next run that writes in the same
place removes the directories that nobody holds. The lock is flock(2) on the directory itself: it
needs no file, and follows the directory when that is renamed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

_PARTIAL, _OLD = ".hubexport.partial", ".hubexport.old"
_NAME = re.compile(
    rf"\.(?P<target>.+)\.[0-9a-f]{{8}}(?P<kind>{re.escape(_PARTIAL)}|{re.escape(_OLD)})", re.DOTALL
)
_SHOWN = 40  # characters of the target's name in a name that nobody has to read back
_ATTEMPTS = 100

# linux/magic.h and, for ZFS, its sys/fs/zfs.h. On these one kernel knows all processes that can
# reach a directory. Elsewhere (NFS, CIFS, FUSE, 9p, virtiofs) a lock may be unknown to the other
# machines, or not even be taken: flock on a directory of NFS succeeds, and stays on this machine.
_LOCAL_FILE_SYSTEMS = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlay",
    0xF2F52010: "f2fs",
    0x2FC12FC1: "zfs",
    0xCA451A4E: "bcachefs",
}


def make_staging(target: Path) -> tuple[Path, int | None]:
    """Makes an empty directory beside the target, for this process alone.

    Returns:
      Its path, and the descriptor that holds its lock until it is closed. None where a lock would
      not tell others anything: then the directory has a name that `remove_abandoned` never touches.

    Raises:
      OSError: it cannot be made.
    """
    place, start = target.parent, f".{target.name[:_SHOWN]}."
    for _ in range(_ATTEMPTS if _locks_are_seen_by_all(place) else 0):
        staging = place / f"{start}{secrets.token_hex(4)}{_PARTIAL}"
        try:
            staging.mkdir(0o700)
        except FileExistsError:
            continue
        try:
            descriptor = _lock(staging)
        except OSError:  # no descriptor or no lock left, say
            with contextlib.suppress(OSError):
                staging.rmdir()
            break
        if descriptor is not None:
            return staging, descriptor
        # Another run took it for abandoned before it was locked, and removes it.
    return Path(tempfile.mkdtemp(".partial", start, dir=place)), None


def swap_by_renaming(staging: Path, target: Path) -> None:
    """Puts staging in the target's place in two steps, and removes what was there.

    Between them nothing is at the target; after a kill just then, `remove_abandoned` puts the old
    directory back. For that its hidden name holds the target's in full.

    Raises:
      OSError: a step failed; the old directory is at the target, unless another process has put
        something else there.
    """
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_OLD}")
    held = None
    with contextlib.suppress(OSError):  # without it, another run may put the old one back too early
        held = _lock(target)
    try:
        os.rename(target, old)
        os.rename(staging, target)
    except BaseException:
        with contextlib.suppress(OSError):  # the first step failed: nothing was moved
            if not _put_back(old, target):
                remove(old)
        raise
    finally:
        release(held)
    remove(old)


def remove_abandoned(directory: Path) -> None:
    """Removes what killed runs left in a directory, and puts back what they had moved aside.

    Whatever cannot be looked at or removed stays; nothing is raised.
    """
    try:
        with os.scandir(directory) as entries:
            found = [(Path(entry.path), match) for entry in entries if (match := _ours(entry))]
    except (OSError, ValueError):
        return
    for path, match in found:
        with contextlib.suppress(OSError):
            _settle(path, match)


def _settle(path: Path, match: re.Match[str]) -> None:
    """Removes a directory if its owner is gone; one that was moved aside is put back if needed."""
    locks_tell = _locks_are_seen_by_all(path.parent)
    held = _lock(path) if locks_tell else None
    if locks_tell and held is None:
        return  # its owner lives
    try:
        # Where locks do not tell, an owner that lives finds its old directory back in place, and
        # fails: nothing is lost.
        if match["kind"] == _OLD and _put_back(path, path.parent / match["target"]):
            return
        if locks_tell:
            remove(path)
    finally:
        release(held)


def _put_back(old: Path, target: Path) -> bool:
    """Renames, unless there is something at the target: False then."""
    try:
        os.rename(old, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    return True


def _ours(entry: os.DirEntry[str]) -> re.Match[str] | None:
    """The parts of the name, if it is one that this module gives to a directory of this user's."""
    match = _NAME.fullmatch(entry.name)
    if match is None:
        return None
    try:
        ours = entry.is_dir(follow_symlinks=False) and (
            entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        )
    except OSError:  # it went away meanwhile
        return None
    return match if ours else None


def remove(directory: Path) -> None:
    """Removes as much of a directory as can be removed; directories may be write-protected."""
    shutil.rmtree(directory, ignore_errors=True)
    if not os.path.lexists(directory):
        return
    with contextlib.suppress(OSError):
        directory.chmod(0o700)
    for root, names, _ in os.walk(directory):
        for path in (Path(root, name) for name in names):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)


def release(descriptor: int | None) -> None:
    """Closes what holds a lock, and so releases it."""
    if descriptor is not None:
        os.close(descriptor)


def _lock(directory: Path) -> int | None:
    """Locks a directory; None if another holder has it, or it is not there (any more).

    Raises:
      OSError: it cannot be locked at all.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between open and flock it may have been removed, or renamed and another put there.
        if os.path.samestat(os.fstat(descriptor), os.lstat(directory)):
            locked, descriptor = descriptor, -1
            return locked
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return None


def _locks_are_seen_by_all(directory: Path) -> bool:
    """Whether all processes that can reach the directory run on the kernel that keeps its locks."""
    if not sys.platform.startswith("linux"):
        return False
    # struct statfs begins with f_type, a word, and is shorter than this everywhere.
    words = (ctypes.c_long * 64)()
    if ctypes.CDLL(None).statfs(os.fsencode(directory), words) != 0:
        return False
    return (words[0] & 0xFFFFFFFF) in _LOCAL_FILE_SYSTEMS
