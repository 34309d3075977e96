"""A row's outputs do not depend on the rows beside it, nor on the length of its padding."""

from __future__ import annotations

import numpy as np

from hubexport.validation.artifact import Outputs
from hubexport.validation.cases import Tensors
from hubexport.validation.context import Context
from hubexport.validation.figures import compare
from hubexport.validation.gates.failing import failure
from hubexport.validation.results import GateResult, Measurement, judge

NAME = "batch"
_MORE_PADDING = 5


def run(context: Context) -> GateResult:
    """Row by row against all at once, and with more padding."""
    case = context.case("ragged")
    rows, length = case.shape
    measurements: list[Measurement] = []

    def measure(what: str, actual: Outputs, expected: Outputs) -> None:
        tolerance = context.tolerance(length)
        for name, value in expected.items():
            if actual[name].shape != value.shape:
                found = f"shape {actual[name].shape}"
                measurements.append(Measurement(f"{what}: {name}", False, found, f"{value.shape}"))
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
            key: value if key == "masked_lm_positions" else value[1:, : length - _cut(length)]
            for key, value in case.inputs.items()
        }
        shorter = _only_tokens(shorter, case.inputs)
        less = context.encoder(shorter)
        more = context.encoder(_padded(shorter, _cut(length), context.sizes["vocab_size"]))
        size = shorter["input_mask"].shape[1]
        clipped = {
            name: value[:, :size] if value.ndim == 3 and name != "mlm_logits" else value
            for name, value in more.items()
        }
        measure("more padding", clipped, less)
    except Exception as error:  # whatever the artifact does
        measurements.append(failure("runs", error))
    return judge(NAME, measurements)


def _cut(length: int) -> int:
    return min(_MORE_PADDING, length - 1)


def _only_tokens(shorter: Tensors, inputs: Tensors) -> Tensors:
    """Rows whose mask leaves no token out in the shorter sequence's place."""
    size = shorter["input_mask"].shape[1]
    fit = inputs["input_mask"][1:, size:].sum(axis=1) == 0
    positions = inputs.get("masked_lm_positions")
    kept = {key: value[fit] for key, value in shorter.items() if key != "masked_lm_positions"}
    if positions is not None:
        kept["masked_lm_positions"] = positions[1:][fit]
    return kept


def _padded(inputs: Tensors, amount: int, vocab_size: int) -> Tensors:
    """More padding on the right, of ids that are no padding: only the mask says that they are."""
    added = {"input_word_ids": vocab_size - 1, "input_mask": 0, "input_type_ids": 0}
    return {
        key: np.pad(value, [(0, 0), (0, amount)], constant_values=added[key])
        if key in added
        else value
        for key, value in inputs.items()
    }
