"""Which tensor of a reference each output of an artifact must equal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hubexport.poolers import POOLERS, SENTENCE_EMBEDDING
from hubexport.validation.cases import Case
from hubexport.validation.context import Context
from hubexport.validation.reference_file import HEAD_OUTPUTS, Reference

Load = Callable[[], np.ndarray]


def expected_outputs(context: Context, case: Case) -> dict[str, Load]:
    """Output of the artifact -> a function that gives its reference, [B, ...] float32.

    What `pooled_output` and `default` are is in the record; an artifact without one is taken to
    have the encoder's own pooler. An output that the reference does not hold is left out.
    """
    reference = context.reference
    assert reference is not None
    names = reference.outputs(case.name)
    expected: dict[str, Load] = {
        name: _load(reference, case, name)
        for name in names
        if name.startswith("encoder_outputs[") or name in ("sequence_output", *HEAD_OUTPUTS)
    }
    pooler = context.record["pooler"] if context.record else {}
    pooled = _pooled(reference, case, str(pooler.get("pooled_output", "checkpoint")), names)
    default = pooled
    if pooler.get("default", "pooled_output") == SENTENCE_EMBEDDING:
        default = _pooled(reference, case, SENTENCE_EMBEDDING, names)
    if pooled is not None:
        expected["pooled_output"] = pooled
    if default is not None:
        expected["default"] = default
    return expected


def _load(reference: Reference, case: Case, name: str) -> Load:
    return lambda: reference.output(case.name, name)


def _pooled(reference: Reference, case: Case, name: str, held: list[str]) -> Load | None:
    """A pooler's output, as its entry in `POOLERS` has it; None where nothing tells it."""
    pooler = POOLERS.get(name)
    if pooler is None:
        return None
    if (compute := pooler.of_sequence) is not None:
        sequence = _load(reference, case, "sequence_output")
        return lambda: compute(sequence(), case.inputs["input_mask"])
    return _load(reference, case, pooler.recorded) if pooler.recorded in held else None
