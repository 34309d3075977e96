"""The texts of a file or of standard input, as they come: one on a line, or columns by tabs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from hubexport.errors import HubexportError
from hubexport.progress import bytes_bar

STDIN = Path("-")
_BOM = b"\xef\xbb\xbf"

Row = tuple[str, ...]
"""The texts of a line."""


def check_input(path: Path) -> None:
    """Fails early where the file cannot be read.

    Raises:
      HubexportError: it cannot.
    """
    if path == STDIN:
        return
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise HubexportError(
            "the input cannot be read",
            [("--input", str(path)), ("system", error.strerror or str(error))],
            "pass a text file, or - for standard input.",
        ) from error


@contextlib.contextmanager
def batches(path: Path, columns: int, size: int, *, show: bool) -> Iterator[Iterator[list[Row]]]:
    """The lines of a file, so many at a time; the last may be fewer.

    A line is a text, whatever is in it; where there are several columns, tabs are between them.
    An empty line is an empty text. A byte order mark at the beginning is left out.

    Args:
      path: a file, or `STDIN`.
      columns: texts on each line.
      size: lines in a batch.
      show: whether a bar shows how much of a file has been read.

    Raises:
      HubexportError: while lines are taken: one is not UTF-8, or has another number of columns.
    """
    with contextlib.ExitStack() as stack:
        if path == STDIN:
            file: BinaryIO = sys.stdin.buffer
            advance: Callable[[int], object] = lambda _: None  # noqa: E731
        else:
            file = stack.enter_context(open(path, "rb"))
            size_of_file = path.stat().st_size
            bar = bytes_bar(path.name, size_of_file, show=show and size_of_file > 0)
            advance = stack.enter_context(bar)
        yield _batches(file, str(path), columns, size, advance)


def _batches(
    file: BinaryIO, name: str, columns: int, size: int, advance: Callable[[int], object]
) -> Iterator[list[Row]]:
    rows: list[Row] = []
    read = 0
    for number, line in enumerate(file, 1):
        rows.append(_row(line, name, number, columns))
        read += len(line)
        if len(rows) == size:
            yield rows
            advance(read)  # only now it is done
            rows, read = [], 0
    if rows:
        yield rows
        advance(read)


def _row(line: bytes, name: str, number: int, columns: int) -> Row:
    if number == 1:
        line = line.removeprefix(_BOM)
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HubexportError(
            "a line of the input is not UTF-8",
            [("--input", name), ("line", f"{number:,}"), ("found", str(error))],
            "convert the file: iconv -t UTF-8.",
        ) from error
    row = tuple(text.split("\t")) if columns > 1 else (text,)
    if len(row) != columns:
        raise HubexportError(
            "a line of the input has another number of columns",
            [
                ("--input", name),
                ("line", f"{number:,}"),
                ("found", f"{len(row)}, divided by tabs"),
                ("needed", str(columns)),
            ],
            "put a tab between the texts of each line, and nowhere else.",
        )
    return row
