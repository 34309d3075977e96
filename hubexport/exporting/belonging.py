"""Whether an encoder and a preprocessor belong together, as their records say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hubexport.errors import UsageError

Record = Mapping[str, Any]

_VOCABULARIES = ("tokenizer_file", "vocab_file", "merges_file", "sp_model_file")
"""Files of tokenizers that decide ids."""


def check_fits(encoder: Record, text: Record, facts: list[tuple[str, str]]) -> None:
    """Fails where the encoder cannot take what the preprocessor gives.

    Args:
      encoder: its record, as far as it is known.
      text: the preprocessor's record.
      facts: which two they are, for errors.

    Raises:
      UsageError: it cannot.
    """
    _raise(_misfits(encoder, text), facts)


def check_belong(encoder: Record, text: Record, facts: list[tuple[str, str]]) -> list[str]:
    """Fails where two artifacts that fit were not made for each other; gives warnings.

    Raises:
      UsageError: they were not, or nothing tells.
    """
    own, other = encoder.get("tokenizer"), text["tokenizer"]
    _raise([*_misfits(encoder, text), *_differences(encoder, own, other)], facts)
    if own is not None:
        return []
    return [
        "the encoder's record does not name its tokenizer: that the preprocessor belongs to it is "
        "concluded from the size of the vocabulary; `hubexport encoder --tokenizer` records it"
    ]


def _raise(problems: Iterator[tuple[str, str]] | list[tuple[str, str]], facts: Any) -> None:
    if found := list(problems):
        raise UsageError(
            "the encoder and the preprocessor do not belong together",
            [*facts, *found],
            "pass an encoder and the preprocessor of the same model.",
        )


def _misfits(encoder: Record, text: Record) -> Iterator[tuple[str, str]]:
    """What the encoder could not compute, or would compute wrong."""
    architecture, conventions = encoder["architecture"], encoder["conventions"]
    tokenizer = text["tokenizer"]
    words, pieces = architecture["vocab_size"], tokenizer["vocab_size"]
    if pieces > words:
        yield "vocabulary", f"{words:,} word embeddings, {pieces:,} pieces"
    packing = tokenizer["packing"]
    places = [*packing["single"], *packing["pair"], packing["padding"]]
    types, last = architecture["type_vocab_size"], max(place["type_id"] for place in places)
    if types and last >= types and "input_type_ids" not in conventions["ignored_inputs"]:
        yield "types of tokens", f"{types} in the encoder, up to {last} from the preprocessor"
    if packing["padding_side"] == "left" and conventions["padding_side"] == "right":
        yield "padding", "on the right in the encoder, on the left from the preprocessor"


def _differences(encoder: Record, own: Any, other: Record) -> Iterator[tuple[str, str]]:
    """What says that they were made for different models."""
    words, pieces = encoder["architecture"]["vocab_size"], other["vocab_size"]
    if own is None:
        if pieces < words:
            yield (
                "vocabulary",
                f"{words:,} word embeddings, {pieces:,} pieces, and the encoder's record does not "
                "say that it belongs to fewer",
            )
        padding = encoder["architecture"].get("pad_token_id") or None
        theirs = other["special_tokens"]["padding_id"]["id"]
        if padding is not None and padding != theirs:
            yield "padding_id", f"{padding} in the encoder, {theirs} from the preprocessor"
        return
    for name in ("model_type", "vocab_size"):
        if own[name] != other[name]:
            yield name, f"{own[name]} of the encoder, {other[name]} of the preprocessor"
    for name in _VOCABULARIES:
        mine, theirs = own["files"].get(name), other["files"].get(name)
        if mine and theirs and mine["sha256"] != theirs["sha256"]:
            yield (
                name,
                f"{mine['name']} ({mine['sha256'][:12]}...) of the encoder, {theirs['name']} "
                f"({theirs['sha256'][:12]}...) of the preprocessor",
            )
    for name in sorted(own["special_tokens"].keys() | other["special_tokens"].keys()):
        mine, theirs = (each["special_tokens"].get(name) for each in (own, other))
        if mine != theirs:
            yield name, f"{_special(mine)} of the encoder, {_special(theirs)} of the preprocessor"
    mine, theirs = own["do_lower_case"], other["do_lower_case"]
    if None not in (mine, theirs) and mine != theirs:
        casing = {True: "lower-cased", False: "cased"}
        yield "text", f"{casing[mine]} for the encoder, {casing[theirs]} by the preprocessor"


def _special(token: Any) -> str:
    return f"{token['piece']} {token['id']}" if token else "none"
