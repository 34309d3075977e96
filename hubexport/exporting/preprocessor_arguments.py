"""What can be said of a preprocessor export's arguments before anything is read."""

from __future__ import annotations

from pathlib import Path

from hubexport.errors import UsageError
from hubexport.tokenizers.definition import TokenizerDefinition

MINIMUM_SEQ_LENGTH = 3
"""Start, end and one token; or the three special tokens of two segments."""
MAXIMUM_SEQ_LENGTH = 1 << 20
"""Far beyond any encoder's positions: more is a slip of the keyboard."""
NORMALIZATIONS = ("exact", "tfhub")
TRUNCATIONS = ("round_robin", "longest_first")


def check_choices(normalization: str, truncation: str, default_seq_length: int) -> None:
    """Raises UsageError for what no file content could make right."""
    for flag, value, possible in (
        ("--normalization", normalization, NORMALIZATIONS),
        ("--truncation", truncation, TRUNCATIONS),
    ):
        if value not in possible:
            raise UsageError(
                f"{flag} has no such value",
                [(flag, str(value)), ("possible", ", ".join(possible))],
                f"pass {possible[0]}, the default, or {possible[1]}.",
            )
    if (
        not isinstance(default_seq_length, int)
        or not MINIMUM_SEQ_LENGTH <= default_seq_length <= MAXIMUM_SEQ_LENGTH
    ):
        raise UsageError(
            "the default sequence length is none that encoder inputs can have",
            [
                ("--default_seq_length", repr(default_seq_length)),
                ("possible", f"{MINIMUM_SEQ_LENGTH} to {MAXIMUM_SEQ_LENGTH:,}"),
            ],
            "pass what the encoder takes, often 128 and at most its number of positions.",
        )


def check_comparison(
    reference_tokenizer: str | Path | None, corpus: str | Path | None, max_differences: int
) -> None:
    """Checks what `export_preprocessor` takes to compare with another tokenizer.

    Raises:
      UsageError: one without the other, a path that is not there, or no number of differences.
    """
    if bool(reference_tokenizer) != bool(corpus):
        raise UsageError(
            "a comparison takes a reference and texts",
            [
                ("--reference_tokenizer", str(reference_tokenizer or "not passed")),
                ("--corpus", str(corpus or "not passed")),
            ],
            "pass both or neither.",
        )
    for flag, path, exists in (
        ("--reference_tokenizer", reference_tokenizer, Path.is_dir),
        ("--corpus", corpus, Path.is_file),
    ):
        if path and not exists(Path(path)):
            raise UsageError(
                f"{flag} is not there",
                [(flag, str(path))],
                "pass the directory of a tokenizer and a text file, one text per line.",
            )
    if max_differences < 0 or (max_differences and not corpus):
        raise UsageError(
            "--max_differences cannot be met",
            [("--max_differences", str(max_differences))],
            "pass a number of texts of the --corpus, or leave it out.",
        )


def check_offsets(definition: TokenizerDefinition, tokenize_with_offsets: bool) -> None:
    """Checks that the tokenizer has offsets, if they are asked for.

    Raises:
      UsageError: it has none that are exact.
    """
    if tokenize_with_offsets and definition.no_offsets:
        raise UsageError(
            "there are no exact offsets for this tokenizer",
            [("tokenizer", definition.kind), ("reason", definition.no_offsets)],
            "leave out --tokenize_with_offsets.",
        )
