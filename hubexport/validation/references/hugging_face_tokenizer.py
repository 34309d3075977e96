"""A tokenizer of transformers, as `AutoTokenizer` loads it from a directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import VocabularyError, some_of
from hubexport.packages import needed_by
from hubexport.validation.references.sources import first_line

_WHOLE = "tokenizer.json"
_SETTINGS = "tokenizer_config.json"
_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")


def says_how(directory: Path) -> bool:
    """Whether a directory's files say what its tokenizer does.

    A vocabulary alone does not: not even whether it is of lower-cased text.
    """
    names = [name for name in (_SETTINGS, *_VOCABULARIES) if (directory / name).is_file()]
    return (directory / _WHOLE).is_file() or (_SETTINGS in names and len(names) > 1)


class HuggingFaceTokenizer:
    """See `texts.TextTokenizer`.

    Args:
      directory: its files.
      config: of the model, by transformers; it counts where the tokenizer's own files do not name
        its class. None for BERT's.

    Raises:
      MissingPackageError: transformers is not installed.
      VocabularyError: the directory does not say how text is treated, or transformers cannot load
        it without running code of its own.
    """

    truncation = "longest first"

    def __init__(self, directory: Path, config: Any = None):
        with needed_by("--tokenizer", "transformers"):
            import transformers
        if not says_how(directory):
            found = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
            raise VocabularyError(
                "the directory does not say what its tokenizer does",
                [
                    ("directory", str(directory)),
                    ("looked for", f"{_WHOLE}, or {_SETTINGS} and a vocabulary"),
                    ("found", some_of(found) or "nothing"),
                ],
                "pass a directory that save_pretrained of the tokenizer wrote.",
            )
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(directory),
                config=config or transformers.BertConfig(),
                local_files_only=True,
                trust_remote_code=False,
            )
        except Exception as error:
            raise VocabularyError(
                "transformers cannot load the tokenizer",
                [("directory", str(directory)), ("transformers", first_line(error))],
                "pass a directory that AutoTokenizer.from_pretrained reads without remote code.",
            ) from error
        if len(self._tokenizer) <= len(self._tokenizer.all_special_tokens):
            # What transformers makes where it finds no vocabulary of the class it has chosen.
            raise VocabularyError(
                "the tokenizer has no pieces but special ones",
                [("directory", str(directory)), ("class", type(self._tokenizer).__name__)],
                "pass a directory that save_pretrained of the tokenizer wrote.",
            )
        self.name = f"transformers {transformers.__version__} ({type(self._tokenizer).__name__})"
        self.mask_id = self._tokenizer.mask_token_id
        self.unknown_id = self._tokenizer.unk_token_id

    def ids(self, text: str) -> list[int]:
        """The pieces of a text, without special ones."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def pack(
        self, segments: Sequence[str], length: int
    ) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Ids, mask and type ids of a row of that length, for one or two segments."""
        row = self._tokenizer(
            *segments,
            padding="max_length",
            truncation="longest_first",
            max_length=length,
            return_token_type_ids=True,
            return_attention_mask=True,
        )
        return row["input_ids"], row["attention_mask"], row["token_type_ids"]
