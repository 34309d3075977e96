"""WordPiece, the tokenizer of BERT, DistilBERT and ELECTRA: files, checks and definition.

Text is cleaned and split into words; each word is spelled by the longest pieces, from the left;
what cannot be spelled, or has too many characters, is unknown (google-research/bert,
tokenization.py). Implementations differ in what they clean and split. Followed is the one in
Hugging Face's `tokenizers`: its BertNormalizer, BertPreTokenizer and WordPiece, code point for code
point (`tables.bert_characters`). Nothing here imports TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import some_of
from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.rust import add_literals, reference_of
from hubexport.tokenizers.tables import bert_characters
from hubexport.tokenizers.wordpiece.json import CONTINUATION, wordpiece_content
from hubexport.tokenizers.wordpiece.model import WordPieceModel
from hubexport.tokenizers.wordpiece.vocabulary import UNKNOWN, Vocabulary


def wordpiece_from_vocabulary(
    vocabulary: Vocabulary,
    *,
    lower_case: bool,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> WordPieceModel:
    """A model of a `vocab.txt`.

    Args:
      vocabulary: from `read_wordpiece`.
      lower_case: whether to lower-case.
      strip_accents: None for BERT's rule, which is to strip them when lower-casing.
      tokenize_chinese_chars: whether each CJK character is a word.

    Raises:
      VocabularyError: the vocabulary cannot be followed exactly.
    """
    return WordPieceModel(
        vocabulary.pieces,
        UNKNOWN,
        lower_case,
        lower_case if strip_accents is None else strip_accents,
        (vocabulary.path,),
        tokenize_chinese_chars,
    )


def wordpiece_from_json(path: Path, content: dict[str, Any]) -> WordPieceModel:
    """Interprets a parsed `tokenizer.json`.

    Raises:
      ConfigurationError: it has settings that are not followed; all are listed.
      VocabularyError: its vocabulary cannot be followed exactly.
    """
    return WordPieceModel(**wordpiece_content(path, content), files=(path,))


@behaviour.register
def _(
    model: WordPieceModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    differences = ""
    if model.reordered:
        differences = (
            "the vocabulary has characters that NFD may reorder "
            f"({some_of(f'U+{ord(c):04X}' for c in model.reordered)}): a word with several of "
            "them in an order that NFD changes is taken as it is"
        )
    return {
        "kind": "wordpiece",
        "unknown_id": model.unknown_id,
        "settings": {
            "lower_case": model.lower_case,
            "strip_accents": model.strip_accents,
            "tokenize_chinese_chars": model.tokenize_chinese_chars,
            "max_input_chars_per_word": model.max_input_chars_per_word,
            "cleanup": model.cleanup,
            "characters": bert_characters.SOURCE,
        },
        "make": functools.partial(_make, model, pieces),
        "reference": functools.partial(reference_of, hugging_face_tokenizer, model),
        "differences": differences,
    }


def _make(model: WordPieceModel, pieces: tuple[str, ...]) -> InGraphTokenizer:
    from hubexport.tokenizers.wordpiece.graph import ExactWordPiece

    return ExactWordPiece(model, pieces)


def hugging_face_tokenizer(model: WordPieceModel, added_tokens: Sequence[AddedToken]) -> Any:
    """The same tokenizer as a `tokenizers.Tokenizer`; raises ImportError without that package."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    tokenizer = tokenizers.Tokenizer(
        models.WordPiece(
            {piece: number for number, piece in enumerate(model.pieces)},
            unk_token=model.unknown,
            max_input_chars_per_word=model.max_input_chars_per_word,
            continuing_subword_prefix=CONTINUATION,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=model.tokenize_chinese_chars,
        strip_accents=model.strip_accents,
        lowercase=model.lower_case,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION, cleanup=model.cleanup)
    return add_literals(tokenizer, added_tokens)
