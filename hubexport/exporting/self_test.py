"""Trying out a preprocessor that has just been written, before it is handed over."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError
from hubexport.saved_model.record import source_file
from hubexport.tokenizers.comparing import (
    Comparison,
    Tokenize,
    compare,
    describe,
    load_reference,
    ragged_tokenize,
    read_corpus,
)
from hubexport.tokenizers.definition import TokenizerDefinition
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS

_BYTES = (
    b"\xff\xfe",
    b"a\xc3 b",
    b"\xed\xa0\x80x",
    b"\x00",
    b"a\x00b",
    b"word " * 50_000,
    b"x" * 250_000,
)
"""Not text, or more of it than anyone expects."""
SELF_TEST_STEPS = 2
"""The artifact is loaded, and has tokenized every text."""
_MANY = 4  # one text of so many with other ids is not a rare exception, whatever the reason


class DifferentTokensError(HubexportError):
    """The written artifact gives other ids than its reference."""


def self_test(
    directory: Path, definition: TokenizerDefinition, advance: Callable[[], object]
) -> dict[str, Any]:
    """Reloads an artifact and tokenizes difficult texts.

    Args:
      directory: the SavedModel.
      definition: what it was made from.
      advance: called after each of `SELF_TEST_STEPS`.

    Returns:
      For the record: `texts` (how many), `reference` (what they were compared with, or None),
      `differences`, and `not_compared` (why, where there is no reference).

    Raises:
      DifferentTokensError: ids differ from the reference's where none may, or in many texts, or
        texts have other ids alone than among others.
    """
    tokenize = _loaded(directory)
    advance()
    texts = list(DIFFICULT_TEXTS)
    together = tokenize([text.encode() for text in texts])
    alone = [tokenize([text.encode()])[0] for text in texts]
    unequal = [(text, a, b) for text, a, b in zip(texts, alone, together, strict=True) if a != b]
    if unequal:
        raise DifferentTokensError(
            "texts have other tokens alone than in a batch",
            describe(Comparison(len(texts), len(unequal), unequal[:5]), definition.pieces),
            "report this: the artifact was not written.",
        )
    tokenize(list(_BYTES))
    advance()
    result: dict[str, Any] = {
        "texts": len(texts),
        "reference": None,
        "differences": None,
        "not_compared": "",
    }
    if definition.reference is None:
        return {**result, "not_compared": "there is no independent implementation"}
    try:
        reference = definition.reference()
    except ImportError as error:
        return {**result, "not_compared": f"not installed: {error.name or error}"}
    comparison = compare(tokenize, reference, texts)
    allowed = len(texts) // _MANY if definition.differences else 0
    if comparison.differences > allowed:
        raise DifferentTokensError(
            "the artifact gives other tokens than its reference",
            [("reference", definition.reference_name), *describe(comparison, definition.pieces)],
            "report this: the artifact was not written.",
        )
    packages = definition.reference_name.split(" and ")
    return {
        **result,
        "reference": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
        "differences": comparison.differences,
    }


def compare_with_corpus(
    directory: Path,
    definition: TokenizerDefinition,
    *,
    reference_tokenizer: Path,
    corpus: Path,
    max_differences: int,
    special_tokens_in_text: bool = True,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Compares an artifact with the user's own reference on the user's own text.

    Returns:
      For the record: `reference`, `corpus` (the file), `texts`, `differences`, and `first`: the
      first few of them as text.

    Raises:
      DifferentTokensError: more than max_differences lines have other tokens.
      UsageError, ConfigurationError: the corpus or the reference cannot be used.
    """
    reference, name = load_reference(reference_tokenizer, special_tokens_in_text)
    lines = read_corpus(corpus, show_progress=show_progress)
    comparison = compare(_loaded(directory), reference, lines)
    first = describe(comparison, definition.pieces)
    if comparison.differences > max_differences:
        raise DifferentTokensError(
            "the artifact gives other tokens than the reference tokenizer",
            [
                ("--reference_tokenizer", f"{reference_tokenizer} ({name})"),
                ("--corpus", f"{corpus} ({comparison.texts:,} texts)"),
                ("differences", f"{comparison.differences:,} texts, at most {max_differences:,}"),
                *first,
            ],
            "look at the differences: casing, special tokens, another vocabulary? Pass "
            "--max_differences to export nevertheless.",
        )
    return {
        "reference": name,
        "corpus": source_file(corpus),
        "texts": comparison.texts,
        "differences": comparison.differences,
        "first": [f"{label.strip()}: {value}" for label, value in first],
    }


def _loaded(directory: Path) -> Tokenize:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops

    loaded = tf.saved_model.load(str(directory))
    tokenize = ragged_tokenize(loaded.tokenize)

    def call(texts: Sequence[bytes]) -> list[list[int]]:
        with tf.device("CPU"):
            return tokenize(texts)

    return call
