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
from collections.abc import Callable, Mapping
from typing import Any

from hubexport.errors import ConfigurationError, VocabularyError, some_of
from hubexport.tokenizers.added_tokens import with_added_tokens
from hubexport.tokenizers.definition import (
    AddedToken,
    InGraphTokenizer,
    PackingTemplate,
    TokenizerDefinition,
)
from hubexport.tokenizers.sentencepiece_model import SentencePieceModel
from hubexport.tokenizers.sentencepiece_per_word import (
    GRANULE,
    PerWord,
    SentencePieceTokenizer,
    check_charsmap,
    per_word,
)
from hubexport.tokenizers.sentencepiece_references import library_reference, rust_reference

MODEL_TYPES = ("albert", "t5", "xlm-roberta", "xlnet", "sentencepiece")
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
    do_lower_case: bool | None = None,
    keep_accents: bool = False,
) -> SentencePieceTokenizer:
    """A family's tokenizer from its `.model`.

    Args:
      model: from `read_sentencepiece`.
      model_type: one of `MODEL_TYPES`.
      do_lower_case: whether text is lower-cased; by default it is for ALBERT. Of ALBERT and XLNet
        only.
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
    bert_like = model_type in ("albert", "xlnet")
    if not bert_like and (do_lower_case or keep_accents):
        raise ConfigurationError(
            f"{model_type} tokenizers have no options for casing and accents",
            [("model", str(model.path)), ("do_lower_case", repr(do_lower_case))],
            "leave them out: what such a model does to text is in its own character map.",
        )
    check_charsmap(model.charsmap, model.path)
    common: dict[str, Any] = {"files": (model.path,), "algorithm": model.algorithm}
    if model_type == "sentencepiece":
        return SentencePieceTokenizer(
            pieces=model.pieces,
            unknown_id=model.unknown_id,
            library=model.serialized,
            keeps_spaces=not model.normalizer.get("remove_extra_whitespaces", True),
            **common,
        )
    _check_unigram(model, model_type)
    common["charsmap"] = model.charsmap
    if model_type == "xlm-roberta":
        return SentencePieceTokenizer(
            pieces=(*_FAIRSEQ, *model.pieces[len(_RAW) :], "<mask>"),
            scores=(*[0.0] * len(_FAIRSEQ), *model.scores[len(_RAW) :], 0.0),
            unknown_id=_FAIRSEQ.index("<unk>"),
            **common,
        )
    scores = model.scores
    if bert_like:
        scores = tuple(
            score + _DIGIT_COMMA if len(p) > 1 and p[-1] == "," and p[-2].isdigit() else score
            for p, score in zip(model.pieces, scores, strict=True)
        )
        lower = model_type == "albert" if do_lower_case is None else do_lower_case
        common |= {"quotes": True, "strip_accents": not keep_accents, "lower_case": lower}
    return SentencePieceTokenizer(
        pieces=model.pieces,
        scores=scores,
        unknown_id=model.unknown_id,
        added_have_scores=model_type == "t5",
        **common,
    )


def _check_unigram(model: SentencePieceModel, model_type: str) -> None:
    problems = []
    if model.algorithm != "unigram":
        problems.append(f"its algorithm is {model.algorithm}, not unigram")
    if model.trainer.get("byte_fallback"):
        problems.append("it spells unknown characters as bytes (byte_fallback)")
    if model_type == "xlm-roberta" and model.pieces[: len(_RAW)] != _RAW:
        problems.append(f"its first pieces are {some_of(map(repr, model.pieces[:3]))}")
    if problems:
        raise VocabularyError(
            f"the SentencePiece model is not one of {model_type}",
            [("model", str(model.path)), *(("found", problem) for problem in problems)],
            "pass the model of the checkpoint, and the --model_type that it belongs to.",
        )


def define_sentencepiece(
    model: SentencePieceTokenizer,
    *,
    added_tokens: tuple[AddedToken, ...],
    special_tokens: Mapping[str, int],
    packing: PackingTemplate,
) -> TokenizerDefinition:
    """The definition of a SentencePiece tokenizer.

    Raises:
      VocabularyError: added tokens that do not fit, or pieces that the graph cannot run.
    """
    source = ", ".join(map(str, model.files))
    pieces = with_added_tokens(model.pieces, added_tokens, source)
    make: Callable[[], InGraphTokenizer]
    if model.library is not None:
        if len(pieces) > len(model.pieces):
            # The op's ids end with the model's own pieces.
            no_detokenize = "the model has no pieces for tokens that were added behind them"
        elif model.keeps_spaces:
            # The library of the op is an older one.
            no_detokenize = "TensorFlow's op drops all spaces in front of text, the library but one"
        else:
            no_detokenize = ""
        make = functools.partial(_make_library, model.library)
        reference = functools.partial(library_reference, model.library, added_tokens)
        settings: dict[str, Any] = {"runs_like": "sentencepiece", "algorithm": model.algorithm}
        more: dict[str, Any] = {
            "reference_name": "sentencepiece",
            "differences": LIBRARY_DIFFERENCES if model.algorithm == "unigram" else "",
            "no_detokenize": no_detokenize,
        }
    else:
        if model.added_have_scores:
            extra = pieces[len(model.pieces) :]
            model = dataclasses.replace(
                model, pieces=pieces, scores=(*model.scores, *[0.0] * len(extra))
            )
        make = functools.partial(_make_per_word, per_word(model, pieces, source))
        reference = functools.partial(rust_reference, model, added_tokens)
        settings = {
            "runs_like": "tokenizers",
            "algorithm": "unigram",
            "replace_quotes": model.quotes,
            "strip_accents": model.strip_accents,
            "lower_case": model.lower_case,
            "own_character_map": bool(model.charsmap),
            "words_end_at": "white space" if model.split else "spaces",
            "word_prefix": model.prefix,
            "scores_rounded_to": GRANULE,
        }
        more = {
            "differences": DIFFERENCES,
            "no_offsets": "text is normalized and cut into words before the model sees it",
        }
    return TokenizerDefinition(
        kind="sentencepiece",
        pieces=pieces,
        unknown_id=model.unknown_id,
        special_tokens=dict(special_tokens),
        added_tokens=added_tokens,
        packing=packing,
        settings=settings,
        files=model.files,
        make=make,
        reference=reference,
        **more,
    )


def _make_library(serialized: bytes) -> InGraphTokenizer:
    from hubexport.tokenizers.graph.sentencepiece import WholeSentencePiece

    return WholeSentencePiece(serialized)


def _make_per_word(settings: PerWord) -> InGraphTokenizer:
    from hubexport.tokenizers.graph.sentencepiece import ExactSentencePiece

    return ExactSentencePiece(settings)
