"""Literals that are recognised in text, and their place among a vocabulary's pieces."""

from __future__ import annotations

from collections.abc import Sequence

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.definition import AddedToken


def with_added_tokens(
    pieces: Sequence[str], added_tokens: Sequence[AddedToken], source: str
) -> tuple[str, ...]:
    """The pieces with those added tokens behind them that they do not contain.

    Args:
      pieces: in the order of their ids.
      added_tokens: with their ids.
      source: what to call the files in an error.

    Raises:
      VocabularyError: an added token's id belongs to another piece, or leaves a gap; or two are
        the same.
    """
    complete = dict(enumerate(pieces))
    problems, seen = [], set()
    for token in sorted(added_tokens, key=lambda token: token.id):
        piece = complete.setdefault(token.id, token.content)
        if piece != token.content:
            problems.append(f"{token.content!r} has id {token.id}, which is {piece!r}")
        if not token.content.strip() or token.content.strip() in seen:
            problems.append(f"{token.content!r} is empty, or another one but for spaces")
        seen.add(token.content.strip())
    gaps = [str(number) for number in range(len(complete)) if number not in complete]
    if gaps:
        problems.append(f"ids without a piece: {some_of(gaps)}")
    if problems:
        raise VocabularyError(
            "the added tokens do not fit the vocabulary",
            [
                ("files", source),
                ("vocabulary", f"{len(pieces):,} pieces"),
                ("found", some_of(problems, 8)),
            ],
            "pass the files as they were published together.",
        )
    return tuple(complete[number] for number in range(len(complete)))


def overlapping(added_tokens: Sequence[AddedToken], late: Sequence[str]) -> list[str]:
    """Literals that may lie across each other in text and are looked for one after the other.

    Hugging Face's tokenizers look for `normalized` literals in what the others leave, also where
    nothing is normalized. Here all are looked for at once, which is the same unless they overlap.

    Args:
      added_tokens: all literals.
      late: the contents of the `normalized` ones.

    Returns:
      The offenders, with the reason.
    """
    names = set(late)
    return [
        f"{token.content!r} (normalized, and overlaps {other.content!r})"
        for token in added_tokens
        for other in added_tokens
        if token.content in names and other.content not in names and _overlap(token, other)
    ]


def _overlap(token: AddedToken, other: AddedToken) -> bool:
    a, b = token.content, other.content
    if a in b or b in a:
        return True
    # A literal that takes white space along overlaps one that has white space at its end.
    spaces = (token.lstrip and b[-1].isspace()) or (token.rstrip and b[0].isspace())
    spaces = spaces or (other.lstrip and a[-1].isspace()) or (other.rstrip and a[0].isspace())
    shorter = range(1, min(len(a), len(b)))
    return spaces or any(a[-n:] == b[:n] or b[-n:] == a[:n] for n in shorter)
