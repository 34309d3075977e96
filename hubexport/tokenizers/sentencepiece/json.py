"""Unigram tokenizers from Hugging Face's tokenizer.json."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError
from hubexport.tokenizers.sentencepiece.per_word import SentencePieceTokenizer, check_charsmap
from hubexport.tokenizers.tables.sentencepiece_normalization import WORD

_QUOTES = [
    {"type": "Replace", "pattern": {"String": mark * 2}, "content": '"'} for mark in ("`", "'")
]
_ACCENTS = [{"type": "NFKD"}, {"type": "StripAccents"}]
_LOWER_CASE = [{"type": "Lowercase"}]
_STRIP_RIGHT = [{"type": "Strip", "strip_left": False, "strip_right": True}]
_MANY_SPACES = [
    [{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": content}]
    for content in (" ", WORD)
]


def sentencepiece_from_json(path: Path, content: dict[str, Any]) -> SentencePieceTokenizer:
    """The tokenizer that a tokenizer.json of a unigram model describes.

    Its added tokens, post-processor, truncation and padding are not looked at.

    Args:
      path: the file, for messages.
      content: what it says.

    Raises:
      ConfigurationError: it describes something else, or a step that is not known here.
      VocabularyError: its character map is damaged.
    """
    problems: list[tuple[str, str]] = []
    pieces, scores, unknown_id = _vocabulary(content.get("model"), problems)
    options = _normalizer(content.get("normalizer"), problems)
    collapsed = options.pop("collapsed", False)
    options |= _pre_tokenizer(content.get("pre_tokenizer"), problems)
    if not options.get("split", True):
        if not collapsed:
            problems.append(("normalizer", "it leaves several spaces in a row"))
        if any(c in "\t\n\v\f\r" for piece in pieces for c in piece):
            problems.append(("model.vocab", "it has pieces with tabs or line ends"))
    prefix = options.get("prefix", True)
    if content.get("decoder") not in _metaspaces("always" if prefix else "never"):
        problems.append(("decoder", _shown(content.get("decoder"))))
    if problems:
        raise ConfigurationError(
            "this tokenizer.json cannot be followed exactly",
            [("file", str(path)), *problems],
            "pass the tokenizer.json of a unigram (SentencePiece) model as transformers wrote it.",
        )
    check_charsmap(options["charsmap"], path)
    return SentencePieceTokenizer(
        pieces=tuple(pieces), scores=tuple(scores), unknown_id=unknown_id, files=(path,), **options
    )


def _vocabulary(model: Any, problems: list[tuple[str, str]]) -> tuple[list[str], list[float], int]:
    """Pieces, scores and the unknown piece's id."""
    model = model if isinstance(model, dict) else {}
    others = {k: v for k, v in model.items() if k not in ("type", "vocab", "unk_id")}
    if model.get("type", "Unigram") != "Unigram" or others not in ({}, {"byte_fallback": False}):
        problems.append(("model", _shown({k: v for k, v in model.items() if k != "vocab"})))
    vocab, unknown_id = model.get("vocab"), model.get("unk_id")
    fits = isinstance(vocab, list) and all(
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], int | float)
        and not isinstance(entry[1], bool)
        for entry in vocab
    )
    if not fits or not vocab:
        problems.append(("model.vocab", "it is not a list of [piece, score]"))
        return [], [], 0
    if type(unknown_id) is not int or not 0 <= unknown_id < len(vocab):
        problems.append(("model.unk_id", f"{_shown(unknown_id)}, of {len(vocab):,} pieces"))
        unknown_id = 0
    return [entry[0] for entry in vocab], [float(entry[1]) for entry in vocab], unknown_id


def _normalizer(stored: Any, problems: list[tuple[str, str]]) -> dict[str, Any]:
    """The steps, which must come in the order in which transformers writes them."""
    nested = isinstance(stored, dict) and stored.get("type") == "Sequence"
    steps = stored.get("normalizers") if nested else [stored] if stored is not None else []
    steps = list(steps) if isinstance(steps, list) else [stored]

    def take(wanted: list[dict[str, Any]]) -> bool:
        if steps[: len(wanted)] != wanted:
            return False
        del steps[: len(wanted)]
        return True

    options: dict[str, Any] = {
        "quotes": take(_QUOTES),
        "strip_accents": take(_ACCENTS),
        "lower_case": take(_LOWER_CASE),
        "charsmap": b"",
    }
    if steps and isinstance(steps[0], dict) and steps[0].get("type") == "Precompiled":
        try:
            options["charsmap"] = base64.b64decode(
                steps.pop(0).get("precompiled_charsmap"), validate=True
            )
        except (binascii.Error, TypeError, ValueError) as error:
            problems.append(("normalizer", f"precompiled_charsmap: {error}"))
    options["trailing_space"] = not take(_STRIP_RIGHT)
    options["collapsed"] = any(take(step) for step in _MANY_SPACES)
    if steps:
        problems.append(("normalizer", "; ".join(map(_shown, steps))))
    return options


def _pre_tokenizer(stored: Any, problems: list[tuple[str, str]]) -> dict[str, Any]:
    if stored in _metaspaces("always"):
        return {"split": False}
    if isinstance(stored, dict) and stored.get("type") == "Sequence":
        parts = stored.get("pretokenizers")
        if isinstance(parts, list) and len(parts) == 2 and parts[0] == {"type": "WhitespaceSplit"}:
            for scheme in ("always", "never"):
                if parts[1] in _metaspaces(scheme):
                    return {"split": True, "prefix": scheme == "always"}
    problems.append(("pre_tokenizer", _shown(stored)))
    return {}


def _metaspaces(scheme: str) -> list[dict[str, Any]]:
    """How versions of `tokenizers` have written one and the same Metaspace."""
    new = {"type": "Metaspace", "replacement": WORD, "prepend_scheme": scheme}
    old = {"type": "Metaspace", "replacement": WORD, "add_prefix_space": scheme == "always"}
    return [
        {**form, **more}
        for form in (new, old, {**new, **old})
        for more in ({}, {"split": True}, {"str_rep": WORD})
    ]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:200] + " ..."
