"""The BPE of OpenAI GPT: files, checks and definition.

Followed is Hugging Face's form of it: BERT's normalization and words, each word spelled by BPE
with `</w>` behind its last character. (The code that OpenAI trained with cut words by spaCy, after
ftfy had fixed the text; no current tokenizer of the model does.) Nothing here imports TensorFlow.

Source: huggingface/transformers, src/transformers/models/openai/tokenization_openai.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, VocabularyError, some_of
from hubexport.tokenizers.bpe.files import read_bpe
from hubexport.tokenizers.bpe.json import bpe_content
from hubexport.tokenizers.bpe.merges import (
    END_OF_WORD,
    Merge,
    check_merges,
    symbols_with_end,
)
from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.rust import add_literals, reference_of
from hubexport.tokenizers.tables import bert_characters

UNKNOWN = "<unk>"

RESERVED = frozenset(range(0xE000, 0xE003))
"""Code points that the graph uses as marks. Normalization drops them from text."""

_BERT_NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}


@dataclasses.dataclass(frozen=True)
class GPTModel:
    """A tokenizer of OpenAI GPT that passed all checks.

    Attributes:
      pieces: in the order of their ids.
      merges: the first one counts most.
      unknown: the piece for each character that cannot be spelled.
      files: what it was read from, the vocabulary first.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    merges: tuple[Merge, ...] = dataclasses.field(repr=False)
    unknown: str
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        source = ", ".join(map(str, self.files))
        vocabulary = f"{source} ({len(self.pieces):,} pieces)"
        if self.unknown not in self.pieces:
            raise VocabularyError(
                "the vocabulary has no piece for unknown characters",
                [("vocabulary", vocabulary), ("missing", self.unknown)],
                "pass the files as they were published with the checkpoint.",
            )
        if not self.alphabet:
            raise VocabularyError(
                "the vocabulary has no characters to spell words with",
                [("vocabulary", vocabulary)],
                "pass the files as they were published with the checkpoint.",
            )
        check_merges(self.merges, symbols_with_end, source, self.pieces)
        refused = bert_characters.reordered() | RESERVED
        found = sorted(refused.intersection(map(ord, self.alphabet)))
        if found:
            raise VocabularyError(
                "the vocabulary has characters that cannot be followed exactly",
                [
                    ("vocabulary", vocabulary),
                    ("found", some_of(f"U+{code_point:04X}" for code_point in found)),
                    ("reason", "normalization reorders some; U+E000 to U+E002 are marks here"),
                ],
                "use a vocabulary without them.",
            )

    @functools.cached_property
    def alphabet(self) -> frozenset[str]:
        """The characters that have a piece, in a word or at its end."""
        return alphabet(self.pieces)


def alphabet(pieces: tuple[str, ...]) -> frozenset[str]:
    """The characters that are a piece by themselves, in a word or at its end."""
    symbols = (symbols_with_end(piece) for piece in pieces if len(piece) <= 1 + len(END_OF_WORD))
    return frozenset(symbol[0][0] for symbol in symbols if len(symbol) == 1)


def read_gpt(vocab_file: str | Path, merges_file: str | Path) -> GPTModel:
    """Reads `vocab.json` and `merges.txt`.

    Raises:
      VocabularyError: a file cannot be read, or the two cannot be followed exactly.
    """
    bpe = read_bpe(vocab_file, merges_file)
    return GPTModel(bpe.pieces, bpe.merges, UNKNOWN, bpe.files)


def gpt_from_json(path: Path, content: dict[str, Any]) -> GPTModel:
    """Interprets a parsed `tokenizer.json`.

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
            "model.end_of_word_suffix": (END_OF_WORD,),
            "model.fuse_unk": (False, None),
            "model.byte_fallback": (False, None),
            "model.ignore_merges": (False, None),
            # Lower-casing strips accents unless it is told not to.
            "normalizer": (_BERT_NORMALIZER, {**_BERT_NORMALIZER, "strip_accents": True}),
            "pre_tokenizer.type": ("BertPreTokenizer",),
            "decoder": ({"type": "BPEDecoder", "suffix": END_OF_WORD},),
        },
    )
    unknown = content["model"].get("unk_token")
    if not isinstance(unknown, str):
        raise ConfigurationError(
            "tokenizer.json has no piece for unknown characters",
            [("file", str(path)), ("model.unk_token", repr(unknown))],
            "pass a tokenizer that has one; without it, unknown characters would vanish.",
        )
    return GPTModel(bpe.pieces, bpe.merges, unknown, bpe.files)


@behaviour.register
def _(
    model: GPTModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    return {
        "kind": "bpe",
        "unknown_id": model.pieces.index(model.unknown),
        "settings": {
            "merges": len(model.merges),
            "end_of_word_suffix": END_OF_WORD,
            "lower_case": True,
            "strip_accents": True,
            "characters": bert_characters.SOURCE,
        },
        "make": functools.partial(_make, model, pieces),
        "reference": functools.partial(reference_of, hugging_face_tokenizer, model),
    }


def _make(model: GPTModel, pieces: tuple[str, ...]) -> InGraphTokenizer:
    from hubexport.tokenizers.gpt.graph import GPT

    return GPT(pieces, model.merges, model.unknown, model.alphabet)


def hugging_face_tokenizer(model: GPTModel, added_tokens: Sequence[AddedToken]) -> Any:
    """The same tokenizer as a `tokenizers.Tokenizer`; raises ImportError without that package."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate(model.pieces)}
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            vocabulary,
            list(model.merges),
            unk_token=model.unknown,
            end_of_word_suffix=END_OF_WORD,
            fuse_unk=False,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix=END_OF_WORD)
    return add_literals(tokenizer, added_tokens)
