"""Transformer-XL's tokenizer: words by Moses' rules for English, looked up in a vocabulary.

It is followed as Hugging Face's transformers had it until version 4.35
(src/transformers/models/transfo_xl/tokenization_transfo_xl.py, with sacremoses); later versions
have none. The graph's part is in `hubexport.tokenizers.transformer_xl.graph`; nothing here imports
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, VocabularyError, some_of
from hubexport.tokenizers.bpe.vocabulary import read_text
from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer, Reference
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.tables.moses_characters import versions

_UNKNOWN = ("<UNK>", "<unk>")  # the first that there is
_PICKLES = (b"\x80", b"PK\x03\x04")  # what pickles and PyTorch's archives begin with
_LITERAL = re.compile("<[A-Za-z0-9]+>")


@dataclasses.dataclass(frozen=True)
class TransformerXlModel:
    """Attributes:

    pieces: the words in the order of their ids.
    lower_case: whether text is lower-cased first.
    files: the vocabulary.
    warnings: what is odd about it.
    """

    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    lower_case: bool
    files: tuple[Path, ...]
    warnings: tuple[str, ...] = ()

    @functools.cached_property
    def unknown_id(self) -> int:
        """The id of words that are not in the vocabulary."""
        return self.pieces.index(next(word for word in _UNKNOWN if word in self.pieces))


def read_transformer_xl(vocab_file: str | Path, *, lower_case: bool = False) -> TransformerXlModel:
    """Reads and checks a vocabulary of words.

    Args:
      vocab_file: a word on each line, possibly with its count behind it; ids go by the first
        occurrence of each word.
      lower_case: as in the tokenizer's configuration.

    Raises:
      VocabularyError: the file cannot be read, is a pickle, has empty lines, or lacks <unk>.
    """
    path = Path(vocab_file)
    if _begins_as_pickle(path):
        raise VocabularyError(
            "the vocabulary is a pickle, which runs code when it is read",
            [("vocabulary", str(path))],
            "pass a text file with one word on each line in the order of the ids; where the file "
            "can be trusted, Transformer-XL's own code writes one from `idx2sym`.",
        )
    lines = read_text(path, "vocabulary").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    words: dict[str, int] = {}
    empty, repeated = [], []
    for number, line in enumerate(lines, start=1):
        found = line.split(maxsplit=1)
        if not found:
            empty.append(str(number))
        elif words.setdefault(found[0], number) != number:
            repeated.append(f"{found[0]!r} on line {number}")
    facts = [("empty lines", some_of(empty))] if empty else []
    if not any(word in words for word in _UNKNOWN):
        facts.append(("missing", " or ".join(_UNKNOWN)))
    if facts:
        raise VocabularyError(
            "the vocabulary cannot be used",
            [("vocabulary", f"{path} ({len(lines):,} lines)"), *facts],
            "pass the vocabulary as it was published with the checkpoint, one word per line.",
        )
    warnings: tuple[str, ...] = ()
    if repeated:
        warnings = (f"words that occur twice have the first's id: {some_of(repeated)}.",)
    return TransformerXlModel(tuple(words), lower_case, (path,), warnings)


@behaviour.register
def _(
    model: TransformerXlModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    # The original takes them for regular expressions that match in any case.
    wrong = [t.content for t in added_tokens if not _LITERAL.fullmatch(t.content)]
    if wrong:
        raise ConfigurationError(
            "special tokens of Transformer-XL must be a word in angle brackets",
            [("found", some_of(map(repr, wrong)))],
            "pass the tokenizer's files as they were published.",
        )
    return {
        "kind": "transformer_xl",
        "unknown_id": model.unknown_id,
        "settings": {"language": "en", "lower_case": model.lower_case, "rules": versions()},
        "make": functools.partial(_make, model, pieces, added_tokens),
        "reference": functools.partial(_reference, pieces, model),
        "reference_name": "sacremoses",
        "differences": (
            f"Digits, white space and lower case are those of Unicode {versions()['unicode']}; the "
            "original goes by the Unicode version of the Python it runs on."
        ),
        "no_offsets": (
            "Moses' rules insert, drop and replace characters, and the original tokenizer keeps no "
            "record of where they were"
        ),
        "no_detokenize": (
            "the original puts words together by sacremoses' detokenizer, which goes from word to "
            "word and counts quotation marks; no op does that"
        ),
        "warnings": model.warnings,
    }


def _make(
    model: TransformerXlModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> InGraphTokenizer:
    from hubexport.tokenizers.transformer_xl.graph import TransformerXl

    digest = hashlib.sha256("\n".join(pieces).encode()).hexdigest()
    return TransformerXl(pieces, model.unknown_id, model.lower_case, added_tokens, digest)


def _begins_as_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_PICKLES)
    except OSError:
        return False  # explained by the reader


def _reference(
    pieces: Sequence[str], model: TransformerXlModel, added_tokens: Sequence[AddedToken]
) -> Reference:
    """The steps of the original, by sacremoses and Python's regular expressions."""
    import sacremoses

    normalizer = sacremoses.MosesPunctNormalizer("en")
    tokenizer = sacremoses.MosesTokenizer("en")
    ids = {piece: number for number, piece in enumerate(pieces)}
    literals = [token.content for token in added_tokens]
    longest_first = sorted(map(re.escape, literals), key=len, reverse=True)
    either = re.compile(f"({'|'.join(longest_first)})")

    def words(text: str) -> list[str]:
        split = tokenizer.tokenize(
            normalizer.normalize(text.strip()),
            aggressive_dash_splits=True,
            return_str=False,
            escape=False,
            protected_patterns=literals,
        )
        numbers = (re.sub(r"(?<=\d)[,.](?=\d)", r" @\g<0>@ ", word) for word in split)
        return [part for number in numbers for part in number.split()]

    def encode(text: str) -> list[int]:
        fragments = either.split(text) if literals else [text]
        if model.lower_case:
            # One character after the other, so a sigma has the same form everywhere.
            lower = [
                f if f in ids and f in literals else "".join(map(str.lower, f)) for f in fragments
            ]
            fragments = either.split("".join(lower)) if literals else lower
        encoded = []
        for number, fragment in enumerate(fragments):
            found = [fragment] if literals and number % 2 else words(fragment)
            encoded += [ids.get(word, model.unknown_id) for word in found]
        return encoded

    return lambda texts: [encode(text) for text in texts]
