"""SentencePiece tokenizers from independent packages, to compare with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hubexport.tokenizers.definition import AddedToken, Reference
from hubexport.tokenizers.rust import add_literals

if TYPE_CHECKING:
    from hubexport.tokenizers.sentencepiece.per_word import SentencePieceTokenizer


def rust_tokenizer(model: SentencePieceTokenizer, added_tokens: Sequence[AddedToken] = ()) -> Any:
    """The same tokenizer of the package `tokenizers`.

    Raises:
      ImportError: it is not installed.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = list(zip(model.pieces, model.scores, strict=True))
    tokenizer = Tokenizer(models.Unigram(vocabulary, model.unknown_id, byte_fallback=False))
    steps: list[Any] = []
    if model.quotes:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if model.strip_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if model.lower_case:
        steps.append(normalizers.Lowercase())
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if not model.split:
        if not model.trailing_space:
            steps.append(normalizers.Strip(left=False, right=True))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    scheme = "always" if model.prefix else "never"
    metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
        if model.split
        else metaspace
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme, split=True)
    return add_literals(tokenizer, added_tokens)


def library_reference(serialized: bytes, added_tokens: Sequence[AddedToken]) -> Reference:
    """The package `sentencepiece`; text is cut at added tokens first.

    Raises:
      ImportError: it is not installed.
    """
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    ids = {token.content.strip(): token.id for token in added_tokens}
    alternatives = [
        r"\s*" * token.lstrip + re.escape(token.content) + r"\s*" * token.rstrip
        for token in sorted(added_tokens, key=lambda token: -len(token.content))
    ]
    literal = re.compile(f"({'|'.join(alternatives)})") if alternatives else None

    def encode(text: str) -> list[int]:
        if literal is None:
            whole: list[int] = processor.encode(text)
            return whole
        found: list[int] = []
        for number, part in enumerate(literal.split(text)):
            found += [ids[part.strip()]] if number % 2 else processor.encode(part)
        return found

    return lambda texts: [encode(text) for text in texts]
