"""The vocabulary that an encoder carries along, for people who tokenize by themselves."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from hubexport.errors import UsageError, VocabularyError
from hubexport.saved_model.record import source_file
from hubexport.tokenizers.casing import TOKENIZER_CONFIG, decide_lower_case
from hubexport.tokenizers.sentencepiece_model import read_sentencepiece, special_tokens
from hubexport.tokenizers.vocabulary import read_wordpiece


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """What the root object of an encoder says of its tokenizer.

    Attributes:
      attribute: "vocab_file", "sp_model_file", or "" for nothing.
      path: the file; kept in the artifact under its own name.
      size: number of pieces.
      lower_case: the value of `do_lower_case`, of WordPiece vocabularies only.
      reason: the evidence for it.
      warnings: what the user should know.
    """

    attribute: str = ""
    path: Path = Path()
    size: int = 0
    lower_case: bool | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def attributes(self) -> dict[str, Any]:
        """For the root object: the asset, and `do_lower_case` as a variable that is not trained."""
        if not self.attribute:
            return {}
        import tensorflow as tf

        attributes: dict[str, Any] = {self.attribute: tf.saved_model.Asset(str(self.path))}
        if self.lower_case is not None:
            attributes["do_lower_case"] = tf.Variable(
                self.lower_case, trainable=False, name="do_lower_case"
            )
        return attributes

    def record(self) -> dict[str, Any] | None:
        """What the record says of it."""
        if not self.attribute:
            return None
        config = self.path.parent / TOKENIZER_CONFIG
        return {
            "attribute": self.attribute,
            "file": source_file(self.path),
            "tokenizer_config": source_file(config) if config.is_file() else None,
            "vocab_size": self.size,
            "do_lower_case": self.lower_case,
            "do_lower_case_reason": self.reason,
        }

    def with_model(self, vocab_size: int) -> TokenizerFiles:
        """Itself, checked against the number of rows of the word embeddings.

        Raises:
          VocabularyError: it gives ids that the model has no embedding for.
        """
        if self.size > vocab_size:
            raise VocabularyError(
                "the vocabulary is larger than the model's",
                [
                    ("vocabulary", f"{self.path} ({self.size:,} pieces)"),
                    ("model", f"vocab_size {vocab_size:,}"),
                ],
                "pass the vocabulary that the checkpoint was trained with.",
            )
        if self.attribute and self.size < vocab_size:
            note = (
                f"the model has {vocab_size:,} word embeddings, the vocabulary {self.size:,} pieces"
            )
            return dataclasses.replace(self, warnings=(*self.warnings, note))
        return self


def read_tokenizer_files(
    vocab_file: str | os.PathLike[str] | None,
    sp_model_file: str | os.PathLike[str] | None,
    do_lower_case: bool | None,
) -> TokenizerFiles:
    """Reads and checks the tokenizer's file, if one was given.

    Raises:
      UsageError: both were given, or a flag about none; or no evidence about lower-casing.
      VocabularyError: a file that cannot be used.
    """
    if vocab_file and sp_model_file:
        raise UsageError(
            "both --vocab_file and --sp_model_file are given", to_go_on="pass one of them."
        )
    if do_lower_case is not None and not vocab_file:
        raise UsageError(
            "--do_lower_case says nothing about an encoder without a WordPiece vocabulary",
            [("--sp_model_file", str(sp_model_file or "not passed"))],
            "leave it out, or pass --vocab_file; a preprocessor takes it with either.",
        )
    if sp_model_file:
        # ALBERT's SavedModels carry no do_lower_case: their users know it from the page.
        model = read_sentencepiece(Path(sp_model_file))
        special_tokens(model)  # those of ALBERT must be there
        return TokenizerFiles("sp_model_file", model.path, len(model.pieces))
    if vocab_file:
        vocabulary = read_wordpiece(Path(vocab_file))
        casing = decide_lower_case(do_lower_case, vocabulary)
        return TokenizerFiles(
            "vocab_file",
            vocabulary.path,
            len(vocabulary.pieces),
            casing.lower_case,
            casing.reason,
            tuple(casing.warnings),
        )
    return TokenizerFiles()
