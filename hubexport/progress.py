"""Progress bars for people: on a terminal, and nowhere else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bytes_bar(description: str, total: int, *, show: bool) -> Iterator[Callable[[int], object]]:
    """A bar on stderr that counts bytes; gives the function that advances it.

    Nothing is shown where stderr is not a terminal, or `show` is False.
    """
    from tqdm import tqdm

    with tqdm(
        total=total,
        desc=description,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        leave=False,
        disable=not (show and sys.stderr.isatty()),
    ) as bar:
        yield bar.update


@contextlib.contextmanager
def steps_bar(description: str, total: int, *, show: bool) -> Iterator[Callable[[], object]]:
    """A bar on stderr that counts steps; gives the function that advances it by one.

    Nothing is shown where stderr is not a terminal, or `show` is False.
    """
    from tqdm import tqdm

    with tqdm(
        total=total, desc=description, leave=False, disable=not (show and sys.stderr.isatty())
    ) as bar:
        yield bar.update
