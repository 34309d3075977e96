"""Reading each kind of tokenizer: from its files to its model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, UsageError
from hubexport.tokenizers import casing
from hubexport.tokenizers.conventions import CONVENTIONS
from hubexport.tokenizers.request import Request, raw_pieces
from hubexport.tokenizers.sentencepiece import model as sentencepiece_model
from hubexport.tokenizers.wordpiece import vocabulary


@dataclasses.dataclass(frozen=True)
class Read:
    """What a reader found: the model, all pieces, and the decision on casing."""

    model: Any
    pieces: Sequence[str]
    lower_case: bool | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()


def _wordpiece(request: Request, model_type: str) -> Read:
    words = None if request.json_file else vocabulary.read_wordpiece(request.files[0])
    if words is not None and request.options.normalization == "tfhub":
        return _stock(request, words)
    from hubexport.tokenizers.wordpiece import definition as wordpiece

    if words is None:
        model = wordpiece.wordpiece_from_json(request.files[0], _stated(request))
        settings = ("strip_accents", "tokenize_chinese_chars")
        stated = {name: getattr(model, name) for name in settings}
        _agrees(request, {"do_lower_case": model.lower_case, **stated})
        return _read(model)
    decided = casing.decide_lower_case(
        request.options.do_lower_case,
        words,
        followed=("strip_accents", "tokenize_chinese_chars"),
    )
    model = wordpiece.wordpiece_from_vocabulary(
        words,
        lower_case=decided.lower_case,
        strip_accents=_strip_accents(request),
        tokenize_chinese_chars=request.directory.said("tokenize_chinese_chars") is not False,
    )
    return _read(model, decided)


def _byte_level_bpe(request: Request, model_type: str) -> Read:
    from hubexport.tokenizers.byte_level_bpe import definition as kind

    if request.json_file:
        model = kind.byte_level_bpe_from_json(request.files[0], _stated(request))
    else:
        model = kind.read_byte_level_bpe(
            *_both(request), add_prefix_space=bool(request.directory.said("add_prefix_space"))
        )
    _agrees(request, {"add_prefix_space": model.add_prefix_space})
    return _read(model)


def _gpt(request: Request, model_type: str) -> Read:
    from hubexport.tokenizers.gpt import definition as gpt

    if request.json_file:
        return _read(gpt.gpt_from_json(request.files[0], _stated(request)))
    return _read(gpt.read_gpt(*_both(request)))


def _xlm(request: Request, model_type: str) -> Read:
    from hubexport.tokenizers.xlm import definition as xlm

    if request.options.language is None:
        raise UsageError(
            "the language of the text is not known",
            [("files", ", ".join(map(str, request.files)))],
            "pass --language, such as en: XLM's rules differ between languages.",
        )
    decided = _lower_case(request, "do_lowercase_and_remove_accent")
    model = xlm.read_xlm(
        *_both(request),
        language=request.options.language,
        do_lowercase_and_remove_accent=decided.lower_case,
    )
    return _read(model, decided)


def _transformer_xl(request: Request, model_type: str) -> Read:
    from hubexport.tokenizers.transformer_xl import definition as transformer_xl

    decided = _lower_case(request, "lower_case")
    model = transformer_xl.read_transformer_xl(request.files[0], lower_case=decided.lower_case)
    return _read(model, decided)


def _sentencepiece(request: Request, model_type: str) -> Read:
    from hubexport.tokenizers.sentencepiece import definition as sentencepiece
    from hubexport.tokenizers.sentencepiece import json as sentencepiece_json

    convention = CONVENTIONS[model_type]
    has_casing = "do_lower_case" in convention.options
    if request.json_file:
        model = sentencepiece_json.sentencepiece_from_json(request.files[0], _stated(request))
        if has_casing:
            keep_accents = not model.strip_accents
            _agrees(request, {"do_lower_case": model.lower_case, "keep_accents": keep_accents})
        return _read(model)
    pieces = sentencepiece_model.read_sentencepiece(request.files[0])
    if request.options.normalization == "tfhub":
        return _stock(request, pieces)
    decided = None
    if has_casing:
        decided = casing.decide_lower_case(
            request.options.do_lower_case, pieces, followed=("strip_accents", "keep_accents")
        )
    model = sentencepiece.sentencepiece_from_model(
        pieces,
        model_type=model_type,
        do_lower_case=decided is not None and decided.lower_case,
        keep_accents=_strip_accents(request) is False,
    )
    read = _read(model, decided)
    return dataclasses.replace(read, pieces=(*read.pieces, *convention.appended))


def _stock(
    request: Request, model: vocabulary.Vocabulary | sentencepiece_model.SentencePieceModel
) -> Read:
    """What published TF-Hub preprocessors do."""
    from hubexport.tokenizers.tfhub import definition as tfhub

    if request.options.strip_accents is not None:
        raise UsageError(
            "--strip_accents cannot be followed with --normalization=tfhub",
            hint="leave one of them out: the stock ops strip accents where they lower-case.",
        )
    decided = casing.decide_lower_case(request.options.do_lower_case, model)
    tokenizer = tfhub.TFHubModel(model, decided.lower_case)
    return _read(tokenizer, decided)


def _read(model: Any, decided: casing.Casing | None = None) -> Read:
    if decided is None:
        return Read(model, model.pieces)
    return Read(model, model.pieces, decided.lower_case, decided.reason, tuple(decided.warnings))


def _stated(request: Request) -> dict[str, Any]:
    """The content of tokenizer.json, which leaves nothing to say."""
    options = request.options
    given = {
        "--do_lower_case": options.do_lower_case,
        "--strip_accents": options.strip_accents,
        "--language": options.language,
    }
    said = [name for name, value in given.items() if value is not None]
    if said:
        raise UsageError(
            "tokenizer.json states how text is normalized",
            [("file", str(request.files[0])), ("flags", ", ".join(said))],
            "leave the flags out, or pass the vocabulary itself, for example with --vocab_file.",
        )
    assert request.directory.tokenizer_json is not None
    return request.directory.tokenizer_json


def _agrees(request: Request, followed: Mapping[str, bool]) -> None:
    """Raises ConfigurationError for a tokenizer_config.json that says otherwise.

    transformers makes the tokenizer anew by tokenizer_config.json; the package `tokenizers` reads
    tokenizer.json. Where they differ there is no telling which one is meant.
    """
    said = {name: request.directory.said(name) for name in followed}
    differing = [n for n, value in said.items() if isinstance(value, bool) and value != followed[n]]
    if differing:
        raise ConfigurationError(
            "tokenizer.json and tokenizer_config.json do not agree",
            [
                ("directory", str(request.directory.path)),
                *((name, f"{followed[name]} and {said[name]}") for name in differing),
            ],
            "save the tokenizer again with save_pretrained, or fix the file that is wrong.",
        )


def _strip_accents(request: Request) -> bool | None:
    """What the flag or tokenizer_config.json says of accents; None if nothing."""
    if request.options.strip_accents is not None:
        return request.options.strip_accents
    keep, strip = (request.directory.said(name) for name in ("keep_accents", "strip_accents"))
    if isinstance(keep, bool):
        return not keep
    return strip if isinstance(strip, bool) else None


def _lower_case(request: Request, setting: str) -> casing.Casing:
    """By the flag, a setting of tokenizer_config.json, or the letters of the vocabulary."""
    flag, stated = request.options.do_lower_case, request.directory.said(setting)
    if flag is not None:
        return casing.Casing(flag, "--do_lower_case" if flag else "--nodo_lower_case", [])
    if isinstance(stated, bool):
        return casing.Casing(stated, f"{casing.TOKENIZER_CONFIG}: {setting} {stated}".lower(), [])
    letters = casing.letter_case_evidence(raw_pieces(request))
    if letters.lower_case is None:
        raise UsageError(
            "it is not known whether to lower-case",
            [
                ("vocabulary", f"{request.files[0]}: {letters}"),
                (casing.TOKENIZER_CONFIG, f"does not say {setting}"),
            ],
            "pass --do_lower_case or --nodo_lower_case, as the checkpoint was trained.",
        )
    return casing.Casing(letters.lower_case, f"in the vocabulary {letters}", [])


def _both(request: Request) -> tuple[Path, Path]:
    """The vocabulary's and the merges' file."""
    if len(request.files) != 2:
        raise UsageError(
            "a BPE tokenizer has a vocabulary and merges",
            [("given", ", ".join(map(str, request.files)))],
            "pass --tokenizer with the directory of vocab.json and merges.txt.",
        )
    return request.files[0], request.files[1]


READERS: Mapping[str, Callable[[Request, str], Read]] = {
    "wordpiece": _wordpiece,
    "byte_level_bpe": _byte_level_bpe,
    "bpe": _gpt,
    "xlm": _xlm,
    "transformer_xl": _transformer_xl,
    "sentencepiece": _sentencepiece,
}
"""Kind of tokenizer -> (request, model type) -> what was read."""
