"""A process to be killed: it writes one artifact after the other to the same target.

Artifacts are numbered; every file of one holds its number over and over, so that a mixture of two
artifacts, or a part of one, is seen as such.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hubexport.saved_model import target
from hubexport.saved_model.target import staged_directory

_LINES = 4096
_FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data", "assets/a/b")


def write(directory: Path, number: int) -> None:
    for name in _FILES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{number:07}\n" * _LINES)


def number_of(directory: Path) -> int:
    """Which artifact it is; fails if it is not exactly one."""
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert files == set(_FILES), files
    lines = {line for name in files for line in (directory / name).read_text().splitlines()}
    assert len(lines) == 1, lines
    assert all((directory / name).stat().st_size == 8 * _LINES for name in files)
    return int(lines.pop())


def export(path: Path, number: int) -> None:
    with staged_directory(path, overwrite=True) as staging:
        write(staging, number)


def kill_at(step: int) -> None:
    """Makes this process kill itself before the step of that number, counted from 1.

    A step is anything that Python tells its audit hooks of: files opened, renamed and removed,
    directories made and listed, locks, calls of the C library found.
    """
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(path: str, way: str, first: str, step: str = "") -> None:
    """Writes artifacts until it is killed, or just one, to be killed before the given step."""
    if way == "two renames":
        target._exchange = lambda one, other: False
    if step:
        kill_at(int(step))
        export(Path(path), int(first))
        return
    number = int(first)
    while True:
        export(Path(path), number)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
