"""WordPiece vocabularies: one piece per line, its id the line's number counted from 0.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from hubexport.errors import VocabularyError, some_of

UNKNOWN = "[UNK]"

REQUIRED = ("[PAD]", "[CLS]", "[SEP]", UNKNOWN)
"""The special pieces that every vocabulary has. [MASK] is not one of them: fine-tuned models are
published without it."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A WordPiece vocabulary that passed all checks of `read_wordpiece`.

    Attributes:
      pieces: the pieces in the order of their ids; no duplicates, none empty, specials included.
      path: the file that it was read from.
      sha256: hexadecimal digest of that file's bytes.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    path: Path
    sha256: str

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Piece -> id."""
        return {piece: index for index, piece in enumerate(self.pieces)}

    @property
    def unknown_id(self) -> int:
        """The id that stands for whatever the vocabulary cannot spell."""
        return self.ids[UNKNOWN]


def read_wordpiece(path: str | Path) -> Vocabulary:
    """Reads and checks a vocabulary file.

    Lines end in LF, or all of them in CRLF; the last line end may be missing. Only LF separates
    lines: U+2028, U+0085 and the like are pieces of real vocabularies (343 and 13502 of the
    Chinese one), which `str.splitlines` would cut in two and so shift all ids after them.

    Raises:
      VocabularyError: the file cannot be read, is not UTF-8, mixes line ends, has empty lines or
        duplicates, or lacks special pieces. Everything found is listed at once, by line number.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VocabularyError(
            "the vocabulary cannot be read",
            [("vocabulary", str(path)), ("system", error.strerror or str(error))],
            "pass the path of a WordPiece vocabulary, usually called vocab.txt.",
        ) from error
    lines = _decode(path, data)
    problems = _line_ends(lines)
    if not problems and len(lines) > 1 and lines[0].endswith("\r"):
        lines = [line.removesuffix("\r") for line in lines]
    problems += _empty(lines) + _duplicates(lines) + _missing(lines)
    if problems:
        raise VocabularyError(
            "the vocabulary cannot be used",
            [("vocabulary", f"{path} ({len(lines):,} lines)"), *problems],
            "pass the vocabulary as it was published with the checkpoint, one piece per line.",
        )
    return Vocabulary(tuple(lines), path, hashlib.sha256(data).hexdigest())


def _decode(path: Path, data: bytes) -> list[str]:
    """The file's lines without their LF; the empty one after a final LF is none."""
    raw = data.split(b"\n")
    if raw[-1] == b"":
        raw.pop()
    lines, undecodable = [], []
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            undecodable.append(number)
    if undecodable:
        raise VocabularyError(
            "the vocabulary is not UTF-8 text",
            [
                ("vocabulary", f"{path} ({len(raw):,} lines)"),
                ("cannot be decoded", _numbers(undecodable)),
            ],
            "pass the original file; one in another encoding must be converted to UTF-8 first.",
        )
    return lines


def _line_ends(lines: Sequence[str]) -> list[tuple[str, str]]:
    """CRLF line ends are fine if all lines have them; the last line may have none at all."""
    with_return = [n for n, line in enumerate(lines, start=1) if line.endswith("\r")]
    if not with_return or len(with_return) >= len(lines) - (not lines[-1].endswith("\r")):
        return []
    return [("end in CR LF while others end in LF", _numbers(with_return))]


def _empty(lines: Sequence[str]) -> list[tuple[str, str]]:
    empty = [number for number, line in enumerate(lines, start=1) if not line]
    return [("empty", _numbers(empty))] if empty else []


def _duplicates(lines: Sequence[str]) -> list[tuple[str, str]]:
    """A piece that occurs twice has two ids, of which no tokenizer can use more than one."""
    numbers: dict[str, list[int]] = {}
    for number, line in enumerate(lines, start=1):
        if line:
            numbers.setdefault(line, []).append(number)
    repeated = [f"{line!r} on {_numbers(at)}" for line, at in numbers.items() if len(at) > 1]
    return [(f"duplicates ({len(repeated)})", some_of(repeated))] if repeated else []


def _missing(lines: Sequence[str]) -> list[tuple[str, str]]:
    present = set(lines)
    missing = [piece for piece in REQUIRED if piece not in present]
    if not missing:
        return []
    facts = [("special pieces missing", ", ".join(missing))]
    if lines and lines[0].startswith("\ufeff"):
        facts.append(("line 1", "starts with a byte order mark, which is read as part of a piece"))
    return facts


def _numbers(numbers: Iterable[int]) -> str:
    """`line 7` or `lines 7, 9, 12, ... (40 more)`."""
    numbers = list(numbers)
    return ("line " if len(numbers) == 1 else "lines ") + some_of(map(str, numbers))
