"""SentencePiece tokenizers, as the library runs them and as Hugging Face's tokenizers do.

There are two ways to run one and the same unigram model, which differ in a few texts of a
thousand:

- The library (`sentencepiece`) looks at whole sentences. That is the reference for a `.model`
  that belongs to no family in particular ("sentencepiece"), of whatever algorithm.
- The Rust `tokenizers` cut text into words first, apply the character map to grapheme clusters,
  and add up scores in double precision. What is published as tokenizer.json of ALBERT, XLNet,
  XLM-RoBERTa and T5 works that way, and is the reference for these, also when they are read from
  a `.model`: what transformers makes of it (convert_slow_tokenizer.py) is put together here.
  Pieces that the model's trainer was told of (USER_DEFINED) are ordinary ones, as in the
  published files; transformers 5 splits text at them first if it is given nothing but a `.model`.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from hubexport.errors import ConfigurationError, VocabularyError, some_of
from hubexport.tokenizers.conventions import CONVENTIONS, Convention
from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.rust import reference_of
from hubexport.tokenizers.sentencepiece.model import SentencePieceModel
from hubexport.tokenizers.sentencepiece.per_word import (
    GRANULE,
    PerWord,
    SentencePieceTokenizer,
    check_charsmap,
    per_word,
)
from hubexport.tokenizers.sentencepiece.references import library_reference, rust_tokenizer

MODEL_TYPES = (
    *(name for name, convention in CONVENTIONS.items() if convention.kind == "sentencepiece"),
    "sentencepiece",
)
"""Families whose `.model` files are known; the last for all others."""

_DIGIT_COMMA = -100.0  # added to the score of pieces such as "9,": Hugging Face avoids them
_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
_RAW = ("<unk>", "<s>", "</s>")

LIBRARY_DIFFERENCES = (
    "Of two segmentations whose scores are equal, the op's version of the library may take the "
    "other one: both add up in single precision over the whole text, in another order."
)
DIFFERENCES = (
    "Of two segmentations of a word whose scores are as good as equal (to 2**-16) the other one "
    "may be taken, and of two that are exactly equal in words whose scores add up to more than "
    "256 (long runs of one character, addresses); combining characters that follow no other "
    "character are looked up one by one."
)


def sentencepiece_from_model(
    model: SentencePieceModel,
    *,
    model_type: str,
    do_lower_case: bool = False,
    keep_accents: bool = False,
) -> SentencePieceTokenizer:
    """A family's tokenizer from its `.model`.

    Args:
      model: from `read_sentencepiece`.
      model_type: one of `MODEL_TYPES`.
      do_lower_case: whether text is lower-cased. Of ALBERT and XLNet only.
      keep_accents: whether it keeps its accents. Of ALBERT and XLNet only.

    Raises:
      ConfigurationError: an unknown model_type, or options that it does not have.
      VocabularyError: the model is not of that family.
    """
    if model_type not in MODEL_TYPES:
        raise ConfigurationError(
            "the family of the SentencePiece model is not known",
            [("model_type", repr(model_type)), ("known", ", ".join(MODEL_TYPES))],
            "pass one of them.",
        )
    check_charsmap(model.charsmap, model.path)
    common: dict[str, Any] = {"files": (model.path,), "algorithm": model.algorithm}
    if model_type not in CONVENTIONS:
        _refuse_casing(model, model_type, do_lower_case or keep_accents)
        return SentencePieceTokenizer(
            pieces=model.pieces,
            unknown_id=model.unknown_id,
            library=model.serialized,
            keeps_spaces=not model.normalizer.get("remove_extra_whitespaces", True),
            **common,
        )
    convention = CONVENTIONS[model_type]
    has_casing = "do_lower_case" in convention.options
    _refuse_casing(model, model_type, not has_casing and (do_lower_case or keep_accents))
    _check_unigram(model, model_type, convention)
    common["charsmap"] = model.charsmap
    if convention.fairseq_ids:
        return SentencePieceTokenizer(
            pieces=(*_FAIRSEQ, *model.pieces[len(_RAW) :], "<mask>"),
            scores=(*[0.0] * len(_FAIRSEQ), *model.scores[len(_RAW) :], 0.0),
            unknown_id=_FAIRSEQ.index("<unk>"),
            **common,
        )
    scores = model.scores
    if has_casing:
        scores = tuple(
            score + _DIGIT_COMMA if len(p) > 1 and p[-1] == "," and p[-2].isdigit() else score
            for p, score in zip(model.pieces, scores, strict=True)
        )
        common |= {"quotes": True, "strip_accents": not keep_accents, "lower_case": do_lower_case}
    return SentencePieceTokenizer(
        pieces=model.pieces,
        scores=scores,
        unknown_id=model.unknown_id,
        added_have_scores=convention.appended_have_scores,
        **common,
    )


def _refuse_casing(model: SentencePieceModel, model_type: str, is_asked_for: bool) -> None:
    if is_asked_for:
        raise ConfigurationError(
            f"{model_type} tokenizers have no options for casing and accents",
            [("model", str(model.path))],
            "leave them out: what such a model does to text is in its own character map.",
        )


def _check_unigram(model: SentencePieceModel, model_type: str, convention: Convention) -> None:
    problems = []
    if model.algorithm != "unigram":
        problems.append(f"its algorithm is {model.algorithm}, not unigram")
    if model.trainer.get("byte_fallback"):
        problems.append("it spells unknown characters as bytes (byte_fallback)")
    if convention.fairseq_ids and model.pieces[: len(_RAW)] != _RAW:
        problems.append(f"its first pieces are {some_of(map(repr, model.pieces[:3]))}")
    if problems:
        raise VocabularyError(
            f"the SentencePiece model is not one of {model_type}",
            [("model", str(model.path)), *(("found", problem) for problem in problems)],
            "pass the model of the checkpoint, and the --model_type that it belongs to.",
        )


@behaviour.register
def _(
    model: SentencePieceTokenizer, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    common: dict[str, Any] = {"kind": "sentencepiece", "unknown_id": model.unknown_id}
    if model.library is not None:
        if len(pieces) > len(model.pieces):
            # The op's ids end with the model's own pieces.
            no_detokenize = "the model has no pieces for tokens that were added behind them"
        elif model.keeps_spaces:
            # The library of the op is an older one.
            no_detokenize = "TensorFlow's op drops all spaces in front of text, the library but one"
        else:
            no_detokenize = ""
        return {
            **common,
            "make": functools.partial(_make_library, model.library),
            "reference": functools.partial(library_reference, model.library),
            "reference_name": "sentencepiece",
            "settings": {"runs_like": "sentencepiece", "algorithm": model.algorithm},
            "differences": LIBRARY_DIFFERENCES if model.algorithm == "unigram" else "",
            "no_detokenize": no_detokenize,
        }
    if model.added_have_scores:
        extra = pieces[len(model.pieces) :]
        model = dataclasses.replace(
            model, pieces=pieces, scores=(*model.scores, *[0.0] * len(extra))
        )
    settings = per_word(model, pieces, ", ".join(map(str, model.files)))
    return {
        **common,
        "make": functools.partial(_make_per_word, settings),
        "reference": functools.partial(reference_of, rust_tokenizer, model),
        "settings": {
            "runs_like": "tokenizers",
            "algorithm": "unigram",
            "replace_quotes": model.quotes,
            "strip_accents": model.strip_accents,
            "lower_case": model.lower_case,
            "own_character_map": bool(model.charsmap),
            "words_end_at": "white space" if model.split else "spaces",
            "word_prefix": model.prefix,
            "scores_rounded_to": GRANULE,
        },
        "differences": DIFFERENCES,
    }


def _make_library(serialized: bytes) -> InGraphTokenizer:
    from hubexport.tokenizers.sentencepiece.graph import WholeSentencePiece

    return WholeSentencePiece(serialized)


def _make_per_word(settings: PerWord) -> InGraphTokenizer:
    from hubexport.tokenizers.sentencepiece.graph import ExactSentencePiece

    return ExactSentencePiece(settings)
