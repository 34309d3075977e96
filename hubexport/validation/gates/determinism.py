"""The same inputs give the same bits, again and in any order of calls."""

from __future__ import annotations

import numpy as np

from hubexport.validation.context import Context
from hubexport.validation.results import GateResult, Measurement, failure, judge

NAME = "determinism"
SUMMARY = "the same inputs give the same bits"
NEEDS = ("encoder",)
LOADED = True
APART = False
EACH_PRECISION = False

_RUNS = 3


def run(context: Context) -> GateResult:
    """Runs a case several times, another one in between."""
    case, other = context.case("ragged"), context.case("one_token")
    measurements: list[Measurement] = []
    try:
        first = context.encoder(case.inputs)
        for _ in range(_RUNS - 1):
            context.encoder(other.inputs)
            again = context.encoder(case.inputs)
            different = [
                name for name, value in first.items() if not np.array_equal(value, again[name])
            ]
            if different:
                break
        measurements += [
            Measurement(f"{name} repeats", name not in different, limit="equal bits")
            for name in first
        ]
    except Exception as error:  # whatever the artifact does
        measurements.append(failure("runs", error))
    return judge(NAME, measurements)
