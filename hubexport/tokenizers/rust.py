"""What all references have in common that the Rust package `tokenizers` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hubexport.tokenizers.definition import AddedToken, Reference


def add_literals(tokenizer: Any, added_tokens: Sequence[AddedToken]) -> Any:
    """Makes a `tokenizers.Tokenizer` recognise literals, in the order of their ids; gives it."""
    from tokenizers import AddedToken as Added

    tokenizer.add_special_tokens(
        [
            Added(t.content, lstrip=t.lstrip, rstrip=t.rstrip, normalized=False, special=True)
            for t in sorted(added_tokens, key=lambda token: token.id)
        ]
    )
    return tokenizer


def reference_of(
    make: Callable[[Any, Sequence[AddedToken]], Any], model: Any, added_tokens: Sequence[AddedToken]
) -> Reference:
    """From texts to ids, by the `tokenizers.Tokenizer` that a function makes of a model."""
    tokenizer = make(model, added_tokens)

    def encode(texts: Sequence[str]) -> list[list[int]]:
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    return encode
