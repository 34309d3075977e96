"""What the record says of a preprocessor: its tokenizer and the command that makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubexport.exporting.tokenizer_files import attribute, describe
from hubexport.tokenizers.defining import Defined
from hubexport.tokenizers.definition import Segment, Token, TokenizerDefinition
from hubexport.tokenizers.request import TokenizerOptions


def describe_tokenizer(defined: Defined, options: TokenizerOptions) -> dict[str, Any]:
    """The record's part on the tokenizer."""
    definition = defined.definition
    return {
        **describe(defined),
        "normalization": options.normalization,
        "settings": dict(definition.settings),
        "packing": _packing(definition),
        "special_tokens_in_text": [token.content for token in definition.added_tokens],
        "differences_to_the_reference": definition.differences,
        "no_offsets": definition.no_offsets,
        "no_detokenize": definition.no_detokenize,
    }


def _packing(definition: TokenizerDefinition) -> dict[str, Any]:
    """How one and two texts are arranged, place by place."""
    packing = definition.packing

    def place(each: Token | Segment) -> dict[str, Any]:
        if isinstance(each, Segment):
            return {"text": each.index, "type_id": each.type_id}
        return {"piece": definition.pieces[each.id], "type_id": each.type_id}

    return {
        "single": [place(each) for each in packing.single],
        "pair": [place(each) for each in packing.pair],
        "padding": {
            "piece": definition.pieces[packing.padding_id],
            "type_id": packing.padding_type_id,
        },
        "padding_side": packing.padding_side,
    }


def command(
    given: dict[str, Path | None],
    defined: Defined,
    options: TokenizerOptions,
    truncation: str,
    default_seq_length: int,
) -> list[str]:
    """The call that makes the same artifact, with everything that was found out said."""
    # Files go by their names only: where they lay is no part of the artifact.
    words = ["hubexport", "preprocessor"]
    words += [
        f"--{flag}={path.name or path.resolve().name}" for flag, path in given.items() if path
    ]
    words.append(f"--model_type={defined.model_type}")
    stated = "tokenizer_file" in {attribute(file) for file in defined.definition.files}
    if defined.lower_case is not None and not stated:
        words.append("--do_lower_case" if defined.lower_case else "--nodo_lower_case")
    if options.strip_accents is not None:
        words.append("--strip_accents" if options.strip_accents else "--nostrip_accents")
    if options.language is not None:
        words.append(f"--language={options.language}")
    if not options.special_tokens_in_text:
        words.append("--nospecial_tokens_in_text")
    return [
        *words,
        f"--normalization={options.normalization}",
        f"--truncation={truncation}",
        f"--default_seq_length={default_seq_length}",
    ]
