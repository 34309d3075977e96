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
            problems.append(f"{token.content!r} is empty or occurs twice")
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
