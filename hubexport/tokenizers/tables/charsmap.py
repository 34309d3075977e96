"""What a SentencePiece character map says: the inverse of `build_charsmap`."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

MAXIMUM_KEYS = 1_000_000
_LONGEST = 64  # bytes of a key; those of SentencePiece have at most 18
_MOST_AT_ONCE = 32  # SentencePiece's src/normalizer.h: more keys at one place overrun its memory
_ROWS = 2048  # nodes at a time whose children are looked for, in 4 MiB

# Of a unit, see double_array.py.
_IS_VALUE, _SHIFTED, _HAS_VALUE = 1 << 31, 1 << 9, 1 << 8


@functools.lru_cache(maxsize=4)  # an export reads the same one several times
def read_charsmap(charsmap: bytes) -> Mapping[str, str]:
    """Key -> replacement, of all keys.

    Args:
      charsmap: `precompiled_charsmap` of a NormalizerSpec; b"" is the empty map.

    Raises:
      ValueError: it is damaged.
    """
    if not charsmap:
        return MappingProxyType({})
    if len(charsmap) < 8:
        raise ValueError("the character map is cut short")
    size = struct.unpack("<I", charsmap[:4])[0]
    if size % 4 or not 4 <= size <= len(charsmap) - 4:
        raise ValueError("the character map is cut short")
    units = np.frombuffer(charsmap, "<u4", size // 4, 4).astype(np.int64)
    pool = charsmap[4 + size :]
    replacements = {}
    for key, place in _entries(units):
        end = pool.find(b"\0", place)
        if end < 0:
            raise ValueError("the character map has a replacement without an end")
        replacements[key.decode()] = pool[place:end].decode()  # UnicodeDecodeError: a ValueError
    return MappingProxyType(replacements)


def _entries(units: np.ndarray) -> list[tuple[bytes, int]]:
    """(key, value) of a double array, which may be that of an ill-meaning person; by length."""
    entries: list[tuple[bytes, int]] = []
    # All keys of one length at a time: their nodes, and how many of their beginnings are keys.
    keys, nodes, prefixes = [b""], np.zeros(1, np.int64), np.zeros(1, np.int64)
    for _ in range(_LONGEST + 1):
        found = units[nodes]
        bases = nodes ^ (found >> 10 << ((found & _SHIFTED) >> 6))
        ends = (found & _HAS_VALUE) != 0
        if np.any(bases[ends] >= len(units)):
            raise ValueError("the character map points outside of itself")
        prefixes = prefixes + ends
        if np.any(prefixes > _MOST_AT_ONCE):
            raise ValueError("the character map has too many keys that begin alike")
        values = (units[bases[ends]] & (_IS_VALUE - 1)).tolist()
        entries += zip((keys[i] for i in np.flatnonzero(ends).tolist()), values, strict=True)
        parents, nodes = _children(bases, units, MAXIMUM_KEYS - len(entries))
        if not len(nodes):
            return entries
        labels = units[nodes] & 0xFF
        both = zip(parents.tolist(), labels.tolist(), strict=True)
        keys = [keys[parent] + bytes([label]) for parent, label in both]
        prefixes = prefixes[parents]
    raise ValueError("the character map has keys without an end")


def _children(bases: np.ndarray, units: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Of nodes with these bases the children: the parent's number, and where the child is."""
    labels = np.arange(1, 256)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for begin in range(0, len(bases), _ROWS):
        positions = bases[begin : begin + _ROWS, np.newaxis] ^ labels  # [rows, 255]
        inside = positions < len(units)
        units_there = units[np.where(inside, positions, 0)]
        matches = inside & ((units_there & (_IS_VALUE | 0xFF)) == labels)
        rows, _ = np.nonzero(matches)
        found.append((rows + begin, positions[matches]))
        most -= len(rows)
        if most < 0:
            raise ValueError("the character map has keys without an end")
    parents, children = zip(*found, strict=True)
    return np.concatenate(parents), np.concatenate(children)
