"""Of models that read from left to right: what a token gives does not depend on those after it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hubexport.validation.context import Context
from hubexport.validation.expected import along_sequence
from hubexport.validation.figures import compare
from hubexport.validation.results import GateResult, Measurement, failure, judge, not_run

NAME = "causality"
SUMMARY = "tokens do not depend on those after them, where the model is causal"
NEEDS = ("encoder",)
LOADED = True
APART = False
EACH_PRECISION = False


def run(context: Context) -> GateResult:
    """Other tokens, and none, at a place: what is before it stays, what is at it does not."""
    if not context.conventions["causal"]:
        return not_run(NAME, "the model reads in both directions")
    measurements: list[Measurement] = []
    try:
        measurements += _changes(context)
    except Exception as error:  # whatever the artifact does
        measurements.append(failure("runs", error))
    return judge(NAME, measurements)


def _changes(context: Context) -> Iterator[Measurement]:
    case = context.case("plain")
    length, vocab_size = case.shape[1], context.sizes["vocab_size"]
    tolerance = context.tolerance(length)
    before = context.encoder(case.inputs)
    sequences = [name for name in before if along_sequence(name)]
    for place in sorted({length // 2, length - 1} - {0}):
        for what, key in (("another token", "input_word_ids"), ("no token", "input_mask")):
            changed = case.inputs[key].copy()
            other = (changed[:, place] + 1) % vocab_size
            changed[:, place] = other if key == "input_word_ids" else 0
            after = context.encoder({**case.inputs, key: changed})
            for name in sequences:
                figures = compare(after[name][:, :place], before[name][:, :place])
                yield from tolerance.measure(f"{what} at {place}: {name} before it", name, figures)[
                    :2
                ]
            if key == "input_word_ids" and vocab_size > 1:
                changes = not np.array_equal(
                    after["sequence_output"][:, place:], before["sequence_output"][:, place:]
                )
                yield Measurement(f"{what} at {place}: it changes what is not before it", changes)
