"""Figures against the formulas that they are named after, in float64 and without blocks."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from hubexport.validation.figures import Figures, compare

BLOCK = 1 << 20
"""Elements that are compared at a time."""


def by_formula(actual: np.ndarray, reference: np.ndarray) -> Figures:
    """The definitions, all at once, with sums that are rounded once."""
    last = reference.shape[-1]
    a, r = np.float64(actual).reshape(-1, last), np.float64(reference).reshape(-1, last)

    def dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.array([math.fsum(row) for row in x * y])

    total = math.fsum(dots(r, r))
    return Figures(
        max_abs=float(np.max(np.abs(a - r))),
        relative_frobenius=math.sqrt(math.fsum(dots(a - r, a - r)) / total),
        cosine=float(np.min(dots(a, r) / np.sqrt(dots(a, a) * dots(r, r)))),
        rms=math.sqrt(total / r.size),
    )


def assert_equal(found: Figures, wanted: Figures) -> None:
    assert found.max_abs == wanted.max_abs
    assert found.relative_frobenius == pytest.approx(wanted.relative_frobenius, rel=1e-12)
    assert found.cosine == pytest.approx(wanted.cosine, abs=1e-14)
    assert found.rms == pytest.approx(wanted.rms, rel=1e-12)


def pair(shape: tuple[int, ...], scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = generator.standard_normal(shape, np.float32)
    noise = generator.standard_normal(shape, np.float32)
    return reference + np.float32(scale) * noise, reference


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (4, 9), (2, 3, 4, 5)])
def test_by_their_formulas(shape: tuple[int, ...], scale: float) -> None:
    if shape == (1, 1, 1) and scale == 1e-7:
        scale = 1e-6  # under one rounding of a single number there is no difference
    actual, reference = pair(shape, scale)
    assert not np.array_equal(actual, reference)
    assert_equal(compare(actual, reference), by_formula(actual, reference))


def test_vectors_are_one_row_each_value() -> None:
    # The last axis of [B] is that of the batch: every value is a vector of one number.
    actual, reference = np.float32([1, 2, -3]), np.float32([1, 2, 3])
    figures = compare(actual, reference)
    assert figures.max_abs == 6
    assert figures.relative_frobenius == pytest.approx(6 / math.sqrt(14))


def test_equal_arrays() -> None:
    _, reference = pair((3, 5, 7), 1)
    figures = compare(reference.copy(), reference)
    assert figures.max_abs == figures.relative_frobenius == 0
    assert figures.cosine == pytest.approx(1, abs=1e-15) and figures.cosine <= 1


@pytest.mark.parametrize(
    "shape",
    [
        (BLOCK // 512 * 2 + 1, 512),  # one row in the last block
        (2, 1500, 700),  # blocks end within rows of the first axis
        (3, BLOCK + 1),  # a row is larger than a block
    ],
)
def test_blocks_are_not_seen(shape: tuple[int, ...]) -> None:
    assert math.prod(shape) > 2 * BLOCK
    actual, reference = pair(shape, 1e-4)
    assert_equal(compare(actual, reference), by_formula(actual, reference))


@pytest.mark.parametrize("row", [0, 2047, 2048, 4095, 4096])
def test_a_difference_on_either_side_of_a_boundary(row: int) -> None:
    reference = np.ones((2 * BLOCK // 512 + 1, 512), np.float32)
    actual = reference.copy()
    actual[row] = -1
    figures = compare(actual, reference)
    assert figures.max_abs == 2
    assert figures.cosine == pytest.approx(-1)
    assert figures.relative_frobenius == pytest.approx(2 / math.sqrt(len(reference)), rel=1e-12)


def test_numbers_that_float32_cannot_square() -> None:
    actual, reference = pair((4, 8), 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        huge = compare(actual * np.float32(1e30), reference * np.float32(1e30))
        tiny = compare(actual * np.float32(1e-30), reference * np.float32(1e-30))
    plain = compare(actual, reference)
    for figures, scale in ((huge, 1e30), (tiny, 1e-30)):
        assert figures.rms == pytest.approx(plain.rms * scale, rel=1e-6)
        assert figures.relative_frobenius == pytest.approx(plain.relative_frobenius, rel=1e-3)


def test_the_cosine_is_of_the_worst_vector() -> None:
    reference = np.float32([[[1, 0], [0, 2]], [[3, 0], [0, 4]]])
    actual = reference.copy()
    actual[1, 0] = [3, 3]
    assert compare(actual, reference).cosine == pytest.approx(math.sqrt(0.5))
    assert compare(-reference, reference).cosine == pytest.approx(-1)


def test_zeros() -> None:
    zeros, ones = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    assert compare(zeros, zeros) == Figures(0, 0, 1, 0)
    lost = compare(zeros, ones)
    assert (lost.max_abs, lost.relative_frobenius, lost.cosine, lost.rms) == (1, 1, 0, 1)
    made_up = compare(ones, zeros)
    assert (made_up.max_abs, made_up.cosine, made_up.rms) == (1, 0, 0)
    assert made_up.relative_frobenius == math.inf


def test_a_row_of_zeros_in_both_does_not_hide_others() -> None:
    reference = np.float32([[0, 0], [1, 0]])
    actual = np.float32([[0, 0], [0, 1]])
    assert compare(actual, reference).cosine == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite(value: float) -> None:
    actual, reference = pair((3, 4, 5), 1e-3)
    actual[1, 2, 3] = value
    figures = compare(actual, reference)
    for figure in (figures.max_abs, figures.relative_frobenius, 1 - figures.cosine):
        assert not figure <= 1e30  # whatever the limit is
    assert figures.rms == pytest.approx(by_formula(reference, reference).rms, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reference_that_is_not_finite_is_equalled_by_nothing(value: float) -> None:
    actual, reference = pair((3, 4), 1e-3)
    reference[1, 2] = value
    with np.errstate(invalid="ignore"):
        assert not compare(actual, reference).relative_frobenius <= 1e30


@pytest.mark.parametrize(
    ("actual", "reference"), [((2, 3), (3, 2)), ((2, 3), (6,)), ((1, 3), (2, 3)), ((0, 3), (0, 3))]
)
def test_shapes(actual: tuple[int, ...], reference: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \[.*the reference has \["):
        compare(np.zeros(actual, np.float32), np.zeros(reference, np.float32))
