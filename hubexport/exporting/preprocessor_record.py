"""What the record says of a preprocessor's tokenizer."""

from __future__ import annotations

from typing import Any

from hubexport.exporting.tokenizer_files import describe
from hubexport.tokenizers.defining import Defined
from hubexport.tokenizers.definition import Segment, Token, TokenizerDefinition


def describe_tokenizer(defined: Defined, normalization: str) -> dict[str, Any]:
    """The record's part on the tokenizer."""
    definition = defined.definition
    return {
        **describe(defined),
        "normalization": normalization,
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
