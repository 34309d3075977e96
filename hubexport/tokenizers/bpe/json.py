"""Byte pair encoding (BPE) in a `tokenizer.json` of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, some_of
from hubexport.tokenizers.bpe.files import BPEFiles
from hubexport.tokenizers.bpe.merges import merges_of
from hubexport.tokenizers.bpe.vocabulary import is_text, kind_of, pieces_by_id, vocabulary_of


def bpe_content(
    path: Path, content: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]
) -> BPEFiles:
    """The vocabulary and merges of a tokenizer.json whose settings are all as expected.

    Args:
      path: the file, for errors.
      content: what was parsed from it.
      allowed: setting -> its possible values, such as "model.dropout" -> (None, 0). What a file
        does not have counts as None. A part named alone, such as "normalizer", is compared as a
        whole.

    Raises:
      ConfigurationError: a part is not an object, or settings have other values; all are listed.
      VocabularyError: the vocabulary or the merges cannot be read.
    """
    model = content.get("model")
    if not isinstance(model, dict):
        raise ConfigurationError(
            "tokenizer.json has no model",
            [("file", str(path)), ("model", kind_of(model))],
            "pass the file as it was published with the checkpoint.",
        )
    refused = []
    for name, values in allowed.items():
        value = _value(content, name)
        if not any(type(value) is type(other) and value == other for other in values):
            expected = " or ".join(json.dumps(value) for value in values)
            refused.append((name, f"{json.dumps(value)[:200]}; supported: {expected}"))
    if refused:
        raise ConfigurationError(
            "tokenizer.json has settings that cannot be followed exactly",
            [("file", str(path)), *refused],
            "pass a tokenizer with the usual settings of its kind.",
        )
    vocabulary = vocabulary_of(model.get("vocab"), str(path))
    pieces = pieces_by_id(vocabulary, str(path), _added(content))
    return BPEFiles(vocabulary, pieces, merges_of(model.get("merges"), str(path)), (path,))


def flag(path: Path, content: Mapping[str, Any], name: str, default: bool | None = None) -> bool:
    """A setting that is true or false.

    Raises:
      ConfigurationError: it is something else, or absent without a default.
    """
    value = _value(content, name)
    if value is None and default is not None:
        return default
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"tokenizer.json does not say whether {name}",
            [("file", str(path)), (name, json.dumps(value)[:200])],
            "pass the file as it was published with the checkpoint.",
        )
    return value


def unmade(content: BPEFiles, symbols: frozenset[str]) -> list[str]:
    """Pieces of the vocabulary that neither are a symbol nor made by a merge."""
    made = {left + right for left, right in content.merges}
    return [piece for piece in content.vocabulary if piece not in made and piece not in symbols]


def refuse_ignored_merges(path: Path, content: BPEFiles, symbols: frozenset[str]) -> None:
    """With `ignore_merges` a word that is a piece is that piece, merges or not.

    Raises:
      ConfigurationError: there are such pieces that merges do not lead to.
    """
    pieces = unmade(content, symbols)
    if pieces:
        raise ConfigurationError(
            "tokenizer.json has ignore_merges, and pieces that merges do not lead to",
            [("file", str(path)), (f"pieces ({len(pieces):,})", some_of(map(repr, pieces)))],
            "pass a tokenizer without ignore_merges.",
        )


def _value(content: Any, name: str) -> Any:
    for part in name.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _added(content: Mapping[str, Any]) -> dict[str, int]:
    """Literal -> id of the added tokens, as far as they are well formed; others check them."""
    entries = content.get("added_tokens")
    entries = entries if isinstance(entries, list) else []
    return {
        entry["content"]: entry["id"]
        for entry in entries
        if isinstance(entry, dict)
        and is_text(entry.get("content"))
        and type(entry.get("id")) is int
        and entry["id"] >= 0
    }
