"""A row's outputs depend neither on the rows beside it nor on its padding: how much there is of it
and, where the model's convention is any side, which side it is on."""

from __future__ import annotations

import numpy as np

from hubexport.families.heads import POSITIONS
from hubexport.validation import ranked
from hubexport.validation.artifact import Outputs
from hubexport.validation.cases import Case, Tensors, padded_left
from hubexport.validation.context import Context
from hubexport.validation.expected import along_sequence
from hubexport.validation.figures import compare
from hubexport.validation.results import GateResult, Measurement, failure, judge

NAME = "batch"
SUMMARY = "rows do not depend on each other, or on the amount of padding"
NEEDS = ("encoder",)
LOADED = True
APART = False
EACH_PRECISION = False

_MORE_PADDING = 5


def run(context: Context) -> GateResult:
    """Row by row against all at once, with more padding, and with padding on the left."""
    case = context.case("ragged")
    rows, length = case.shape
    measurements: list[Measurement] = []

    def measure(what: str, actual: Outputs, expected: Outputs) -> None:
        tolerance = context.tolerance(length)
        for name, value in expected.items():
            if actual[name].shape != value.shape:
                found = f"shape {actual[name].shape}"
                measurements.append(Measurement(f"{what}: {name}", False, found, f"{value.shape}"))
            elif name in ranked.RANKED:
                measurements.extend(
                    ranked.measure(tolerance, f"{what}: {name}", name, actual, expected)
                )
            else:
                figures = compare(actual[name], value)
                measurements.extend(tolerance.measure(f"{what}: {name}", name, figures)[:2])

    try:
        together = context.encoder(case.inputs)
        alone = [
            context.encoder({key: value[i : i + 1] for key, value in case.inputs.items()})
            for i in range(rows)
        ]
        stacked = {name: np.concatenate([each[name] for each in alone]) for name in together}
        measure("batch 1 against n", stacked, together)
        two = context.encoder({key: value[:2] for key, value in case.inputs.items()})
        measure("batch 2 against n", two, {name: value[:2] for name, value in together.items()})
        # Left of all padding, so that there is room for more of it.
        shorter = {
            key: value if key == POSITIONS else value[1:, : length - _cut(length)]
            for key, value in case.inputs.items()
        }
        shorter = _only_tokens(shorter, case.inputs)
        less = context.encoder(shorter)
        more = context.encoder(_padded(shorter, _cut(length), context.sizes["vocab_size"]))
        size = shorter["input_mask"].shape[1]
        clipped = {
            name: value[:, :size] if along_sequence(name) else value for name, value in more.items()
        }
        measure("more padding", clipped, less)
        if context.conventions["padding_side"] == "any":
            measure("padded on the left", *_on_both_sides(context, case))
    except Exception as error:  # whatever the artifact does
        measurements.append(failure("runs", error))
    return judge(NAME, measurements)


def _on_both_sides(context: Context, case: Case) -> tuple[Outputs, Outputs]:
    """Outputs of the same rows padded on the left and on the right, with the model's own padding.

    Of each output only what is there on both sides: tokens, moved to the right's places, and what
    is given for positions. A pooled output may be that of the first place, token or not.
    """
    # Not the first row: its mask has a hole, and what is masked there is not padding.
    inputs = {key: value[1:] for key, value in case.inputs.items()}
    mask = inputs["input_mask"]
    ids = np.where(mask, inputs["input_word_ids"], context.pad_token_id).astype(np.int32)
    right = Case(case.name, {**inputs, "input_word_ids": ids})
    left = padded_left(right, context.pad_token_id)
    expected, actual = context.encoder(right.inputs), context.encoder(left.inputs)
    at_right, at_left = mask == 1, left.inputs["input_mask"] == 1
    both: tuple[Outputs, Outputs] = {}, {}
    for name, value in expected.items():
        head = context.encoder.head_of(name)
        if along_sequence(name):
            both[0][name], both[1][name] = actual[name][at_left], value[at_right]
        elif head and "N" in context.encoder.axes_of(name):
            both[0][name], both[1][name] = actual[name], value
    return both


def _cut(length: int) -> int:
    return min(_MORE_PADDING, length - 1)


def _only_tokens(shorter: Tensors, inputs: Tensors) -> Tensors:
    """Rows whose mask leaves no token out in the shorter sequence's place."""
    size = shorter["input_mask"].shape[1]
    fit = inputs["input_mask"][1:, size:].sum(axis=1) == 0
    positions = inputs.get(POSITIONS)
    kept = {key: value[fit] for key, value in shorter.items() if key != POSITIONS}
    if positions is not None:
        kept[POSITIONS] = positions[1:][fit]
    return kept


def _padded(inputs: Tensors, amount: int, vocab_size: int) -> Tensors:
    """More padding on the right, of ids other than padding's: only the mask says what it is."""
    added = {"input_word_ids": vocab_size - 1, "input_mask": 0, "input_type_ids": 0}
    return {
        key: np.pad(value, [(0, 0), (0, amount)], constant_values=added[key])
        if key in added
        else value
        for key, value in inputs.items()
    }
