"""Comparing a tokenizer's ids with those of an independent implementation."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, UsageError
from hubexport.packages import needed_by
from hubexport.progress import bytes_bar
from hubexport.tokenizers.definition import Reference
from hubexport.tokenizers.hugging_face import TOKENIZER_JSON

_BATCH = 1024
_SHOWN = 5
Tokenize = Callable[[Sequence[bytes]], list[list[int]]]


@dataclasses.dataclass
class Comparison:
    """Attributes:

    texts: how many were compared.
    differences: how many have other ids.
    first: the first few of those: (text, ids, the reference's ids).
    """

    texts: int = 0
    differences: int = 0
    first: list[tuple[str, list[int], list[int]]] = dataclasses.field(default_factory=list)


def compare(tokenize: Tokenize, reference: Reference, texts: Iterable[str]) -> Comparison:
    """Tokenizes texts with both, a batch at a time.

    Args:
      tokenize: encoded texts -> ids.
      reference: texts -> ids.
      texts: any number of texts; they are not kept.
    """
    result = Comparison()
    for batch in _batches(texts):
        found = tokenize([text.encode() for text in batch])
        for text, ids, expected in zip(batch, found, reference(batch), strict=True):
            result.texts += 1
            if ids != expected:
                result.differences += 1
                if len(result.first) < _SHOWN:
                    result.first.append((text, ids, expected))
    return result


def describe(comparison: Comparison, pieces: Sequence[str]) -> list[tuple[str, str]]:
    """The first differences as (label, value), each from where the ids part."""
    facts = []
    for text, ids, expected in comparison.first:
        same = next(
            (i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b),
            min(len(ids), len(expected)),
        )
        begin = max(same - 2, 0)
        shown = text if len(text) <= 80 else text[:80] + "..."
        facts += [
            ("text", repr(shown)),
            ("  artifact", _named(ids[begin : same + 4], pieces, begin)),
            ("  reference", _named(expected[begin : same + 4], pieces, begin)),
        ]
    return facts


def _named(ids: Sequence[int], pieces: Sequence[str], begin: int) -> str:
    names = [f"{pieces[i]!r} {i}" if 0 <= i < len(pieces) else str(i) for i in ids]
    return f"from token {begin}: {', '.join(names) or 'nothing more'}"


def ragged_tokenize(tokenize: Any) -> Tokenize:
    """A loaded `.tokenize` for Python lists; words are joined."""
    import tensorflow as tf

    def call(texts: Sequence[bytes]) -> list[list[int]]:
        ids = tokenize(tf.constant(list(texts), tf.string))
        # In NumPy: RaggedTensor's own methods check each tensor that they make.
        splits, *inner = (part.numpy() for part in ids.nested_row_splits)
        for part in inner:
            splits = part[splits]
        flat = ids.flat_values.numpy().tolist()
        return [flat[i:j] for i, j in itertools.pairwise(splits.tolist())]

    return call


def read_corpus(path: Path, show_progress: bool = False) -> Iterator[str]:
    """The lines of a text file, without the line ends and without empty ones.

    Args:
      path: the file, in UTF-8.
      show_progress: whether a bar is shown, on a terminal.

    Raises:
      UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        with (
            path.open("rb") as file,
            bytes_bar("comparing", path.stat().st_size, show=show_progress) as advance,
        ):
            for line in file:
                advance(len(line))
                text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
                if text:
                    yield text
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the corpus cannot be read",
            [("--corpus", str(path)), ("system", str(error))],
            "pass a text file in UTF-8, one text per line.",
        ) from error


def load_reference(directory: Path, special_tokens_in_text: bool = True) -> tuple[Reference, str]:
    """The tokenizer of a directory, run by the package that it was made for.

    Args:
      directory: with a tokenizer.json, which `tokenizers` runs, or anything that `transformers`
        loads without code from the directory.
      special_tokens_in_text: whether literal special tokens are recognised.

    Returns:
      The reference and its name with the version.

    Raises:
      MissingPackageError: the package is not installed.
      ConfigurationError: the package cannot load it.
    """
    file = directory / TOKENIZER_JSON
    package = "tokenizers" if file.is_file() else "transformers"
    with needed_by("--reference_tokenizer", package):
        return _load(directory, special_tokens_in_text)


def _load(directory: Path, special_tokens_in_text: bool) -> tuple[Reference, str]:
    file = directory / TOKENIZER_JSON
    try:
        if file.is_file():
            import tokenizers

            rust = tokenizers.Tokenizer.from_file(str(file))
            rust.no_truncation()
            rust.no_padding()
            rust.encode_special_tokens = not special_tokens_in_text

            def encode(texts: Sequence[str]) -> list[list[int]]:
                encoded = rust.encode_batch(list(texts), add_special_tokens=False)
                return [encoding.ids for encoding in encoded]

            return encode, f"tokenizers {tokenizers.__version__}"
        import transformers

        loaded = transformers.AutoTokenizer.from_pretrained(
            str(directory), local_files_only=True, trust_remote_code=False
        )
    except ImportError:
        raise
    except Exception as error:  # the packages raise bare Exceptions for bad files
        raise ConfigurationError(
            "the reference tokenizer cannot be loaded",
            [("--reference_tokenizer", str(directory)), ("found", str(error)[:300])],
            "pass a directory with tokenizer.json, or one that transformers loads.",
        ) from error

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = loaded(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=not special_tokens_in_text,
            verbose=False,
        )["input_ids"]
        return ids

    return tokenize, f"transformers {transformers.__version__}"


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
