"""Outputs that rank places by their probabilities: which entries can be compared.

Two right implementations may rank two places the other way round where these are about equally
likely. An index is compared where its probability is further from those next to it in rank than
they may be off; ends of answers, where both programs rank the same beginning there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hubexport.validation.figures import compare
from hubexport.validation.results import Measurement, at_most
from hubexport.validation.tolerance import Tolerance

Outputs = Mapping[str, np.ndarray]

START, STARTS, END, ENDS = (
    "start_top_probs", "start_top_index", "end_top_probs", "end_top_index",
)  # fmt: skip
ALL = (START, STARTS, END, ENDS)
RANKED = (STARTS, END, ENDS)
"""Outputs that are compared with others of theirs in view."""


def measure(
    tolerance: Tolerance, what: str, name: str, actual: Outputs, expected: Outputs
) -> list[Measurement]:
    """One of `RANKED` against its limits.

    Args:
      tolerance: the rule.
      what: the measurement's name.
      name: of the output.
      actual, expected: all outputs, as far as they are there.
    """
    for each in dict.fromkeys((name, START, STARTS, END)):
        if each not in actual or each not in expected:
            return [Measurement(what, False, f"{each} is missing", "there")]
        if actual[each].shape != expected[each].shape:
            shapes = (f"{each}: shape {array.shape}" for array in (actual[each], expected[each]))
            return [Measurement(what, False, *shapes)]
    beginnings = expected[START].shape[1]
    same = actual[STARTS] == expected[STARTS]  # [B, T]
    if name == STARTS:
        told = _told(expected[START], tolerance, START)
    else:
        told = np.repeat(same[:, np.newaxis], expected[END].shape[1] // beginnings, axis=1)
        if name == ENDS:
            ends = expected[END].reshape(told.shape)
            told &= np.swapaxes(_told(np.swapaxes(ends, 1, 2), tolerance, END), 1, 2)
        told = told.reshape(expected[END].shape)
    if name != END:
        wrong = int((told & (actual[name] != expected[name])).sum())
        return [at_most(f"{what}, places that differ", wrong, 0)]
    if not told.any():
        return []
    return tolerance.measure(what, name, compare(actual[name][told], expected[name][told]))


def _told(probabilities: np.ndarray, tolerance: Tolerance, name: str) -> np.ndarray:
    """Where ranks are no ties: bool, of the shape of what is ranked along the last axis."""
    rms = float(np.sqrt(np.mean(np.square(probabilities))))
    limit = 2 * tolerance.limits(name, rms).max_abs
    rest = 1 - probabilities.sum(axis=-1, keepdims=True)  # whatever comes next has no more
    following = np.minimum(np.maximum(rest, 0), probabilities[..., -1:])
    gaps = -np.diff(np.concatenate([probabilities, following], axis=-1), axis=-1)
    before = np.concatenate([np.full_like(gaps[..., :1], np.inf), gaps[..., :-1]], axis=-1)
    told: np.ndarray = np.minimum(gaps, before) > limit
    return told
