"""The characters that byte-level BPE writes bytes with (openai/gpt-2, src/encoder.py)."""

from __future__ import annotations

import functools

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


@functools.cache
def byte_symbols() -> tuple[str, ...]:
    """The character that stands for each byte: itself if it can be printed, else from U+0100 on."""
    others = [byte for byte in range(256) if byte not in _PRINTABLE]
    symbols = {byte: chr(byte) for byte in _PRINTABLE}
    symbols |= {byte: chr(0x100 + number) for number, byte in enumerate(others)}
    return tuple(symbols[byte] for byte in range(256))


def piece_bytes(piece: str) -> bytes:
    """What a piece stands for; those with other characters, as added tokens may be, themselves."""
    values = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    if all(character in values for character in piece):
        return bytes(values[character] for character in piece)
    return piece.encode()
