"""A table of how similar a handful of texts are: cosines of their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_EMBEDDINGS = ("embedding", "default", "pooled_output")
"""Outputs that stand for a text as a whole."""
_TEXT = 48  # characters shown of a text


def similarity_table(
    texts: Sequence[Sequence[str]], values: Mapping[str, np.ndarray[Any, Any]]
) -> list[str]:
    """The lines of the table; none where there is nothing to compare.

    Args:
      texts: of each row, its columns.
      values: the outputs of these rows by name. Those that stand for texts are known by their
        names, and compared if they are vectors: scores of classes are vectors, too.
    """
    found = next((values[name] for name in _EMBEDDINGS if name in values), None)
    if found is None or found.ndim != 2 or found.dtype.kind != "f" or len(found) < 2:
        return []
    vectors = found.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths == 0, 1, lengths)
    cosines = units @ units.T
    shown = [_shortened(" | ".join(row)) for row in texts]
    width = max(map(len, shown))
    head = " " * (width + 5) + "".join(f"{number:6}" for number in range(1, len(shown) + 1))
    rows = [
        f"{number:3}  {text:{width}}" + "".join(f"{cosine:6.2f}" for cosine in row)
        for number, (text, row) in enumerate(zip(shown, cosines, strict=True), 1)
    ]
    return [head, *rows]


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "\u2026"
