"""How far two arrays are apart, as figures that a limit can be set for."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Figures:
    """Attributes:

    max_abs: the largest absolute difference.
    relative_frobenius: the norm of the difference over the norm of the reference.
    cosine: the smallest cosine between vectors of the last axis; 1 where both are zero.
    rms: root mean square of the reference, the scale that max_abs belongs to.
    """

    max_abs: float
    relative_frobenius: float
    cosine: float
    rms: float


def compare(actual: np.ndarray, reference: np.ndarray) -> Figures:
    """Figures of `actual` against `reference`, of one shape, computed in float64.

    A value that is not finite in `actual` makes every figure NaN or infinite: no limit holds.

    Raises:
      ValueError: the shapes differ, or the arrays are empty.
    """
    if actual.shape != reference.shape or not reference.size:
        raise ValueError(f"shape {list(actual.shape)}, the reference has {list(reference.shape)}")
    if not np.isfinite(actual).all():
        return Figures(np.nan, np.nan, np.nan, float(np.sqrt(np.mean(np.square(reference)))))
    rows = reference.reshape(-1, reference.shape[-1] if reference.ndim else 1)
    others = actual.reshape(rows.shape)
    max_abs = difference = total = 0.0
    cosine = 1.0
    # A block at a time: float64 copies of a long sequence's logits would be large.
    step = max(1, (1 << 20) // rows.shape[1])
    for start in range(0, len(rows), step):
        r = rows[start : start + step].astype(np.float64)
        a = others[start : start + step].astype(np.float64)
        d = a - r
        max_abs = max(max_abs, float(np.abs(d).max()))
        difference += float(np.square(d).sum())
        total += float(np.square(r).sum())
        cosine = min(cosine, float(_cosines(a, r).min()))
    relative = np.sqrt(difference / total) if total else (0.0 if not difference else np.inf)
    return Figures(max_abs, float(relative), cosine, float(np.sqrt(total / reference.size)))


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine between the rows of two matrices; 1 between zeros."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(norms > 0, (a * b).sum(axis=1) / norms, 0.0)
    return np.where(both_zero, 1.0, cosines)
