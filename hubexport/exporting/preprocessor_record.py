"""What the record says of a preprocessor: its tokenizer and the command that makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubexport.saved_model.record import source_file
from hubexport.tokenizers.defining import Defined, TokenizerOptions
from hubexport.tokenizers.definition import Segment, Token, TokenizerDefinition


def describe_tokenizer(defined: Defined, options: TokenizerOptions) -> dict[str, Any]:
    """The record's part on the tokenizer."""
    definition = defined.definition
    special = dict(definition.special_tokens)
    if definition.unknown_id is not None:
        special["unknown_id"] = definition.unknown_id
    return {
        "kind": definition.kind,
        "model_type": defined.model_type,
        "files": {attribute(file): source_file(file) for file in definition.files},
        "vocab_size": len(definition.pieces),
        "do_lower_case": defined.lower_case,
        "do_lower_case_reason": defined.reason,
        "normalization": options.normalization,
        "settings": dict(definition.settings),
        "special_tokens": {
            name: {"piece": definition.pieces[number], "id": number}
            for name, number in special.items()
        },
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


_ATTRIBUTES = {
    "tokenizer.json": "tokenizer_file",
    "merges.txt": "merges_file",
    "vocab.bpe": "merges_file",
    "codes": "merges_file",
}
CONFIGURATIONS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)


def attribute(file: Path) -> str:
    """What a file is called in the record, and as an attribute of `.tokenize`."""
    if file.name in CONFIGURATIONS:
        return file.stem
    if file.suffix == ".model":
        return "sp_model_file"
    return _ATTRIBUTES.get(file.name, "vocab_file")


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
