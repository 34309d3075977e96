"""Byte-level BPE, the tokenizer of GPT-2 and RoBERTa: files, checks and definition.

Text is cut into words by a regular expression, a word's bytes are written as 256 printable
characters, and BPE joins these (openai/gpt-2, src/encoder.py). Followed is the implementation in
Hugging Face's `tokenizers`, whose letters, numbers and white space are those of
`tables.unicode_classes`. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.bpe.files import read_bpe
from hubexport.tokenizers.bpe.json import bpe_content, flag, refuse_ignored_merges
from hubexport.tokenizers.bpe.merges import Merge, check_merges
from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.rust import add_literals, reference_of
from hubexport.tokenizers.tables import unicode_classes
from hubexport.tokenizers.tables.byte_symbols import byte_symbols

_NOT_IN_UTF8 = frozenset([0xC0, 0xC1, *range(0xF5, 0x100)])


@dataclasses.dataclass(frozen=True)
class ByteLevelModel:
    """A byte-level BPE tokenizer that passed all checks.

    Attributes:
      pieces: in the order of their ids.
      merges: the first one counts most.
      add_prefix_space: whether text that does not begin with a space is given one.
      use_regex: whether text is cut into words first; if not, it is one word.
      files: what it was read from, the vocabulary first.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    merges: tuple[Merge, ...] = dataclasses.field(repr=False)
    add_prefix_space: bool
    use_regex: bool
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        source = ", ".join(map(str, self.files))
        known = set(self.pieces)
        missing = [
            f"0x{byte:02X} ({symbol!r})"
            for byte, symbol in enumerate(byte_symbols())
            if symbol not in known and byte not in _NOT_IN_UTF8
        ]
        if missing:
            raise VocabularyError(
                "the vocabulary is not one of byte-level BPE: bytes have no piece",
                [
                    ("vocabulary", f"{source} ({len(self.pieces):,} pieces)"),
                    (f"missing ({len(missing)})", some_of(missing)),
                ],
                "pass the files of GPT-2, RoBERTa or another byte-level model.",
            )
        symbols = frozenset(byte_symbols())
        foreign = [repr(part) for merge in self.merges for part in merge if not symbols >= {*part}]
        if foreign:
            raise VocabularyError(
                "the merges are not those of byte-level BPE",
                [
                    ("merges", f"{source} ({len(self.merges):,})"),
                    (f"of other characters ({len(foreign):,})", some_of(foreign)),
                ],
                "pass the files of GPT-2, RoBERTa or another byte-level model.",
            )
        check_merges(self.merges, list, source, self.pieces)


def read_byte_level_bpe(
    vocab_file: str | Path, merges_file: str | Path, *, add_prefix_space: bool = False
) -> ByteLevelModel:
    """Reads `vocab.json` and `merges.txt`, or `encoder.json` and `vocab.bpe`.

    Raises:
      VocabularyError: a file cannot be read, or the two cannot be followed exactly.
    """
    bpe = read_bpe(vocab_file, merges_file)
    return ByteLevelModel(bpe.pieces, bpe.merges, add_prefix_space, True, bpe.files)


def byte_level_bpe_from_json(path: Path, content: dict[str, Any]) -> ByteLevelModel:
    """Interprets a parsed `tokenizer.json`.

    `trim_offsets` is not looked at: it is about the offsets that Hugging Face's library reports.

    Raises:
      ConfigurationError: it has settings that are not followed.
      VocabularyError: its vocabulary and merges cannot be followed exactly.
    """
    bpe = bpe_content(
        path,
        content,
        {
            "model.type": ("BPE", None),
            "model.dropout": (None, 0, 0.0),
            "model.continuing_subword_prefix": (None, ""),
            "model.end_of_word_suffix": (None, ""),
            "normalizer": (None,),
            "pre_tokenizer.type": ("ByteLevel",),
            "decoder.type": ("ByteLevel",),
        },
    )
    if flag(path, content, "model.ignore_merges", False):
        refuse_ignored_merges(path, bpe, frozenset(byte_symbols()))
    return ByteLevelModel(
        bpe.pieces,
        bpe.merges,
        flag(path, content, "pre_tokenizer.add_prefix_space"),
        flag(path, content, "pre_tokenizer.use_regex", True),
        bpe.files,
    )


@behaviour.register
def _(
    model: ByteLevelModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    return {
        "kind": "byte_level_bpe",
        "unknown_id": None,
        "settings": {
            "merges": len(model.merges),
            "add_prefix_space": model.add_prefix_space,
            "use_regex": model.use_regex,
            "unicode_classes": f"tokenizers {unicode_classes.version()}",
        },
        "make": functools.partial(_make, model, pieces),
        "reference": functools.partial(reference_of, hugging_face_tokenizer, model),
    }


def _make(model: ByteLevelModel, pieces: tuple[str, ...]) -> InGraphTokenizer:
    from hubexport.tokenizers.byte_level_bpe.graph import ByteLevelBPE

    return ByteLevelBPE(
        pieces,
        model.merges,
        add_prefix_space=model.add_prefix_space,
        use_regex=model.use_regex,
    )


def hugging_face_tokenizer(model: ByteLevelModel, added_tokens: Sequence[AddedToken]) -> Any:
    """The same tokenizer as a `tokenizers.Tokenizer`; raises ImportError without that package."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate(model.pieces)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, list(model.merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=model.add_prefix_space, use_regex=model.use_regex
    )
    tokenizer.decoder = decoders.ByteLevel()
    return add_literals(tokenizer, added_tokens)
