"""Transformer-XL's tokenization in the graph; see `definition` beside it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer
from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText
from hubexport.tokenizers.moses import rules as moses
from hubexport.tokenizers.moses.graph import Periods, Replacements
from hubexport.tokenizers.tables.moses_characters import lower_case, prefixes

_LANGUAGE = "en"
_OPEN, _CLOSE = "\x01", "\x02"
# What Python's regular expressions take for the same letter in any case.
_SAME = {"i": "iI\u0130\u0131", "k": "kK\u212a", "s": "sS\u017f"}


class TransformerXl(tf.Module):
    """Text to ragged ids of words."""

    def __init__(
        self,
        pieces: Sequence[str],
        unknown_id: int,
        lower_case_first: bool,
        kept: Sequence[AddedToken],
        digest: str,
    ):
        """Args:
        pieces: the words by id, added tokens included.
        unknown_id: of all other words.
        lower_case_first: whether text is lower-cased.
        kept: words in angle brackets that are kept together, in upper or lower case.
        digest: what tells this vocabulary from others.
        """
        super().__init__(name="transformer_xl")
        self._lower = None
        self._tokenizer: InGraphTokenizer = _Words(pieces, unknown_id, kept, digest)
        if lower_case_first:
            self._lower = Replacements([moses.Characters(lower_case())])
            # Text that is a special token's only now, such as <EOS>.
            literals = [token for token in kept if token.content == token.content.lower()]
            self._tokenizer = SpecialTokensInText(self._tokenizer, literals)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (words)]."""
        return self._tokenizer.tokenize(texts if self._lower is None else self._lower(texts))


class _Words(tf.Module):
    """The same without lower-casing."""

    def __init__(
        self, pieces: Sequence[str], unknown_id: int, kept: Sequence[AddedToken], digest: str
    ):
        super().__init__(name="words")
        protect, restore = _protection([token.content[1:-1] for token in kept])
        self._split = Replacements(
            (
                *moses.strip(),
                *moses.normalize_punctuation(_LANGUAGE),
                *moses.clean(),
                *protect,
                *moses.separate(_LANGUAGE, dash_splits=True, marks=_OPEN + _CLOSE),
            )
        )
        self._periods = Periods(prefixes(_LANGUAGE))
        self._restore = Replacements((*restore, *moses.split_numbers()))
        ids = tf.lookup.KeyValueTensorInitializer(
            tf.constant([piece.encode() for piece in pieces], tf.string),
            tf.range(len(pieces), dtype=tf.int64),
        )
        self._table = tf.lookup.StaticHashTable(ids, default_value=unknown_id)
        # TensorFlow would number these through the life of the process: equal exports would differ.
        ids._name = "pieces"  # noqa: SLF001
        self._table._shared_name = f"transformer_xl_{digest}_{unknown_id}"  # noqa: SLF001

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (words)]."""
        words = tf.strings.split(self._restore(self._periods(self._split(texts))))
        return words.with_values(tf.cast(self._table.lookup(words.values), tf.int32))


def _protection(kept: Sequence[str]) -> tuple[list[moses.Step], list[moses.Step]]:
    """The steps that hide words in angle brackets from Moses' rules, and that show them again.

    sacremoses puts words of its own in their place, with a letter at their start and a digit at
    their end. So do these, with marks that clean text does not have.
    """
    if not kept:
        return [], []
    either = "|".join(map(_in_any_case, kept))
    return [moses.Replace(f"<({either})>", rf"T{_OPEN}\1{_CLOSE}0")], [
        moses.Replace(f"T{_OPEN}", "<"),
        moses.Replace(f"{_CLOSE}0", ">"),
    ]


def _in_any_case(word: str) -> str:
    """A pattern of RE2 that matches what Python's matches if it ignores case."""
    letters = (_SAME.get(c.lower(), c.lower() + c.upper()) for c in word)
    return "".join(f"[{letter}]" for letter in letters)
