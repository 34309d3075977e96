"""Ranked places: what differs is found, and what is a tie is not taken for a difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hubexport.validation.ranked import END, ENDS, RANKED, START, STARTS, measure
from hubexport.validation.tolerance import Tolerance

TOLERANCE = Tolerance("float32", 2, 64)
B, T, E = 2, 3, 2


def outputs() -> dict[str, np.ndarray]:
    """Of two texts, three beginnings, and two ends of each; ends of one rank are together."""
    ends = np.array([[[0.6, 0.5, 0.7], [0.3, 0.4, 0.2]]] * B, np.float32)  # [B, E, T]
    places = np.arange(B * E * T).reshape(B, E * T)
    return {
        START: np.array([[0.5, 0.3, 0.1], [0.7, 0.2, 0.05]], np.float32),
        STARTS: np.array([[4, 2, 7], [1, 0, 3]]),
        END: ends.reshape(B, E * T),
        ENDS: places,
    }


def failed(actual: dict[str, Any], expected: dict[str, Any]) -> set[str]:
    return {
        name
        for name in RANKED
        if any(not each.passed for each in measure(TOLERANCE, name, name, actual, expected))
    }


def exchanged(values: np.ndarray, row: int, *columns: int) -> np.ndarray:
    values = values.copy()
    values[row, list(columns)] = values[row, list(columns[::-1])]
    return values


def test_the_same() -> None:
    assert not failed(outputs(), outputs())


def test_another_place() -> None:
    actual = outputs()
    actual[STARTS] = exchanged(actual[STARTS], 0, 0, 1)
    # The ends of other beginnings are not looked at.
    assert failed(actual, outputs()) == {STARTS}


def test_another_end() -> None:
    actual = outputs()
    actual[ENDS] = exchanged(actual[ENDS], 1, 0, 3)
    assert failed(actual, outputs()) == {ENDS}


def test_another_probability_of_an_end() -> None:
    actual = outputs()
    actual[END] = actual[END] * np.float32(1.01)
    assert failed(actual, outputs()) == {END}


def test_beginnings_that_tie() -> None:
    """Two of about the same probability, the other way round, and so all of their ends."""
    expected = outputs()
    expected[START][0] = [0.4, 0.4 - 1e-7, 0.1]
    actual = {**expected, STARTS: exchanged(expected[STARTS], 0, 0, 1)}
    actual[END] = exchanged(exchanged(expected[END], 0, 0, 1), 0, 3, 4)
    actual[ENDS] = exchanged(exchanged(expected[ENDS], 0, 0, 1), 0, 3, 4)
    assert not failed(actual, expected)
    assert failed({**actual, ENDS: actual[ENDS] + 1}, expected) == {ENDS}, "of the others"


def test_ends_that_tie() -> None:
    expected = outputs()
    expected[END].reshape(B, E, T)[0, :, 1] = 0.45
    actual = {**expected, ENDS: exchanged(expected[ENDS], 0, 1, 4)}
    assert not failed(actual, expected)


def test_the_last_rank_may_tie_with_what_is_not_listed() -> None:
    """Unless what is left is less than it could tie with."""
    expected = outputs()
    expected[STARTS][0, 2] = 9
    actual = outputs()
    assert not failed(actual, expected) - {END, ENDS}  # 0.1 is left, as much as it has
    expected[START][0] = actual[START][0] = [0.6, 0.3, 0.08]
    assert STARTS in failed(actual, expected)


@pytest.mark.parametrize("name", RANKED)
def test_missing_and_misshaped(name: str) -> None:
    actual = outputs()
    del actual[name]
    assert name in failed(actual, outputs())
    assert name in failed({**actual, name: np.zeros((B, 1))}, outputs())
