"""Whether an artifact is the model that its card speaks of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hubexport.cards.schema import EncoderCard, PreprocessorCard

_STATED_ONLY = ("stated_parameters", "source")  # rounded by their authors; the record counts


def disagreements(card: EncoderCard | PreprocessorCard, record: Mapping[str, Any]) -> list[str]:
    """What the record of an artifact (docs/record.md) says otherwise than the card.

    Returns:
      sentences `key: the card says ..., the record says ...`; keys that either leaves out are not
      compared.
    """
    said: dict[str, tuple[Any, Any]] = {"kind": (card.kind, record.get("kind"))}
    tokenizer = record.get("tokenizer") or {}
    if card.casing == "cased" or card.casing == "uncased":
        said["casing"] = (card.casing, _casing(tokenizer.get("do_lower_case")))
    if isinstance(card, EncoderCard):
        said["family"] = (card.family, (record.get("family") or {}).get("name"))
        built = record.get("architecture") or {}
        for name, value in dataclasses.asdict(card.architecture).items():
            if name not in _STATED_ONLY:
                said[f"architecture.{name}"] = (value, built.get(name))
    else:
        said["tokenizer"] = (card.tokenizer, tokenizer.get("kind"))
        said["model_type"] = (card.model_type, tokenizer.get("model_type"))
        said["vocab_size"] = (card.vocab_size, tokenizer.get("vocab_size"))
    return [
        f"{key}: the card says {stated}, the record says {found}"
        for key, (stated, found) in said.items()
        if stated is not None and found is not None and stated != found
    ]


def _casing(do_lower_case: bool | None) -> str | None:
    return None if do_lower_case is None else ("uncased" if do_lower_case else "cased")
