"""Double-array tries in the format of Darts-clone, which TensorFlow's text kernels search.

A unit of the array is 32 bits (github.com/s-yata/darts-clone, include/darts.h):

    bits 0-7   the byte that leads here      bit 8   whether a key ends here
    bit 9      the offset is shifted by 8    bits 10-30   offset      bit 31   the unit is a value

From the unit at position p, byte c leads to position p ^ offset ^ c, and a key that ends here has
its value at p ^ offset. Equal subtrees are stored once, which makes tables of code points small.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping

import numpy as np

_HAS_VALUE = 1 << 8
_IS_VALUE = 1 << 31
_MAXIMUM_OFFSET = 1 << 21  # without the shift, which only aligned offsets could use
_BLOCK = 256
_OPEN_BLOCKS = 24  # how many blocks that still have room are tried; more is denser and slower

# A node: ((byte, number of the child), ...) by byte; (0, value) stands for the end of a key.
_Node = tuple[tuple[int, int], ...]


def build_double_array(values: Mapping[bytes, int]) -> np.ndarray:
    """The trie of some keys.

    Args:
      values: key -> value of 0 to 2**31 - 1. Keys are not empty and have no zero byte, which is
        the mark of a key's end.

    Returns:
      uint32 [units], a multiple of 256.

    Raises:
      ValueError: a key or value that the format cannot hold, or too many of them.
    """
    for key, value in values.items():
        if not key or 0 in key or not 0 <= value < _IS_VALUE:
            raise ValueError(f"a double array cannot map {key!r} to {value}.")
    return _units(*_distinct_nodes(values))


def build_code_point_array(values: Mapping[int, int]) -> np.ndarray:
    """The trie of some characters in UTF-8, as `build_double_array` makes it, but by whole rows.

    Args:
      values: code point, not 0 and not a surrogate -> value of 0 to 2**31 - 1.

    Raises:
      ValueError: a code point or value that the format cannot hold.
    """
    keys = np.fromiter(values, np.int64, len(values))
    stored = np.fromiter(values.values(), np.int64, len(values))
    wrong = (keys <= 0) | (keys > sys.maxunicode) | ((keys >= 0xD800) & (keys < 0xE000))
    wrong |= (stored < 0) | (stored >= _IS_VALUE)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"a double array cannot map {keys[first]:#x} to {stored[first]}.")
    return _code_point_array(keys.tobytes(), stored.tobytes())


@functools.lru_cache(maxsize=8)
def _code_point_array(key_bytes: bytes, value_bytes: bytes) -> np.ndarray:
    """The units of keys and values, int64; read-only. Tokenizers of one kind have the same."""
    keys, stored = np.frombuffer(key_bytes, np.int64), np.frombuffer(value_bytes, np.int64)
    distinct_values, ends = np.unique(stored, return_inverse=True)
    nodes: list[_Node] = [((0, value),) for value in distinct_values.tolist()]

    def nodes_of(children: np.ndarray) -> np.ndarray:
        """Number of each child, or -1, [64 * n] -> number of each node of 64 children, or -1, [n].

        A continuation byte, 10xxxxxx, leads to one of 64.
        """
        rows = children.reshape(-1, 64)
        used = np.flatnonzero((rows >= 0).any(axis=1))
        distinct, which = np.unique(rows[used], axis=0, return_inverse=True)
        numbers = np.full(len(rows), -1)
        numbers[used] = len(nodes) + which.reshape(-1)
        for row in distinct:
            labels = np.flatnonzero(row >= 0)
            nodes.append(tuple(zip((0x80 | labels).tolist(), row[labels].tolist(), strict=True)))
        return numbers

    whole = np.full(5 << 18, -1)  # so many code points as five lead bytes of four have
    whole[keys] = ends
    last = nodes_of(whole)  # [code point >> 6], of the last byte
    third = nodes_of(np.where(np.arange(len(last)) < 0x20, -1, last))  # the last two, from U+0800
    fourth = nodes_of(np.where(np.arange(len(third)) < 0x10, -1, third))  # and three, from U+10000
    leads = (whole[:0x80], last[:0x20], third[:0x10], fourth[:5])
    root = [
        (lead | int(bits), int(numbers[bits]))
        for lead, numbers in zip((0, 0xC0, 0xE0, 0xF0), leads, strict=True)
        for bits in np.flatnonzero(numbers >= 0)
        if lead != 0xC0 or bits >= 2  # ASCII has one byte
    ]
    nodes.append(tuple(root))
    units = _units(nodes, len(nodes) - 1)
    units.flags.writeable = False
    return units


def _units(nodes: list[_Node], root: int) -> np.ndarray:
    bases = _place(nodes)
    units = np.zeros((max(bases.values(), default=0) // _BLOCK + 1) * _BLOCK, np.uint32)

    def unit(position: int, node: int, label: int) -> int:
        offset = position ^ bases[node]
        if offset >= _MAXIMUM_OFFSET:
            raise ValueError(f"a double array cannot hold {len(nodes):,} different nodes.")
        return offset << 10 | (_HAS_VALUE if nodes[node] and nodes[node][0][0] == 0 else 0) | label

    units[0] = unit(0, root, 0)
    for number, node in enumerate(nodes):
        base = bases[number]
        for label, child in node:
            if label == 0:
                units[base] = _IS_VALUE | child
            else:
                units[base ^ label] = unit(base ^ label, child, label)
    return units


def look_up(units: np.ndarray, key: bytes) -> int | None:
    """The value of a key as the kernels find it; None if it has none."""
    position, unit = 0, int(units[0])
    for byte in key:
        position ^= _offset(unit) ^ byte
        if position >= len(units):
            return None
        unit = int(units[position])
        if unit & (_IS_VALUE | 0xFF) != byte:
            return None
    if not unit & _HAS_VALUE:
        return None
    return int(units[position ^ _offset(unit)]) & (_IS_VALUE - 1)


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 1 << 9) >> 6)


def _distinct_nodes(values: Mapping[bytes, int]) -> tuple[list[_Node], int]:
    """All different nodes of the trie, children first, and the number of the root.

    Keys come in order, so that a node is complete once a key leaves it.
    """
    nodes: list[_Node] = []
    numbers: dict[_Node, int] = {}

    def number_of(node: list[tuple[int, int]]) -> int:
        key = tuple(node)
        if key not in numbers:
            numbers[key] = len(nodes)
            nodes.append(key)
        return numbers[key]

    path: list[list[tuple[int, int]]] = [[]]  # the nodes along the last key, still open
    last = b""
    for key in sorted(values):
        shared = next(
            (i for i, (a, b) in enumerate(zip(last, key, strict=False)) if a != b),
            min(len(last), len(key)),
        )
        for depth in range(len(last), shared, -1):
            path[depth - 1].append((last[depth - 1], number_of(path.pop())))
        path += [[] for _ in range(len(key) - shared)]
        path[-1].append((0, values[key]))
        last = key
    for depth in range(len(last), 0, -1):
        path[depth - 1].append((last[depth - 1], number_of(path.pop())))
    return nodes, number_of(path[0])


def _place(nodes: list[_Node]) -> dict[int, int]:
    """A base for each node, so that base ^ label is nobody else's position for all its labels.

    All labels of a node lie in one block of 256, whose 256 possible bases are tried at once.
    The largest nodes come first: small ones fit into what is left. Those of one label, which are
    nearly all, come last, and those of the same label together: they cannot be in each other's way.
    """
    every = np.arange(_BLOCK)
    free = [np.ones(_BLOCK, bool)]
    free[0][0] = False  # the root's own unit
    bases_left = [np.ones(_BLOCK, bool)]  # two nodes with one base would have each other's children
    bases_left[0][0] = False
    bases: dict[int, int] = {}
    open_blocks = [0]
    alone: dict[int, list[int]] = {}  # label -> nodes that have no other
    for number in sorted(range(len(nodes)), key=lambda n: -len(nodes[n])):
        if len(nodes[number]) == 1:
            alone.setdefault(nodes[number][0][0], []).append(number)
            continue
        labels = np.array([label for label, _ in nodes[number]], np.int64)
        for block in [*open_blocks, len(free)]:
            if block == len(free):
                free.append(np.ones(_BLOCK, bool))
                bases_left.append(np.ones(_BLOCK, bool))
                open_blocks = [*open_blocks[-_OPEN_BLOCKS + 1 :], block]
            fits = bases_left[block].copy()
            if labels.size:
                fits &= free[block][every[:, None] ^ labels].all(axis=1)
            found = int(fits.argmax())
            if fits[found]:
                break
        bases_left[block][found] = False
        free[block][found ^ labels] = False
        bases[number] = block * _BLOCK + found
        if not free[block].any() or not bases_left[block].any():
            open_blocks.remove(block)
    for label, numbers in alone.items():
        block = 0
        while numbers:
            if block == len(free):
                free.append(np.ones(_BLOCK, bool))
                bases_left.append(np.ones(_BLOCK, bool))
            fits = np.flatnonzero(bases_left[block] & free[block][every ^ label])
            fits = fits[: len(numbers)]
            bases_left[block][fits] = False
            free[block][fits ^ label] = False
            placed, numbers = numbers[: len(fits)], numbers[len(fits) :]
            bases |= zip(placed, (fits + block * _BLOCK).tolist(), strict=True)
            block += 1
    return bases
