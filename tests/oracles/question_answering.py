"""Questions, contexts, and what transformers 4's question-answering pipeline answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS

GOLDENS = Path(__file__).with_suffix(".json")
LENGTH = 48
"""Tokens of a row."""
FAMILIES = ("Bert", "Roberta")
FILES = {"Bert": ("vocab.txt",), "Roberta": ("vocab.json", "merges.txt")}
"""Of their tokenizers."""

_STORY = (
    "The cat sat on the mat, and the mat was blue. Nobody's dog saw The Cat; it didn't care. "
    "Où est l'été? It cost $3.50 (not 4) in 1999. "
)
PAIRS: Sequence[tuple[str, str]] = (
    ("Who sat?", _STORY),
    ("Who sat?", _STORY * 4),
    ("the cat the cat the cat", "mat"),
    ("What is the capital?", "Paris. " * 40),
    ("é?", "\u00e9t\u00e9 \U0001f600\U0001f600 caf\u00e9 " * 9),
    ("a b", " two  spaces\tand\na new line   "),
    *((question, context)
      for question, context in zip(DIFFICULT_TEXTS[:-7], DIFFICULT_TEXTS[7:], strict=True)
      if question.strip() and context.strip() and len(question.encode()) < 18),
)  # fmt: skip
CASES: Sequence[Mapping[str, Any]] = (
    {},
    {"top_k": 3},
    {"top_k": 2, "handle_impossible_answer": True},
    {"stride": 5, "max_answer_length": 3, "top_k": 4},
    {"stride": 0, "max_answer_length": 40},
)
"""Options, as hubexport calls them."""


def digest(directory: Path) -> str:
    """Of the weights that a directory of transformers holds, in SHA-256."""
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()


def goldens(family: str) -> dict[str, Any]:
    """What was found for a family: its tokenizer's `files`, `weights` (a digest), `answers`, by
    case and pair, each `answer`, `start` and `end` (characters of the context) and `score`."""
    found: dict[str, Any] = json.loads(GOLDENS.read_text("utf-8"))[family]
    return found
