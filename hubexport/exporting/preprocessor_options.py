"""What a preprocessor's export is asked for, as one object."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hubexport.errors import UsageError
from hubexport.exporting.tokenizer_files import attribute
from hubexport.paths import PathLike
from hubexport.tokenizers.defining import Defined
from hubexport.tokenizers.definition import TokenizerDefinition
from hubexport.tokenizers.request import TokenizerOptions

MINIMUM_SEQ_LENGTH = 3
"""Start, end and one token; or the three special tokens of two segments."""
MAXIMUM_SEQ_LENGTH = 1 << 20
"""Far beyond any encoder's positions: more is a slip of the keyboard."""
NORMALIZATIONS = ("exact", "tfhub")
TRUNCATIONS = ("round_robin", "longest_first")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreprocessorOptions:
    """The arguments of `hubexport.export_preprocessor`, which says what each of them is."""

    export_path: PathLike
    vocab_file: PathLike | None = None
    sp_model_file: PathLike | None = None
    tokenizer: PathLike | None = None
    model_type: str | None = None
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    language: str | None = None
    normalization: str = "exact"
    special_tokens_in_text: bool = True
    truncation: str = "round_robin"
    default_seq_length: int = 128
    tokenize_with_offsets: bool = False
    reference_tokenizer: PathLike | None = None
    corpus: PathLike | None = None
    max_differences: int = 0
    overwrite: bool = False
    show_progress: bool = False

    @property
    def target(self) -> Path:
        """Where the artifact is to be."""
        return Path(self.export_path)

    @property
    def compared_with(self) -> tuple[Path, Path] | None:
        """The other tokenizer and the texts; None where nothing is to be compared."""
        if self.reference_tokenizer and self.corpus:
            return Path(self.reference_tokenizer), Path(self.corpus)
        return None

    def files(self) -> dict[str, Path | None]:
        """Where the tokenizer is, as `define_tokenizer` takes it."""
        given = {
            "vocab_file": self.vocab_file,
            "sp_model_file": self.sp_model_file,
            "tokenizer": self.tokenizer,
        }
        return {name: Path(path) if path else None for name, path in given.items()}

    def of_tokenizer(self) -> TokenizerOptions:
        """What they say of the tokenizer itself."""
        return TokenizerOptions(**{
            field.name: getattr(self, field.name) for field in dataclasses.fields(TokenizerOptions)
        })  # fmt: skip

    def check(self) -> None:
        """Checks what can be said before anything is read.

        Raises:
          UsageError: a value that there is not, or arguments that do not go together.
        """
        self._check_choices()
        self._check_length()
        self._check_comparison()

    def check_offsets(self, definition: TokenizerDefinition) -> None:
        """Checks that the tokenizer has offsets, if they are asked for.

        Raises:
          UsageError: it has none that are exact.
        """
        if self.tokenize_with_offsets and definition.no_offsets:
            raise UsageError(
                "there are no exact offsets for this tokenizer",
                [("tokenizer", definition.kind), ("reason", definition.no_offsets)],
                "leave out --tokenize_with_offsets.",
            )

    def command(self, defined: Defined) -> list[str]:
        """The call that makes the same artifact, with everything that was found out said.

        Files by their names only: where they lay is not part of the artifact, and is private.
        """
        words = ["hubexport", "preprocessor"]
        words += [
            f"--{flag}={path.name or path.resolve().name}"
            for flag, path in self.files().items()
            if path
        ]
        words.append(f"--model_type={defined.model_type}")
        stated = "tokenizer_file" in {attribute(file) for file in defined.definition.files}
        if defined.lower_case is not None and not stated:
            words.append(_boolean("do_lower_case", defined.lower_case))
        if self.strip_accents is not None:
            words.append(_boolean("strip_accents", self.strip_accents))
        if self.language is not None:
            words.append(f"--language={self.language}")
        if not self.special_tokens_in_text:
            words.append(_boolean("special_tokens_in_text", False))
        return [
            *words,
            f"--normalization={self.normalization}",
            f"--truncation={self.truncation}",
            f"--default_seq_length={self.default_seq_length}",
            _boolean("tokenize_with_offsets", self.tokenize_with_offsets),
        ]

    def _check_choices(self) -> None:
        for flag, value, possible in (
            ("--normalization", self.normalization, NORMALIZATIONS),
            ("--truncation", self.truncation, TRUNCATIONS),
        ):
            if value not in possible:
                raise UsageError(
                    f"{flag} has no such value",
                    [(flag, str(value)), ("possible", ", ".join(possible))],
                    f"pass {possible[0]}, the default, or {possible[1]}.",
                )

    def _check_length(self) -> None:
        length = self.default_seq_length
        if not isinstance(length, int) or not MINIMUM_SEQ_LENGTH <= length <= MAXIMUM_SEQ_LENGTH:
            raise UsageError(
                "--default_seq_length is out of range",
                [
                    ("--default_seq_length", repr(length)),
                    ("possible", f"{MINIMUM_SEQ_LENGTH} to {MAXIMUM_SEQ_LENGTH:,}"),
                ],
                "pass what the encoder takes, often 128 and at most its number of positions.",
            )

    def _check_comparison(self) -> None:
        if bool(self.reference_tokenizer) != bool(self.corpus):
            raise UsageError(
                "a comparison takes a reference and texts",
                [
                    ("--reference_tokenizer", str(self.reference_tokenizer or "not passed")),
                    ("--corpus", str(self.corpus or "not passed")),
                ],
                "pass both or neither.",
            )
        for flag, path, exists in (
            ("--reference_tokenizer", self.reference_tokenizer, Path.is_dir),
            ("--corpus", self.corpus, Path.is_file),
        ):
            if path and not exists(Path(path)):
                raise UsageError(
                    f"{flag} is not there",
                    [(flag, str(path))],
                    "pass the directory of a tokenizer and a text file, one text per line.",
                )
        if self.max_differences < 0 or (self.max_differences and not self.corpus):
            raise UsageError(
                "--max_differences cannot be met",
                [("--max_differences", str(self.max_differences))],
                "pass a number of texts of the --corpus, or leave it out.",
            )


def _boolean(flag: str, value: bool) -> str:
    return f"--{flag}" if value else f"--no{flag}"
