"""What becomes of capitals and accents before text is split into pieces: card and record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Casing(NamedTuple):
    """None where it is not known.

    Attributes:
      lowers: whether text is put into lower case.
      strips: whether accents are stripped.
    """

    lowers: bool | None = None
    strips: bool | None = None


CASINGS: Mapping[str, Casing] = {
    # XLNet's tokenizer is called "cased", too, and strips accents.
    "cased": Casing(lowers=False),
    "uncased": Casing(lowers=True, strips=True),
    "lower_cased": Casing(lowers=True, strips=False),
}
"""The words of a card."""


def recorded(tokenizer: Mapping[str, Any] | None) -> Casing:
    """What a record's `tokenizer` says, of an encoder or of a preprocessor (docs/record.md)."""
    tokenizer = tokenizer or {}
    settings = tokenizer.get("settings") or {}
    if settings.get("normalization") == "tfhub":
        # The stock ops strip accents with the case of WordPiece, and always of SentencePiece.
        lowers = settings.get("do_lower_case")
        return Casing(lowers, True if tokenizer.get("kind") == "sentencepiece" else lowers)
    both = settings.get("do_lowercase_and_remove_accent")
    lowers = settings.get("lower_case", tokenizer.get("do_lower_case") if both is None else both)
    strips = settings.get("strip_accents", both)
    if settings.get("own_character_map"):  # which may do either, too
        return Casing(lowers or None, strips or None)
    return Casing(lowers, strips)


def known(word: str, tokenizer: Mapping[str, Any] | None) -> Casing:
    """As the record says, and where it says nothing, as the card does."""
    by_record, by_card = recorded(tokenizer), CASINGS[word]
    lowers, strips = (
        stated if found is None else found for found, stated in zip(by_record, by_card, strict=True)
    )
    return Casing(lowers, strips)


def words(casing: Casing) -> str:
    """For people: `lower case, accents kept`; "" where nothing is known."""
    lowers = {True: "lower case", False: "capitals kept", None: ""}[casing.lowers]
    strips = {True: "accents stripped", False: "accents kept", None: ""}[casing.strips]
    return ", ".join(filter(None, (lowers, strips)))
