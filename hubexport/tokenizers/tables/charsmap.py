"""What a SentencePiece character map says: the inverse of `build_charsmap`."""

from __future__ import annotations

import struct

import numpy as np

MAXIMUM_KEYS = 1_000_000
_LONGEST = 64  # bytes of a key; those of SentencePiece have at most 18
_MOST_AT_ONCE = 32  # SentencePiece's src/normalizer.h: more keys at one place overrun its memory

# Of a unit, see double_array.py.
_IS_VALUE, _SHIFTED, _HAS_VALUE = 1 << 31, 1 << 9, 1 << 8


def read_charsmap(charsmap: bytes) -> dict[str, str]:
    """Key -> replacement, of all keys.

    Args:
      charsmap: `precompiled_charsmap` of a NormalizerSpec; b"" is the empty map.

    Raises:
      ValueError: it is damaged.
    """
    if not charsmap:
        return {}
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
    return replacements


def _entries(units: np.ndarray) -> list[tuple[bytes, int]]:
    """(key, value) of a double array, which may be that of an ill-meaning person."""
    entries: list[tuple[bytes, int]] = []
    labels = np.arange(1, 256)
    nodes = [(b"", 0, int(units[0]), _base(0, units))]
    while nodes:
        key, prefixes, unit, base = nodes.pop()
        if len(key) > _LONGEST or len(entries) + len(nodes) > MAXIMUM_KEYS:
            raise ValueError("the character map has keys without an end")
        if unit & _HAS_VALUE:
            if base >= len(units):
                raise ValueError("the character map points outside of itself")
            prefixes += 1
            if prefixes > _MOST_AT_ONCE:
                raise ValueError("the character map has too many keys that begin alike")
            entries.append((key, int(units[base]) & (_IS_VALUE - 1)))
        positions = base ^ labels
        inside = positions < len(units)
        positions = positions[inside]
        found = (units[positions] & (_IS_VALUE | 0xFF)) == labels[inside]
        for position in positions[found].tolist():
            child = int(units[position])
            nodes.append((key + bytes([child & 0xFF]), prefixes, child, _base(position, units)))
    return entries


def _base(position: int, units: np.ndarray) -> int:
    unit = int(units[position])
    return position ^ (unit >> 10 << ((unit & _SHIFTED) >> 6))
