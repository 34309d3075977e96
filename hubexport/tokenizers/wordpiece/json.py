"""WordPiece in a `tokenizer.json` of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError
from hubexport.tokenizers.bpe.vocabulary import pieces_by_id, vocabulary_of

CONTINUATION = "##"
"""What pieces begin with that do not begin a word."""

_MAXIMUM_CHARS = 1_000_000
_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "model.type": ("WordPiece",),
    "model.continuing_subword_prefix": (CONTINUATION,),
    "normalizer.type": ("BertNormalizer",),
    "normalizer.clean_text": (True,),
    "normalizer.handle_chinese_chars": (True, False),
    "normalizer.strip_accents": (None, True, False),
    "normalizer.lowercase": (True, False),
    "pre_tokenizer": ({"type": "BertPreTokenizer"},),
    "decoder.type": ("WordPiece",),
    "decoder.prefix": (CONTINUATION,),
    "decoder.cleanup": (True, False),
}
"""Setting -> its possible values. What a file does not have counts as None."""


def wordpiece_content(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a `WordPieceModel`, without its files, that a tokenizer.json states.

    Args:
      path: the file, for errors.
      content: what was parsed from it.

    Raises:
      ConfigurationError: it has settings that are not followed; all are listed.
      VocabularyError: its vocabulary is not one.
    """
    maximum = _value(content, "model.max_input_chars_per_word")
    refused = [
        (name, f"{_shown(_value(content, name))}; supported: {' or '.join(map(_shown, values))}")
        for name, values in _SETTINGS.items()
        if not any(_same(_value(content, name), value) for value in values)
    ]
    if type(maximum) is not int or not 0 < maximum <= _MAXIMUM_CHARS:
        expected = f"a number from 1 to {_MAXIMUM_CHARS:,}"
        refused.append(
            ("model.max_input_chars_per_word", f"{_shown(maximum)}; supported: {expected}")
        )
    if not isinstance(_value(content, "model.unk_token"), str):
        refused.append(("model.unk_token", _shown(_value(content, "model.unk_token"))))
    if refused:
        raise ConfigurationError(
            "tokenizer.json has settings that cannot be followed exactly",
            [("file", str(path)), *refused],
            "pass a tokenizer with the usual settings of BERT.",
        )
    model, normalizer = content["model"], content["normalizer"]
    vocabulary = vocabulary_of(model.get("vocab"), str(path))
    lower_case, strip_accents = normalizer["lowercase"], normalizer.get("strip_accents")
    return {
        "pieces": pieces_by_id(vocabulary, str(path)),
        "unknown": model["unk_token"],
        "lower_case": lower_case,
        "strip_accents": lower_case if strip_accents is None else strip_accents,
        "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        "max_input_chars_per_word": maximum,
        "cleanup": content["decoder"]["cleanup"],
    }


def _value(content: Any, name: str) -> Any:
    for part in name.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and value == other


def _shown(value: Any) -> str:
    return json.dumps(value)[:200]
