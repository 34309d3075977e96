"""XLM's tokenizer: Moses' rules, and byte pair encoding of the words (fastBPE).

It is followed as Hugging Face's transformers 5 have it (`XLMTokenizer`, in Python, with
sacremoses). The graph's part is in `hubexport.tokenizers.xlm.graph`; nothing here imports
TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import VocabularyError, some_of
from hubexport.tokenizers.bpe.merges import (
    END_OF_WORD,
    Merge,
    check_merges,
    symbols_with_end,
)
from hubexport.tokenizers.bpe.vocabulary import pieces_by_id, read_text, read_vocabulary
from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer, Reference
from hubexport.tokenizers.kinds import behaviour
from hubexport.tokenizers.moses.rules import check_language
from hubexport.tokenizers.tables.moses_characters import versions
from hubexport.tokenizers.xlm.model import UNKNOWN, XlmModel

PRETOKENIZED = "none"
"""The language of text that has spaces between its words already."""

_NO_SPECIALS = ("bos", "sep", "pad", "cls", "mask")
_NO_OFFSETS = (
    "Moses' rules insert, drop and replace characters, and the original tokenizer keeps no record "
    "of where they were"
)


def read_xlm(
    vocab_file: str | Path,
    merges_file: str | Path,
    *,
    language: str | None,
    do_lowercase_and_remove_accent: bool = True,
) -> XlmModel:
    """Reads and checks XLM's files.

    Args:
      vocab_file: vocab.json, an object of piece -> id.
      merges_file: merges.txt, or the codes of fastBPE: two pieces and possibly a count on a line.
      language: of the text, such as "en"; None or "none" for text that was tokenized before.
      do_lowercase_and_remove_accent: as in the tokenizer's configuration. Text that was tokenized
        before is not changed: the original does not do so either.

    Raises:
      ConfigurationError: the language has no rules that a graph can follow.
      VocabularyError: a file cannot be read or has another form, or its merges cannot be followed.
    """
    if language == PRETOKENIZED:
        language = None
    if language is not None:
        check_language(language)
    vocab_file, merges_file = Path(vocab_file), Path(merges_file)
    vocabulary = read_vocabulary(vocab_file)
    pieces = pieces_by_id(vocabulary, str(vocab_file))
    if UNKNOWN not in vocabulary or any("\0" in piece for piece in pieces):
        raise VocabularyError(
            "the vocabulary cannot be XLM's",
            [
                ("vocabulary", f"{vocab_file} ({len(pieces):,} pieces)"),
                ("found", f"{UNKNOWN} is missing, or a piece has the character U+0000"),
            ],
            "pass the vocab.json that was published with the checkpoint.",
        )
    read = _read_merges(merges_file)
    merges = _that_apply(read)
    check_merges(merges, symbols_with_end, str(merges_file))
    never = len(read) - len(merges)
    return XlmModel(
        pieces,
        merges,
        language,
        language is not None and do_lowercase_and_remove_accent,
        (vocab_file, merges_file),
        (f"{never} of the merges can never apply.",) if never else (),
    )


@behaviour.register
def _(
    model: XlmModel, pieces: tuple[str, ...], added_tokens: tuple[AddedToken, ...]
) -> dict[str, Any]:
    return {
        "kind": "xlm",
        "unknown_id": model.ids[UNKNOWN],
        "settings": {
            "language": model.language or PRETOKENIZED,
            "do_lowercase_and_remove_accent": model.lower_case,
            "merges": len(model.merges),
            "rules": versions() if model.language else {},
        },
        "make": functools.partial(_make, model, pieces),
        "reference": functools.partial(_reference, model),
        "reference_name": "transformers and sacremoses",
        "differences": _differences(model),
        "no_offsets": _NO_OFFSETS,
        "warnings": model.warnings,
    }


def _make(model: XlmModel, pieces: tuple[str, ...]) -> InGraphTokenizer:
    from hubexport.tokenizers.xlm.graph import Xlm

    return Xlm(model, pieces)


def _differences(model: XlmModel) -> str:
    if model.language is None:
        return ""
    unicode = (
        f"Unicode {versions()['unicode']} decides what is unassigned and dropped, and how letters "
        "are lower-cased; the original goes by the Unicode version of the Python it runs on."
    )
    if model.language == "ko" and model.lower_case:
        unicode += (
            " A Hangul tone mark (U+302E, U+302F) in front of the virama of another script stays "
            "there, which the original puts behind it."
        )
    return unicode


def _read_merges(path: Path) -> list[Merge]:
    """The first two words of each line, as the original reads them: between any white space.

    A pair that occurs twice counts where it is last. Lines end in LF, CR LF or CR; what is behind
    the last line end does not count, again as in the original.
    """
    text = read_text(path, "merges").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")[:-1]
    merges: dict[Merge, None] = {}
    wrong = []
    for number, line in enumerate(lines, start=1):
        if not 2 <= len(line.split(" ")) <= 3:
            wrong.append(f"{number} ({line[:40]!r})")
        parts = line.split()[:2]
        if len(parts) == 2:
            merge = parts[0], parts[1]
            merges.pop(merge, None)
            merges[merge] = None
    facts = [("lines that are not two pieces and a count", some_of(wrong))] if wrong else []
    if any(left + right == END_OF_WORD for left, right in merges):
        facts.append(("found", f"a merge of characters to {END_OF_WORD}, the mark of a word's end"))
    if facts or not merges:
        raise VocabularyError(
            "the merges cannot be read",
            [("merges", f"{path} ({len(lines):,} lines)"), *facts],
            "pass the merges.txt that was published with the checkpoint.",
        )
    return list(merges)


def _that_apply(merges: Sequence[Merge]) -> tuple[Merge, ...]:
    """The merges without those of which a part can never come to be.

    There are some in published files: white space that is not U+0020 stood for itself when the
    merges were learned, and is taken for a separator when they are read.
    """
    while True:
        made = {left + right for left, right in merges}
        kept = [
            merge
            for merge in merges
            if not merge[0].endswith(END_OF_WORD)
            and all(part in made or len(symbols_with_end(part)) == 1 for part in merge)
        ]
        if len(kept) == len(merges):
            return tuple(kept)
        merges = kept


def _reference(model: XlmModel, added_tokens: Sequence[AddedToken]) -> Reference:
    """transformers' own tokenizer, told the language, which it takes to be English otherwise."""
    import tokenizers
    import transformers

    literals = {
        token.id: tokenizers.AddedToken(
            token.content,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            special=True,
            normalized=False,
        )
        for token in added_tokens
    }
    # It would recognise these, too.
    none: dict[str, Any] = {f"{name}_token": None for name in _NO_SPECIALS}
    original: Any = transformers.XLMTokenizer(
        vocab_file=str(model.files[0]),
        merges_file=str(model.files[1]),
        do_lowercase_and_remove_accent=model.lower_case,
        additional_special_tokens=[],
        split_special_tokens=not added_tokens,
        added_tokens_decoder=literals,
        **none,
    )
    # Nothing public passes a language on.
    original._tokenize = functools.partial(  # noqa: SLF001
        original._tokenize,  # noqa: SLF001
        lang=model.language or "en",
        bypass_tokenizer=model.language is None,
    )
    return lambda texts: [original.convert_tokens_to_ids(original.tokenize(text)) for text in texts]
