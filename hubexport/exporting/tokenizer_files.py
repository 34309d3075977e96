"""The tokenizer files that an artifact carries, and what the record says of them.

A preprocessor is made of them; an encoder carries them for people who tokenize by themselves.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import UsageError, VocabularyError
from hubexport.saved_model.record import source_file
from hubexport.tokenizers.defining import Defined, define_tokenizer
from hubexport.tokenizers.definition import TokenizerDefinition
from hubexport.tokenizers.request import TokenizerOptions

PATHS = ("tokenizer", "vocab_file", "sp_model_file")
"""The arguments that say where the files are; one of them is enough."""

CONFIGURATIONS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)
_ATTRIBUTES = {
    "tokenizer.json": "tokenizer_file",
    "merges.txt": "merges_file",
    "vocab.bpe": "merges_file",
    "codes": "merges_file",
}


def attribute(file: Path) -> str:
    """What a file is called in the record, and as an attribute of `.tokenize` or an encoder."""
    if file.name in CONFIGURATIONS:
        return file.stem
    if file.suffix == ".model":
        return "sp_model_file"
    return _ATTRIBUTES.get(file.name, "vocab_file")


def assets(definition: TokenizerDefinition) -> dict[str, Path]:
    """Attribute -> the file that an artifact ships under that name."""
    return {attribute(file): file for file in definition.files if file.name not in CONFIGURATIONS}


def describe(defined: Defined) -> dict[str, Any]:
    """What the records of encoders and preprocessors say of a tokenizer alike."""
    definition = defined.definition
    special = dict(definition.special_tokens)
    if definition.unknown_id is not None:
        special["unknown_id"] = definition.unknown_id
    return {
        "kind": definition.kind,
        "model_type": defined.model_type,
        "files": {attribute(file): source_file(file) for file in definition.files},
        "vocab_size": len(definition.pieces),
        "do_lower_case": defined.lower_case,
        "do_lower_case_reason": defined.reason,
        "special_tokens": {
            name: {"piece": definition.pieces[number], "id": number}
            for name, number in special.items()
        },
    }


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """What the root object of an encoder says of its tokenizer.

    Attributes:
      defined: the tokenizer; None where the encoder carries none.
    """

    defined: Defined | None = None

    def attributes(self) -> dict[str, Any]:
        """For the root object: the assets, and `do_lower_case`, a variable that is not trained."""
        if self.defined is None:
            return {}
        import tensorflow as tf

        files = assets(self.defined.definition)
        attributes: dict[str, Any] = {
            name: tf.saved_model.Asset(str(path)) for name, path in files.items()
        }
        # A tokenizer.json states it; otherwise it was decided.
        stated = self.defined.definition.settings.get("lower_case")
        lower_case = stated if self.defined.lower_case is None else self.defined.lower_case
        if lower_case is not None:
            attributes["do_lower_case"] = tf.Variable(
                lower_case, trainable=False, name="do_lower_case"
            )
        return attributes

    def record(self) -> dict[str, Any] | None:
        """What the record says of it."""
        return None if self.defined is None else describe(self.defined)

    def check_fits(self, vocab_size: int) -> None:
        """Raises VocabularyError where it gives ids that the model has no word embedding for."""
        if self.defined is not None and self._size > vocab_size:
            raise VocabularyError(
                "the vocabulary is larger than the model's",
                [
                    ("vocabulary", f"{self._file} ({self._size:,} pieces)"),
                    ("model", f"vocab_size {vocab_size:,}"),
                ],
                "pass the vocabulary that the checkpoint was trained with.",
            )

    def warnings(self, vocab_size: int, *, predicts_masked: bool) -> Iterator[str]:
        """What the user should know.

        Args:
          vocab_size: number of word embeddings.
          predicts_masked: whether there is a head that predicts masked tokens.
        """
        if self.defined is None:
            return
        yield from self.defined.warnings
        if self._size < vocab_size:
            yield (
                f"the model has {vocab_size:,} word embeddings, the vocabulary {self._size:,} "
                "pieces"
            )
        if predicts_masked and "mask_id" not in self.defined.definition.special_tokens:
            yield "the head predicts masked tokens, and the vocabulary has no token to mask with"

    @property
    def _size(self) -> int:
        assert self.defined is not None
        return len(self.defined.definition.pieces)

    @property
    def _file(self) -> Path:
        assert self.defined is not None
        return self.defined.definition.files[0]


def read_tokenizer_files(
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    vocab_file: str | os.PathLike[str] | None = None,
    sp_model_file: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any],
) -> TokenizerFiles:
    """Reads and checks an encoder's tokenizer files, if any were given, as for a preprocessor.

    Args:
      tokenizer: a directory with tokenizer files, or its tokenizer.json.
      vocab_file: a vocabulary, one piece per line.
      sp_model_file: a SentencePiece model.
      options: of `TokenizerOptions`, those that the user gave; None for the others.

    Raises:
      UsageError: several were given, or an option without any; or the files do not tell enough.
      VocabularyError, ConfigurationError: files that cannot be used.
    """
    given = {"tokenizer": tokenizer, "vocab_file": vocab_file, "sp_model_file": sp_model_file}
    said = {name: value for name, value in options.items() if value is not None}
    if any(given.values()):
        paths = {name: Path(path) if path else None for name, path in given.items()}
        return TokenizerFiles(define_tokenizer(**paths, options=TokenizerOptions(**said)))
    refuse_facts({name: value for name, value in said.items() if name != _OF_ENCODERS})
    return TokenizerFiles()


_OF_ENCODERS = "language"
"""The option that may be about the model, too: once that is known, it is looked at again."""


def refuse_facts(said: Mapping[str, Any]) -> None:
    """Fails where options about a tokenizer are given without one.

    Raises:
      UsageError: there are some.
    """
    if said:
        raise UsageError(
            "flags about a tokenizer say nothing about an encoder without its files",
            [(f"--{name}", str(value)) for name, value in said.items()],
            "leave them out, or pass --tokenizer, --vocab_file or --sp_model_file.",
        )
