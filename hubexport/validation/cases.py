"""The inputs that a model is compared on: few, and each there for a fault that it shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from hubexport.families.heads import POSITIONS, OptionalInput

Tensors = dict[str, np.ndarray]

TYPES = "input_type_ids"
ENCODER_INPUTS = ("input_word_ids", "input_mask", TYPES)

MASKED_CASE = "mlm_sentences"
"""Name of the case of sentences with a masked piece each."""

LEFT_PADDED_CASE = "left_padded"
"""Name of the case of rows that are padded on the left."""

WITH_OPTIONAL = "with_"
"""How the names of cases begin that have an input which may be left out; its name follows."""

_PREDICTIONS = 5
_RAGGED_LENGTH = 32
_SHORT_LENGTH = 11
_UNLIMITED_LENGTH = 512
_MEMORY_LENGTH = 3  # shorter than other axes


@dataclasses.dataclass(frozen=True)
class Case:
    """One batch of inputs.

    Attributes:
      name: what it is called in reference files and reports.
      inputs: int32 [B, S] by name, and `masked_lm_positions` int32 [B, N] for `.mlm`,
        and whatever head reads some tokens (`input_of`); inputs that the model can do without, of
        their own shapes.
      texts: what was tokenized, one list of 1 or 2 segments for each row; None for random ids.
      masked_lm_ids: int32 [B, N], the pieces that the mask replaced; None where it replaced none.
    """

    name: str
    inputs: Tensors
    texts: Sequence[Sequence[str]] | None = None
    masked_lm_ids: np.ndarray | None = None

    @property
    def is_padded(self) -> bool:
        """Whether any position is masked out."""
        return not self.inputs["input_mask"].all()

    @property
    def shape(self) -> tuple[int, int]:
        """B and S."""
        rows, length = self.inputs["input_mask"].shape
        return rows, length


def random_cases(
    vocab_size: int,
    max_position_embeddings: int | None,
    type_vocab_size: int,
    seed: int = 0,
    *,
    pad_token_id: int = 0,
    padding_side: str = "right",
    optional: Mapping[str, OptionalInput] = MappingProxyType({}),
) -> list[Case]:
    """Cases of random ids, always the same for the same sizes.

    - `one_token`: rows of one token. Attention has no choice there: whatever is wrong is in
      embeddings, values, feed-forward or norms.
    - `plain`: rows without padding, of one segment: shows queries, keys and positions.
    - `segments`: two segments (all types, where there are more), without padding.
    - `ragged`: rows of many lengths, padding filled with random ids, a mask with a hole in it.
    - `batch_1`: one row of the above alone.
    - `full_length`: as many tokens as there are positions; 512 where there is no limit.
    - `left_padded`: rows of many lengths, padded on the left, where the model may be.
    - `with_NAME`: for each input that the model can do without, `plain` or (of integers) `ragged`
      with it.
    """
    longest = max_position_embeddings or _UNLIMITED_LENGTH
    generator = np.random.default_rng(seed)
    type_vocab_size = max(1, type_vocab_size)  # none: the input is taken all the same
    short = min(_SHORT_LENGTH, longest)
    long = min(_RAGGED_LENGTH, longest)

    def make(name: str, lengths: Sequence[int], size: int, types: int, hole: bool = False) -> Case:
        rows = len(lengths)
        ids = generator.integers(0, vocab_size, (rows, size))
        ids[0, 0], ids[-1, -1] = vocab_size - 1, 0  # both ends of the table
        mask = (np.arange(size) < np.array(lengths)[:, np.newaxis]).astype(np.int32)
        if hole and size > 4:
            mask[0, size // 2] = 0
        type_ids = generator.integers(0, types, rows * size)
        type_ids[: min(types, rows * size)] = np.arange(min(types, rows * size))  # each of them
        # Sorted, as segments are.
        type_ids = np.sort(generator.permutation(type_ids).reshape(rows, size), axis=1)
        positions = generator.integers(0, np.array(lengths)[:, np.newaxis], (rows, _PREDICTIONS))
        positions[:, -1] = 0  # zero-padded, as pre-training data is
        positions *= np.take_along_axis(mask, positions, axis=1)  # what is masked is not predicted
        tensors: Tensors = dict(
            zip((*ENCODER_INPUTS, POSITIONS), (ids, mask, type_ids, positions), strict=True)
        )
        return Case(name, {key: value.astype(np.int32) for key, value in tensors.items()})

    ragged_lengths = [long, 1, max(1, long // 2), max(1, long - 1), max(1, long // 3)]
    ragged = make("ragged", ragged_lengths, long, min(2, type_vocab_size), hole=True)
    row = {key: value[2:3] for key, value in ragged.inputs.items()}
    cases = [
        make("one_token", [1, 1, 1], 1, 1),
        make("plain", [short] * 3, short, 1),
        make("segments", [short] * 3, short, type_vocab_size),
        ragged,
        Case("batch_1", row),
        make("full_length", [longest], longest, min(2, type_vocab_size)),
    ]
    if padding_side == "any":
        lengths = [short, 1, max(1, short // 2)]
        cases.append(padded_left(make(LEFT_PADDED_CASE, lengths, short, 1), pad_token_id))
    by_name = {case.name: case for case in cases}
    for name, each in optional.items():
        case = by_name["plain" if each.limit is None else "ragged"]
        given = {name: optional_values(each, case, generator)}
        cases.append(Case(WITH_OPTIONAL + name, {**case.inputs, **given}))
    return cases


def optional_values(
    optional: OptionalInput, case: Case, generator: np.random.Generator
) -> np.ndarray:
    """Random values of an input that the model can do without, beside those of a case."""
    rows, length = case.shape
    sizes: Mapping[object, int] = {"B": rows, "S": length, "M": _MEMORY_LENGTH}
    shape = [axis if isinstance(axis, int) else sizes[axis] for axis in optional.axes]
    if optional.limit is None:
        return generator.standard_normal(shape).astype(np.float32)
    return generator.integers(0, optional.limit, shape).astype(np.int32)


def padded_left(case: Case, pad_token_id: int) -> Case:
    """A case that is padded on the right, its padding moved to the left and made of that id."""
    mask = case.inputs["input_mask"]
    absent = mask.shape[1] - mask.sum(axis=1)  # [B]
    columns = (np.arange(mask.shape[1]) - absent[:, np.newaxis]) % mask.shape[1]
    moved = {
        name: np.take_along_axis(case.inputs[name], columns, axis=1) for name in ENCODER_INPUTS
    }
    moved["input_word_ids"] = np.where(moved["input_mask"], moved["input_word_ids"], pad_token_id)
    if POSITIONS in case.inputs:
        moved[POSITIONS] = case.inputs[POSITIONS] + absent[:, np.newaxis]
    return Case(case.name, {name: value.astype(np.int32) for name, value in moved.items()})


def input_of(name: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """What an encoder or a head is given as its input of that name; None where a case has none.

    Whatever heads call the positions that they read, a case has one set of them. Of choices, which
    are read at one token each, it is the first. What is to be guessed is hidden from every token.
    """
    if name in inputs:
        return inputs[name]
    positions, make = inputs.get(POSITIONS), _OF_POSITIONS.get(name)
    if positions is None or make is None:
        return None
    return make(positions, inputs["input_mask"])


def _target_mapping(positions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One-hot, [B, N, S]."""
    mapping: np.ndarray = positions[:, :, np.newaxis] == np.arange(mask.shape[1])
    return mapping.astype(np.int32)


def _perm_mask(positions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """[B, S, S]: no token sees those that are asked for, but for the first: what attention makes of
    nothing at all, every program has its own way of."""
    hidden = _target_mapping(positions, mask).max(axis=1, keepdims=True)
    hidden[np.arange(len(mask)), 0, mask.argmax(axis=1)] = 0
    return np.tile(hidden, (1, mask.shape[1], 1))


def _answer_mask(positions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Three of four places, and the first position, whatever it is: [B, S]."""
    columns = np.arange(mask.shape[1])
    possible: np.ndarray = (columns % 4 != 3) | (columns == positions[:, :1])
    return possible.astype(np.int32)


_OF_POSITIONS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "lm_positions": lambda positions, mask: positions,
    "mc_positions": lambda positions, mask: positions[:, 0],
    "cls_positions": lambda positions, mask: positions[:, 0],
    "answer_mask": _answer_mask,
    "target_mapping": _target_mapping,
    "perm_mask": _perm_mask,
}


def encoder_inputs(inputs: Mapping[str, np.ndarray]) -> Tensors:
    """The three inputs that the root object takes."""
    return {name: inputs[name] for name in ENCODER_INPUTS}
