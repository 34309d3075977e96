"""Random cases: the same every time, and each with what it is there for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hubexport.families.heads import POSITIONS
from hubexport.validation.cases import (
    ENCODER_INPUTS,
    LEFT_PADDED_CASE,
    Case,
    encoder_inputs,
    padded_left,
    random_cases,
)

NAMES = ["one_token", "plain", "segments", "ragged", "batch_1", "full_length"]
SIZES = list(itertools.product((1, 2, 50), (1, 2, 5, 12, 40, 512), (1, 2, 5)))
"""Vocabulary, positions, types: the smallest that a model can have, and usual ones."""


def by_name(*sizes: int, seed: int = 0) -> dict[str, Case]:
    return {case.name: case for case in random_cases(*sizes, seed=seed)}


def same(a: Case, b: Case) -> bool:
    return all(np.array_equal(a.inputs[name], b.inputs[name]) for name in a.inputs)


def test_the_same_every_time() -> None:
    first, again = random_cases(50, 40, 2), random_cases(50, 40, 2)
    assert [case.name for case in first] == NAMES
    assert all(same(a, b) for a, b in zip(first, again, strict=True))


def test_another_seed_gives_others() -> None:
    first, other = random_cases(50, 40, 2), random_cases(50, 40, 2, seed=1)
    assert not any(same(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("sizes", SIZES)
def test_every_case_fits_the_model(sizes: tuple[int, int, int]) -> None:
    vocabulary, positions, types = sizes
    for case in random_cases(*sizes):
        rows, length = case.shape
        assert 1 <= length <= positions
        assert case.texts is None and case.masked_lm_ids is None
        assert list(case.inputs) == [*ENCODER_INPUTS, POSITIONS]
        for name, value in case.inputs.items():
            assert value.dtype == np.int32
            assert value.shape == ((rows, length) if name != POSITIONS else (rows, 5))
            assert value.min() >= 0
        ids, mask, type_ids, masked = case.inputs.values()
        assert ids.max() < vocabulary and type_ids.max() < types
        assert set(np.unique(mask)) <= {0, 1}
        assert mask[:, 0].all()  # a row without tokens has no outputs that could be compared
        assert (np.diff(type_ids, axis=1) >= 0).all()
        lengths = length - np.argmax(mask[:, ::-1], axis=1)  # up to the last token
        assert (masked < lengths[:, np.newaxis]).all()
        assert not masked[:, -1].any()
        assert case.is_padded == bool((mask == 0).any())


@pytest.mark.parametrize("sizes", SIZES)
def test_what_each_case_promises(sizes: tuple[int, int, int]) -> None:
    vocabulary, positions, types = sizes
    cases = by_name(*sizes)
    assert list(cases) == NAMES
    assert cases["one_token"].shape == (3, 1)
    short, long = min(11, positions), min(32, positions)
    assert cases["plain"].shape == cases["segments"].shape == (3, short)
    assert cases["full_length"].shape == (1, positions)
    for name in ("one_token", "plain", "segments", "full_length"):
        assert not cases[name].is_padded
    assert not cases["one_token"].inputs["input_type_ids"].any()
    assert not cases["plain"].inputs["input_type_ids"].any()
    ragged = cases["ragged"]
    assert ragged.shape == (5, long)
    for name, value in cases["batch_1"].inputs.items():
        np.testing.assert_array_equal(value, ragged.inputs[name][2:3])
    for name in ("ragged", "full_length"):
        assert cases[name].inputs["input_type_ids"].max() < min(2, types)
    if len({case.shape for case in cases.values()}) > 2:
        for name in ("one_token", "plain", "segments", "ragged"):  # both ends of the table
            assert {0, vocabulary - 1} <= set(cases[name].inputs["input_word_ids"].flat)


@pytest.mark.parametrize("positions", [12, 40, 512])
def test_ragged(positions: int) -> None:
    ragged = by_name(50, positions, 2)["ragged"].inputs
    mask, ids = ragged["input_mask"], ragged["input_word_ids"]
    length = mask.shape[1]
    # The first row is full, but for a hole; in the others tokens come first, then padding.
    assert mask[0, -1] == 1 and mask[0].sum() == length - 1
    assert (np.diff(mask[1:], axis=1) <= 0).all()
    lengths = mask[1:].sum(axis=1)
    assert lengths[0] == 1 and len({length, *lengths}) == 5
    padding = ids[mask == 0]
    assert len(set(padding)) > 5  # no constant: a mask that is not applied shows


@pytest.mark.parametrize("types", [2, 3, 5, 16])
@pytest.mark.parametrize("positions", [12, 40, 512])
def test_segments_have_all_types(positions: int, types: int) -> None:
    found = by_name(50, positions, types)["segments"].inputs["input_type_ids"]
    assert set(found.flat) == set(range(types))


@pytest.mark.parametrize("positions", [5, 12, 40])
def test_two_segments_in_padded_rows_too(positions: int) -> None:
    inputs = by_name(50, positions, 2)["ragged"].inputs
    tokens = inputs["input_type_ids"][inputs["input_mask"] == 1]
    assert set(tokens) == {0, 1}


def test_encoder_inputs() -> None:
    case = random_cases(50, 12, 2)[0]
    assert list(encoder_inputs(case.inputs)) == list(ENCODER_INPUTS)


def test_without_limit() -> None:
    """The longest is as long as BERT's; the others are those of any model."""
    free, bert = random_cases(50, None, 2), random_cases(50, 512, 2)
    assert [case.name for case in free] == NAMES
    assert all(same(a, b) for a, b in zip(free, bert, strict=True))


def test_without_token_types() -> None:
    cases = random_cases(50, 12, 0)
    assert [case.name for case in cases] == NAMES
    assert not any(case.inputs["input_type_ids"].any() for case in cases)


@pytest.mark.parametrize("positions", [1, 2, 12, 512])
def test_left_padded(positions: int) -> None:
    cases = random_cases(50, positions, 2, pad_token_id=7, padding_side="any")
    assert [case.name for case in cases] == [*NAMES, LEFT_PADDED_CASE]
    others = random_cases(50, positions, 2)
    assert all(same(a, b) for a, b in zip(cases, others, strict=False))
    inputs = cases[-1].inputs
    mask = inputs["input_mask"]
    assert mask[:, -1].all() and (np.diff(mask, axis=1) >= 0).all()
    assert (positions > 2) == (len(set(mask.sum(axis=1))) == 3)  # rows of several lengths
    assert (inputs["input_word_ids"][mask == 0] == 7).all()
    assert np.take_along_axis(mask, inputs[POSITIONS], axis=1).all()  # tokens are predicted
    assert all(value.dtype == np.int32 for value in inputs.values())


def test_padded_left_moves_rows_as_they_are() -> None:
    right = random_cases(50, 12, 2)[3]
    right = Case("rows", {name: value[1:] for name, value in right.inputs.items()})
    left = padded_left(right, pad_token_id=0)
    assert left.name == "rows" and left.shape == right.shape
    for row, mask in enumerate(right.inputs["input_mask"]):
        size = mask.sum()
        for name in ENCODER_INPUTS:
            moved = left.inputs[name][row, len(mask) - size :]
            np.testing.assert_array_equal(moved, right.inputs[name][row, :size])
        assert not left.inputs["input_word_ids"][row, : len(mask) - size].any()
        predicted = [
            case.inputs["input_word_ids"][row, case.inputs[POSITIONS][row]]
            for case in (left, right)
        ]
        np.testing.assert_array_equal(*predicted)
