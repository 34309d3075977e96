"""From a model, as the files of some kind of tokenizer say it, to a definition."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from hubexport.tokenizers.added_tokens import with_added_tokens
from hubexport.tokenizers.definition import AddedToken, PackingTemplate, TokenizerDefinition


@functools.singledispatch
def behaviour(
    model: Any, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    """What a kind of tokenizer adds to the definition; each registers this for its model.

    Args:
      model: what the files say, checked; it has `pieces` and `files`.
      pieces: the model's, and behind them those of added tokens.
      added_tokens: literals with ids of their own.

    Returns:
      Attributes of `TokenizerDefinition`. `reference`, if there is one, is a function of the
      literals that it is to recognise.

    Raises:
      ConfigurationError, VocabularyError: the kind cannot have such added tokens or pieces.
    """
    raise TypeError(f"{type(model).__name__} is not a tokenizer's model")


def define(
    model: Any,
    *,
    added_tokens: tuple[AddedToken, ...],
    special_tokens: Mapping[str, int],
    packing: PackingTemplate,
    special_tokens_in_text: bool = True,
) -> TokenizerDefinition:
    """The definition of a tokenizer of any kind.

    Args:
      model: what the files say.
      added_tokens: literals with ids of their own.
      special_tokens: standard name -> id.
      packing: how encoder inputs are arranged.
      special_tokens_in_text: whether text is searched for the literals.

    Raises:
      ConfigurationError, VocabularyError: the added tokens do not fit the tokenizer.
    """
    source = ", ".join(map(str, model.files))
    pieces = with_added_tokens(model.pieces, added_tokens, source)
    recognised = added_tokens if special_tokens_in_text else ()
    attributes: dict[str, Any] = {
        "pieces": pieces,
        "special_tokens": special_tokens,
        "added_tokens": recognised,
        "packing": packing,
        "files": model.files,
        **behaviour(model, pieces, added_tokens),
    }
    reference = attributes.pop("reference", None)
    if reference is not None:
        reference = functools.partial(reference, recognised)
    return TokenizerDefinition(reference=reference, **attributes)
