"""What a transform takes of a tensor, and that of a shared tensor nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from hubexport.families.transforms import (
    AS_IS,
    TRANSPOSED,
    AsIs,
    Columns,
    HeadsMerged,
    Interleaved,
    Item,
    Rows,
    Squeezed,
    chain,
    uncovered,
)

TABLE = np.arange(24).reshape(6, 4)
STACKED = np.arange(24).reshape(2, 3, 4)

CASES = {
    "as is": (AS_IS, TABLE, TABLE),
    "transposed": (TRANSPOSED, TABLE, TABLE.T),
    "heads": (HeadsMerged((6, 2, 2)), TABLE.reshape(6, 2, 2), TABLE),
    "squeezed": (Squeezed(1), TABLE.reshape(6, 1, 4), TABLE),
    "rows": (Rows(2, 6), TABLE, TABLE[2:5]),
    "columns": (Columns(1, 4), TABLE, TABLE[:, 1:3]),
    "columns of a bias": (Columns(1, 4), TABLE[0], TABLE[0, 1:3]),
    "item": (Item(1, 2), STACKED, STACKED[1]),
    # Rows are (head, part, D) with 2 heads, 3 parts, D = 1.
    "one part of each head": (Interleaved(1, 3, 2), TABLE, TABLE[[1, 4]]),
    "rows, then transposed": (chain(Rows(2, 6), TRANSPOSED), TABLE, TABLE[2:4].T),
    "an item, then its rows' heads": (
        chain(Item(1, 2), HeadsMerged((3, 2, 2))),
        STACKED.reshape(2, 3, 2, 2),
        STACKED[1],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_shapes(name):
    transform, tensor, expected = CASES[name]
    assert transform.source_shape(expected.shape) == tensor.shape
    value = transform(tensor, expected.shape)
    assert value.shape == expected.shape
    assert np.array_equal(value, expected)


@pytest.mark.parametrize("name", CASES)
def test_the_cut_is_what_is_taken(name):
    """Numbers elsewhere are of no influence, and each number within is."""
    transform, tensor, expected = CASES[name]
    cut = transform.cut(expected.shape)
    taken = np.ones(tensor.shape, bool)
    if cut is not None:
        taken[:] = False
        np.moveaxis(taken, cut.axis, 0)[cut.indices] = True
    assert sorted(tensor[taken]) == sorted(expected.reshape(-1))


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_kept_where_it_says_so(name):
    transform, tensor, expected = CASES[name]
    if transform.keeps_bytes:
        assert tensor.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_one_step_needs_no_chain():
    assert chain(TRANSPOSED) is TRANSPOSED


H = 4
FUSED = [(chain(Rows(i * H, 3 * H), TRANSPOSED), (H, H)) for i in range(3)]


@pytest.mark.parametrize(
    ("shape", "taken", "problem"),
    [
        ((12, 4), FUSED, ""),
        ((12, 4), FUSED[:2], "rows that no variable takes: 8 to 11"),
        ((12, 4), [*FUSED[:2], FUSED[1]], "rows taken by several variables: 4 to 7"),
        ((4, 12), [(Columns(0, 12), (4, 4)), (Columns(8, 12), (4, 4))],
         "columns that no variable takes: 4 to 7"),
        ((6,), [(Interleaved(0, 3, 2), (2,)), (Interleaved(2, 3, 2), (2,))],
         "rows that no variable takes: 1, 4"),
        ((2, 3), [(Item(0, 2), (3,)), (Item(1, 2), (3,))], ""),
        ((2, 3), [(Item(1, 2), (3,))], "rows that no variable takes: 0"),
        ((14, 4), [(Rows(1, 14), (13, 4))], "rows that no variable takes: 0"),
        ((14, 4), [(Rows(1, 14, "never looked up"), (13, 4))], ""),
        # Tied: several variables of one whole tensor.
        ((5, 4), [(AS_IS, (5, 4)), (AS_IS, (5, 4))], ""),
        ((12, 12), [(Rows(0, 12), (4, 12)), (Columns(4, 12), (12, 8))],
         "cut along several axes: 0, 1"),
    ],
)  # fmt: skip
def test_uncovered(shape: tuple[int, ...], taken: list[tuple[AsIs, tuple[int, ...]]], problem: str):
    assert uncovered(shape, taken) == problem


def test_a_whole_tensor_and_a_cut_of_it():
    """A variable that has all of it loses nothing, whatever another takes besides."""
    assert uncovered((6, 4), [(AS_IS, (6, 4)), (Rows(2, 6), (2, 4))]) == ""
