"""The merges of byte pair encoding (BPE): reading them, and what they must be like.

The graph has no merges: it runs SentencePiece's BPE, which knows pieces with scores. It joins two
neighbours whenever together they are a piece, the best score first; BPE joins them only if that
*pair* is a merge, the first merge first. With the rank, negated, as score both give the same
result if

1. no two merges make the same piece,
2. each part of a merge is a single symbol or made by an earlier merge,
3. each merge's piece, encoded by itself, is that piece, and
4. the symbols of that piece are those of its parts: nothing looks like an end of word in the
   middle.

For if A and B are neighbours and AB is a piece, nothing has been joined across the ends of AB so
far. So its symbols were joined as they would have been with nothing around them, and that ends in
AB by 3; the last step to it, from A and B, is a merge, and by 1 it is the only one of AB. Both
take the leftmost pair where the same one occurs twice.

Published vocabularies meet all of them (GPT-2, RoBERTa, OpenAI GPT, XLM): BPE was trained by making
pieces in this very way. `check_merges` verifies them for the files at hand.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.bpe.vocabulary import is_text, kind_of, read_text

Merge = tuple[str, str]

END_OF_WORD = "</w>"
"""Behind a word's last character, with which it is one symbol, in BPE that is not of bytes."""

_LONGEST = 2_000  # symbols in a piece; those of real vocabularies have up to 128
_NEVER = 1 << 60


def read_merges(path: str | Path) -> tuple[Merge, ...]:
    """`merges.txt` or `vocab.bpe`: two pieces with one space between them on each line.

    The first line may say `#version`; the last may be empty. Lines end in LF or CR LF. Only these
    end lines, and only U+0020 separates: other white space is part of pieces.

    Raises:
      VocabularyError: the file cannot be read, or has other lines; their numbers are listed.
    """
    path = Path(path)
    lines = [line.removesuffix("\r") for line in read_text(path, "merges").split("\n")]
    begin = 1 if lines[0].startswith("#version") else 0
    if lines and not lines[-1]:
        lines.pop()
    merges, wrong = [], []
    for number, line in enumerate(lines[begin:], start=begin + 1):
        parts = line.split(" ")
        if len(parts) == 2 and all(parts):
            merges.append((parts[0], parts[1]))
        else:
            wrong.append(f"{number} ({line[:40]!r})")
    if wrong:
        raise VocabularyError(
            "the merges cannot be read",
            [
                ("merges", f"{path} ({len(lines):,} lines)"),
                ("lines that are not two pieces", some_of(wrong)),
            ],
            "pass the merges.txt (or vocab.bpe) that was published with the checkpoint.",
        )
    return tuple(merges)


def merges_of(content: Any, source: str) -> tuple[Merge, ...]:
    """The merges of a tokenizer.json, in either form: "a b" or ["a", "b"].

    Raises:
      VocabularyError: they are something else.
    """
    if not isinstance(content, list):
        raise VocabularyError(
            "the merges are not a list",
            [("merges", source), ("found", kind_of(content))],
            "pass the tokenizer.json as it was published with the checkpoint.",
        )
    merges, wrong = [], []
    for entry in content:
        parts = entry.split(" ") if isinstance(entry, str) else entry
        if isinstance(parts, list) and len(parts) == 2 and all(map(is_text, parts)):
            merges.append((parts[0], parts[1]))
        else:
            wrong.append(repr(entry)[:60])
    if wrong:
        raise VocabularyError(
            "the merges cannot be read",
            [("merges", source), ("not two pieces", some_of(wrong))],
            "pass the tokenizer.json as it was published with the checkpoint.",
        )
    return tuple(merges)


def symbols_with_end(piece: str) -> list[str]:
    """What BPE with `END_OF_WORD` starts with on a piece: "low</w>" is "l", "o", "w</w>"."""
    word = piece.removesuffix(END_OF_WORD)
    if not word or word == piece:
        return list(piece)
    return [*word[:-1], word[-1] + END_OF_WORD]


def check_merges(
    merges: Sequence[Merge],
    symbols: Callable[[str], list[str]],
    source: str,
    vocabulary: Iterable[str] | None = None,
) -> None:
    """Makes sure that pieces with scores can do what the merges do; see the module's comment.

    Args:
      merges: the first one counts most.
      symbols: piece -> what BPE starts with on it: `list` or `symbols_with_end`.
      source: what to call the files in an error.
      vocabulary: pieces that have an id; None to leave that to the caller.

    Raises:
      VocabularyError: a condition is violated; all violations are in its facts.
    """
    counts = Counter(left + right for left, right in merges)
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    made: set[str] = set()
    late, long, blurred = [], [], []
    for left, right in merges:
        if any(part not in made and len(symbols(part)) != 1 for part in (left, right)):
            late.append(f"{left!r} + {right!r}")
        made.add(left + right)
        if [*symbols(left), *symbols(right)] != symbols(left + right):
            blurred.append(f"{left!r} + {right!r}")
        if len(left) + len(right) > _LONGEST:
            long.append(f"{left[:20]!r}... + {right[:20]!r}...")
    facts = []
    repeated = [f"{piece!r} ({count} times)" for piece, count in counts.items() if count > 1]
    if repeated:
        facts.append((f"made by several merges ({len(repeated):,})", some_of(repeated)))
    if late:
        facts.append((f"of parts that no earlier merge makes ({len(late):,})", some_of(late)))
    if blurred:
        facts.append((f"with an end of word inside ({len(blurred):,})", some_of(blurred)))
    if long:
        facts.append((f"longer than {_LONGEST:,} symbols ({len(long):,})", some_of(long)))
    elif not facts:
        # With the other conditions violated the list of these would only repeat them.
        otherwise = []
        for left, right in merges:
            encoded = apply_merges(symbols(left + right), ranks)
            if len(encoded) != 1:
                otherwise.append(f"{left + right!r} as {' '.join(encoded)}")
        if otherwise:
            facts.append((f"encoded as other pieces ({len(otherwise):,})", some_of(otherwise)))
    if vocabulary is not None:
        known = set(vocabulary)
        parts = dict.fromkeys(
            piece for left, right in merges for piece in (left, right, left + right)
        )
        missing = [repr(piece) for piece in parts if piece not in known]
        if missing:
            facts.append((f"not in the vocabulary ({len(missing):,})", some_of(missing)))
    if facts:
        raise VocabularyError(
            "the merges cannot be followed exactly in a graph",
            [("merges", f"{source} ({len(merges):,})"), *facts],
            "pass the merges as they were published, in their order; merges that were edited, or "
            "not made by training byte pair encoding, may not be supported.",
        )


def apply_merges(symbols: Sequence[str], ranks: Mapping[Merge, int]) -> list[str]:
    """BPE as it is defined: the pair of lowest rank is joined, the leftmost first, and so on."""
    symbols = list(symbols)
    pairs = [ranks.get(pair, _NEVER) for pair in itertools.pairwise(symbols)]
    while pairs:
        best = min(pairs)
        if best == _NEVER:
            break
        at = pairs.index(best)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        del pairs[at]
        if at:
            pairs[at - 1] = ranks.get((symbols[at - 1], symbols[at]), _NEVER)
        if at < len(pairs):
            pairs[at] = ranks.get((symbols[at], symbols[at + 1]), _NEVER)
    return symbols
