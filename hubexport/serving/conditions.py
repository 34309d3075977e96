"""Conditional requests and byte ranges, as RFC 9110 has them (sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ETAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")')
_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_MOST = 2**63
"""No file has as many bytes; Python refuses to read numbers of thousands of digits."""


@dataclass(frozen=True)
class Span:
    """A part of a file: `count` bytes from `start` on."""

    start: int
    count: int

    def content_range(self, size: int) -> str:
        """For the header of that name."""
        return f"bytes {self.start}-{self.start + self.count - 1}/{size}"


class UnsatisfiableError(ValueError):
    """No byte of the file is in the range."""


def names(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags, or `*`, has the tag of what is there.

    Args:
      header: the value of If-None-Match or If-Match; one that is malformed has no tag.
      etag: strong, with its quotes.
      weak: whether tags that promise less are taken for equal, as If-None-Match does.
    """
    header = header.strip()
    if header == "*":
        return True
    if _ETAG.sub("", header).strip(", \t"):
        return False
    return any(tag == etag and (weak or not mark) for mark, tag in _ETAG.findall(header))


def asked_span(header: str, size: int) -> Span | None:
    """The part of a file that a Range header asks for.

    Several ranges, other units and malformed ones are ignored, as servers may.

    Returns:
      None where the whole file is to be sent.

    Raises:
      UnsatisfiableError: there is nothing of it in the file.
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or found.groups() == ("", ""):
        return None
    first, last = (_number(text) for text in found.groups())
    if first is None:  # so many bytes at the end
        assert last is not None
        first, last = max(size - last, 0) if last else size, size - 1
    elif last is not None and last < first:
        return None
    if first >= size:
        raise UnsatisfiableError
    last = size - 1 if last is None else min(last, size - 1)
    return Span(first, last - first + 1)


def _number(text: str) -> int | None:
    if not text:
        return None
    text = text.lstrip("0") or "0"
    return int(text) if len(text) < 19 else _MOST
