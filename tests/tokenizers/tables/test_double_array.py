"""Double arrays answer what the mapping says, and nothing else."""

import random

import pytest

from hubexport.tokenizers.tables.double_array import (
    build_code_point_array,
    build_double_array,
    look_up,
)

CHARACTERS = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]


def random_mapping(count, seed):
    choose = random.Random(seed)
    keys = {bytes(choose.randrange(1, 5) for _ in range(choose.randrange(1, 9)))}
    while len(keys) < count:
        letters = choose.choice([5, 40, 256])
        keys.add(bytes(choose.randrange(1, letters) for _ in range(choose.randrange(1, 9))))
    return {key: choose.randrange(1 << 31) for key in keys}


@pytest.mark.parametrize("count", [1, 2, 300, 2_000])
def test_keys_have_their_values_and_nothing_else_has_one(count):
    mapping = random_mapping(count, seed=count)
    units = build_double_array(mapping)
    assert {key: look_up(units, key) for key in mapping} == mapping
    others = random_mapping(2_000, seed=-1).keys() - mapping.keys()
    others |= {key[:-1] for key in mapping} - mapping.keys() - {b""}
    others |= {key + b"\x01" for key in mapping} - mapping.keys()
    assert {look_up(units, key) for key in others} == {None}


def test_keys_that_are_beginnings_of_others():
    mapping = {b"a": 0, b"ab": (1 << 31) - 1, b"abc": 7, b"\xff\xff": 3}
    units = build_double_array(mapping)
    assert {key: look_up(units, key) for key in mapping} == mapping
    assert look_up(units, b"\xff") is None


def test_every_code_point():
    mapping = {chr(c).encode(): c for c in range(1, 0x20000, 7) if not 0xD800 <= c < 0xE000}
    units = build_double_array(mapping)
    assert all(look_up(units, key) == value for key, value in mapping.items())


def test_every_character():
    mapping = {c: c % 1_000 for c in CHARACTERS}
    units = build_code_point_array(mapping)
    assert all(look_up(units, chr(c).encode()) == mapping[c] for c in CHARACTERS[::35])


@pytest.mark.parametrize(
    "code_points",
    [
        [],
        [1],
        [0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF],
        random.Random(3).sample(CHARACTERS, 3_000),
    ],
)
def test_some_characters(code_points):
    """No others have a value, their neighbours least of all; nor has a part of a character."""
    choose = random.Random(4)
    mapping = {c: choose.choice([5, 7, (1 << 31) - 1]) for c in code_points}
    units = build_code_point_array(mapping)
    assert {c: look_up(units, chr(c).encode()) for c in mapping} == mapping
    near = {c + i for c in code_points for i in (-64, -1, 1, 64)} & set(CHARACTERS)
    others = [*near, *choose.sample(CHARACTERS, 3_000)]
    keys = {chr(c).encode() for c in others if c not in mapping}
    keys |= {chr(c).encode()[:-1] for c in code_points} - {b""}
    assert {look_up(units, key) for key in keys} <= {None}


def test_equal_subtrees_are_stored_once():
    every = range(0x4E00, 0x9FFF)
    assert build_double_array(dict.fromkeys((chr(c).encode() for c in every), 1)).size <= 1024
    assert build_code_point_array(dict.fromkeys(every, 1)).size <= 1024


@pytest.mark.parametrize("mapping", [{0: 1}, {0xD800: 1}, {0x110000: 1}, {97: -1}, {97: 1 << 31}])
def test_characters_that_the_format_cannot_hold(mapping):
    with pytest.raises(ValueError, match="cannot map"):
        build_code_point_array(mapping)


def test_the_size_is_a_multiple_of_a_block():
    assert build_double_array({}).size == build_double_array({b"a": 1}).size == 256
    assert build_double_array(random_mapping(3_000, seed=0)).size % 256 == 0


@pytest.mark.parametrize("mapping", [{b"": 1}, {b"a\0b": 1}, {b"a": -1}, {b"a": 1 << 31}])
def test_what_the_format_cannot_hold(mapping):
    with pytest.raises(ValueError, match="cannot map"):
        build_double_array(mapping)
