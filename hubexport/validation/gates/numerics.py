"""Every output and layer against the reference's, on inputs that each show another fault."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hubexport.errors import some_of
from hubexport.validation import ranked
from hubexport.validation.artifact import Outputs
from hubexport.validation.cases import Case
from hubexport.validation.causes import Divergence, explain
from hubexport.validation.context import Context
from hubexport.validation.expected import Load, along_sequence, defined, expected_outputs
from hubexport.validation.figures import compare
from hubexport.validation.reference_file import HEAD_OUTPUTS, layer_name
from hubexport.validation.results import GateResult, Measurement, failure, judge, not_run
from hubexport.validation.tolerance import Tolerance

NAME = "numerics"
SUMMARY = "every output and layer against --reference"
NEEDS = ("encoder",)
LOADED = True
APART = False
EACH_PRECISION = True

_FEW = 16
"""Of fewer numbers the mean square says little of the size of what they are made of."""


def run(context: Context) -> GateResult:
    """Runs every case of the reference."""
    if context.reference is None:
        return not_run(NAME, "there is no --reference; `hubexport reference` makes one")
    measurements: list[Measurement] = []
    divergences: list[Divergence] = []
    given: set[str] = set()
    compared: set[str] = set()
    too_long = []
    for case in context.reference.cases.values():
        if not context.fits(case):
            too_long.append(case.name)
            continue
        tolerance = context.tolerance(case.shape[1])
        try:
            outputs = context.encoder(case.inputs)
        except Exception as error:  # whatever the artifact does
            measurements.append(failure(f"{case.name}: runs", error))
            continue
        expected = expected_outputs(context, case)
        given |= outputs.keys()
        compared |= expected.keys()
        growth, means = _Growth(context), defined(context, case)
        found = {}
        for name, load in expected.items():
            if name in outputs or not _head_is_absent(context, name):
                reference = load()
                if along_sequence(name) and name in outputs:
                    reference, outputs = _at(means, name, reference, outputs)
                scale = growth.of(name, reference)
                found[name] = (
                    _measure_ranked(case, name, outputs, expected, tolerance)
                    if name in ranked.RANKED
                    else _measure(case, name, outputs, reference, tolerance, scale)
                )
        for name, each in found.items():
            measurements += each
            if any(not one.passed for one in each):
                divergences.append(Divergence(case, name, max(each, key=lambda one: one.strain)))
    notes = []
    if too_long:
        notes.append(
            f"longer than the model's {context.longest} positions, so not run: {some_of(too_long)}"
        )
    if not_compared := given - compared:
        notes.append(f"not in the reference, so not compared: {some_of(sorted(not_compared))}")
    if not measurements:
        return not_run(NAME, " ".join(notes) or "the reference has no case")
    detail = explain(divergences, context.sizes["num_hidden_layers"])
    return judge(NAME, measurements, " ".join([*detail, *notes]))


def _at(
    means: np.ndarray, name: str, reference: np.ndarray, outputs: Outputs
) -> tuple[np.ndarray, Outputs]:
    """Both at those positions alone, where there are others."""
    actual = outputs[name]
    if means.all() or actual.shape != reference.shape:
        return reference, outputs
    return reference[means], {**outputs, name: actual[means]}


def _head_is_absent(context: Context, name: str) -> bool:
    """Whether an output belongs to a head that the artifact does not claim to have."""
    return name in HEAD_OUTPUTS and not context.encoder.head_of(name)


def _measure(
    case: Case,
    name: str,
    outputs: Mapping[str, np.ndarray],
    reference: np.ndarray,
    tolerance: Tolerance,
    growth: float,
) -> list[Measurement]:
    what = f"{case.name}: {name}"
    if name not in outputs:
        return [Measurement(what, False, "missing", "there")]
    actual = outputs[name]
    if actual.shape != reference.shape:
        return [Measurement(what, False, f"shape {actual.shape}", f"shape {reference.shape}")]
    return tolerance.measure(what, name, compare(actual, reference), growth)


def _measure_ranked(
    case: Case,
    name: str,
    outputs: Mapping[str, np.ndarray],
    expected: Mapping[str, Load],
    tolerance: Tolerance,
) -> list[Measurement]:
    references = {each: load() for each, load in expected.items() if each in ranked.ALL}
    return ranked.measure(tolerance, f"{case.name}: {name}", name, outputs, references)


class _Growth:
    """How much larger than an output the sums are, or were, that its error is relative to.

    Of networks whose layers' outputs are not normalized: what was rounded off a sum stays when
    later layers make it smaller. The norm behind the last layer keeps relative errors as they are.
    """

    def __init__(self, context: Context):
        self._grows = context.conventions["layer_scale"] == "residual"
        self._last = layer_name(context.sizes["num_hidden_layers"] - 1)
        self._largest, self._growth = 0.0, 1.0
        self._logits, self._reference = 0.0, context.reference

    def of(self, name: str, reference: np.ndarray) -> float:
        """For the outputs in order, layers first, and logits before what is made of them."""
        if name == "lm_logits":
            self._logits = _rms(reference)
        elif name in ("token_log_probs", "sequence_log_probs") and reference.any():
            # Differences of logits, which may be far from 0 all alike.
            return max(1.0, self._logits / _rms(reference))
        if self._grows and name.startswith("encoder_outputs[") and name != self._last:
            rms = _rms(reference)
            self._largest = max(self._largest, rms)
            self._growth = self._largest / rms if rms else 1.0
        if name in HEAD_OUTPUTS and 0 < reference.size < _FEW and (rms := _rms(reference)):
            # A score is a sum that may come to nearly nothing, and its error does not.
            return self._growth * max(1.0, self._usual(name) / rms)
        return self._growth

    def _usual(self, name: str) -> float:
        """The root mean square of an output in all cases together."""
        given = self._reference
        assert given is not None
        values = [
            given.output(case, name).ravel() for case in given.cases if name in given.outputs(case)
        ]
        return _rms(np.concatenate(values))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
