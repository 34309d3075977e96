r"""Sets of code points as classes of RE2, the regular expressions of TensorFlow's string ops.

RE2's own classes will not do: its \s is ASCII, and its \p{...} are of another Unicode version
than those that tokenizers were built with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

CODE_POINTS = tuple(
    c for c in (*range(0x40000), *range(0xE0000, 0x110000)) if not 0xD800 <= c < 0xE000
)
"""All characters; Unicode has assigned nothing in the planes that are left out."""


def ranges(code_points: Iterable[int]) -> list[tuple[int, int]]:
    """(first, last) of each run of consecutive code points, in order."""
    runs: list[tuple[int, int]] = []
    for code_point in sorted(set(code_points)):
        if runs and code_point == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], code_point)
        else:
            runs.append((code_point, code_point))
    return runs


def members(runs: Iterable[Iterable[int]]) -> frozenset[int]:
    """The code points of (first, last) pairs."""
    return frozenset(c for first, last in runs for c in range(first, last + 1))


def re2_class(code_points: Iterable[int]) -> str:
    """What stands between the brackets of a class, as in f"[^{re2_class(...)}]+"."""
    return _class(ranges(code_points))


def re2_class_without(code_points: Iterable[int]) -> str:
    """The same of all characters but some. Surrogates are not characters."""
    runs, first = [], 0
    for skipped, last in ranges({*code_points, *range(0xD800, 0xE000)}):
        if first < skipped:
            runs.append((first, skipped - 1))
        first = last + 1
    if first <= sys.maxunicode:
        runs.append((first, sys.maxunicode))
    return _class(runs)


def _class(runs: Iterable[tuple[int, int]]) -> str:
    return "".join(
        rf"\x{{{first:x}}}" if first == last else rf"\x{{{first:x}}}-\x{{{last:x}}}"
        for first, last in runs
    )
