"""From tokenizer files to the definition of a tokenizer.

What the files are decides the kind of tokenizer; what they say of themselves, or the special
pieces among them, decides the type of model and with it the packing. What cannot be known must be
said with a flag.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, UsageError, some_of
from hubexport.tokenizers import hugging_face
from hubexport.tokenizers.added_tokens import with_added_tokens
from hubexport.tokenizers.conventions import CONVENTIONS, OPTIONAL, Convention
from hubexport.tokenizers.definition import PackingTemplate, Token, TokenizerDefinition
from hubexport.tokenizers.kinds import define
from hubexport.tokenizers.readers import READERS
from hubexport.tokenizers.request import Request, TokenizerOptions, find_model_type, make_request


@dataclasses.dataclass(frozen=True)
class Defined:
    """A tokenizer's definition and the evidence for it.

    Attributes:
      definition: the tokenizer.
      model_type: whose special tokens and packing it has.
      lower_case: whether text is lower-cased; None where that does not apply.
      reason: what decided it.
      warnings: sentences for the user.
    """

    definition: TokenizerDefinition
    model_type: str
    lower_case: bool | None
    reason: str
    warnings: tuple[str, ...]


def define_tokenizer(
    *,
    vocab_file: Path | None = None,
    sp_model_file: Path | None = None,
    tokenizer: Path | None = None,
    options: TokenizerOptions,
) -> Defined:
    """Reads and checks tokenizer files; exactly one argument says which.

    Args:
      vocab_file: a vocabulary, one piece per line.
      sp_model_file: a SentencePiece model.
      tokenizer: a directory with tokenizer files, or its tokenizer.json.
      options: what the user says of it.

    Raises:
      UsageError: options that do not go together, or something that the files do not tell.
      ConfigurationError, VocabularyError: files that cannot be used or followed exactly.
    """
    request = make_request(vocab_file, sp_model_file, tokenizer, options)
    model_type = find_model_type(request)
    convention = CONVENTIONS[model_type]
    _check_options(options, convention, model_type)
    read = READERS[convention.kind](request, model_type)

    stated = request.directory.added_tokens(recognised=options.special_tokens_in_text)
    pieces = {**convention.special_tokens, **request.directory.special_pieces(model_type)}
    pieces = {name: piece for name, piece in pieces.items() if name in convention.special_tokens}
    literals = dataclasses.replace(convention, literals=(*convention.literals, *pieces.values()))
    if stated is None:
        vocabulary_ids = {piece: number for number, piece in enumerate(read.pieces)}
        stated = tuple(dict.fromkeys(literals.added_tokens(vocabulary_ids)))
    complete = with_added_tokens(read.pieces, stated, str(request.files[0]))
    ids = {piece: number for number, piece in enumerate(complete)}
    special_tokens = _special_ids(pieces, ids, request)
    without = [name for name in pieces if name not in special_tokens]
    packing = request.directory.packing(
        special_tokens["padding_id"],
        convention.padding_type_id,
        _padding_side(request.directory, convention),
    )
    packing = packing or convention.packing(special_tokens)
    _check_packing(packing, len(complete), request)
    definition = define(
        read.model,
        added_tokens=stated,
        special_tokens=special_tokens,
        packing=packing,
        special_tokens_in_text=options.special_tokens_in_text,
    )
    definition = dataclasses.replace(
        definition,
        pieces=complete,
        files=tuple(dict.fromkeys((*definition.files, *request.directory.files()))),
    )
    return Defined(
        definition,
        model_type,
        read.lower_case,
        read.reason,
        (
            *read.warnings,
            *definition.warnings,
            *(f"the vocabulary has no {pieces[name]}: there is no {name}" for name in without),
            *_ordinary_as_text(request),
        ),
    )


def _ordinary_as_text(request: Request) -> list[str]:
    """A warning of added tokens that Hugging Face's `split_special_tokens` would still find."""
    ordinary = request.directory.ordinary_tokens()
    if request.options.special_tokens_in_text or not ordinary:
        return []
    return [
        "added tokens that are not special are taken for text, too, other than by Hugging Face's "
        f"split_special_tokens: {some_of(map(repr, ordinary))}"
    ]


def _check_packing(packing: PackingTemplate, size: int, request: Request) -> None:
    """Raises ConfigurationError for ids that no piece has, and types that no encoder has."""
    places = (*packing.single, *packing.pair)
    ids = [place.id for place in places if isinstance(place, Token) and not 0 <= place.id < size]
    types = [place.type_id for place in places if not 0 <= place.type_id < size]
    if ids or types:
        raise ConfigurationError(
            "the post_processor of tokenizer.json does not fit the vocabulary",
            [
                ("file", str(request.files[0])),
                ("vocabulary", f"{size:,} pieces"),
                *([("ids", some_of(map(str, ids)))] if ids else []),
                *([("type_id", some_of(map(str, types)))] if types else []),
            ],
            "pass the files as they were published together.",
        )


def _check_options(options: TokenizerOptions, convention: Convention, model_type: str) -> None:
    """Raises UsageError for options that say nothing about this type of tokenizer."""
    given = {
        "do_lower_case": options.do_lower_case is not None,
        "strip_accents": options.strip_accents is not None,
        "language": options.language is not None,
        "normalization": options.normalization != "exact",
    }
    pointless = [
        f"--{name}"
        for name, is_given in given.items()
        if is_given and name not in convention.options
    ]
    if pointless:
        raise UsageError(
            f"flags that say nothing about a tokenizer of type {model_type}",
            [("flags", ", ".join(pointless))],
            "leave them out.",
        )


def _special_ids(
    pieces: Mapping[str, str], ids: Mapping[str, int], request: Request
) -> dict[str, int]:
    """The ids of the special pieces that there are; all but the optional ones must be."""
    absent = {name: piece for name, piece in pieces.items() if piece not in ids}
    missing = [f"{piece} ({name})" for name, piece in absent.items() if name not in OPTIONAL]
    if missing:
        raise UsageError(
            "the vocabulary lacks special pieces",
            [("vocabulary", str(request.files[0])), ("missing", ", ".join(missing))],
            "pass the vocabulary as it was published with the checkpoint, and the --model_type "
            "that it belongs to.",
        )
    return {name: ids[piece] for name, piece in pieces.items() if name not in absent}


def _padding_side(directory: hugging_face.TokenizerDirectory, convention: Convention) -> Any:
    stated, _ = directory.sides()
    return stated if stated in ("left", "right") else convention.padding_side
