"""The tokenizers of published TF-Hub preprocessors, as stock tensorflow_text makes them.

They differ from what models are trained with elsewhere on up to 15% of multilingual texts, and are
here for those who must match a pipeline that was trained with them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer, Reference
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.sentencepiece.model import SentencePieceModel
from hubexport.tokenizers.wordpiece.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class TFHubModel:
    """Attributes:

    vocabulary: a WordPiece vocabulary or a SentencePiece model.
    lower_case: whether text is lower-cased.
    """

    vocabulary: Vocabulary | SentencePieceModel
    lower_case: bool

    @property
    def pieces(self) -> tuple[str, ...]:
        """The pieces in the order of their ids."""
        return self.vocabulary.pieces

    @property
    def files(self) -> tuple[Path, ...]:
        """The vocabulary's file."""
        return (self.vocabulary.path,)


@behaviour.register
def _(
    model: TFHubModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    """Literal special tokens are text to the stock ops."""
    wordpiece = isinstance(model.vocabulary, Vocabulary)
    accents = "diacritics are stripped first, so offsets would be those of another text"
    return {
        "kind": "wordpiece" if wordpiece else "sentencepiece",
        "unknown_id": model.vocabulary.unknown_id,
        "added_tokens": (),
        "settings": {"normalization": "tfhub", "do_lower_case": model.lower_case},
        "make": functools.partial(_make, model),
        "reference": functools.partial(_reference, model) if wordpiece else None,
        "reference_name": "tensorflow-text",
        "no_offsets": "" if wordpiece else accents,
        "no_detokenize": "the published preprocessors have none",
    }


def _make(model: TFHubModel) -> InGraphTokenizer:
    if isinstance(model.vocabulary, Vocabulary):
        from hubexport.tokenizers.tfhub.graph_wordpiece import TFHubWordPiece

        return TFHubWordPiece(model.vocabulary, model.lower_case)
    from hubexport.tokenizers.tfhub.graph_sentencepiece import TFHubSentencePiece

    return TFHubSentencePiece(model.vocabulary, model.lower_case)


def _reference(model: TFHubModel, added_tokens: Sequence[AddedToken]) -> Reference:
    """tensorflow_text's own BertTokenizer, which published preprocessors run."""
    import tensorflow as tf
    import tensorflow_text as text

    tokenizer = text.BertTokenizer(
        str(model.vocabulary.path), lower_case=model.lower_case, token_out_type=tf.int32
    )

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer.tokenize(list(texts)).merge_dims(1, 2).to_list()
        return ids

    return tokenize
