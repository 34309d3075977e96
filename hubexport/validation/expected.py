"""Which tensor of a reference each output of an artifact must equal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hubexport.validation.cases import Case
from hubexport.validation.context import Context
from hubexport.validation.reference_file import Reference

Load = Callable[[], np.ndarray]

_BY_NAME = {
    "checkpoint": "pooled_output",
    "next_sentence": "next_sentence_pooled_output",
    "sentence_embedding": "sentence_embedding",
}
"""Pooler of the record -> the reference's output that has it."""


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
        if name.startswith("encoder_outputs[")
        or name in ("sequence_output", "mlm_logits", "nsp_logits")
    }
    pooler = context.record["pooler"] if context.record else {}
    pooled = _pooled(reference, case, str(pooler.get("pooled_output", "checkpoint")), names)
    default = pooled
    if pooler.get("default", "pooled_output") == "sentence_embedding":
        default = _pooled(reference, case, "sentence_embedding", names)
    if pooled is not None:
        expected["pooled_output"] = pooled
    if default is not None:
        expected["default"] = default
    return expected


def _load(reference: Reference, case: Case, name: str) -> Load:
    return lambda: reference.output(case.name, name)


def _pooled(reference: Reference, case: Case, pooler: str, names: list[str]) -> Load | None:
    if pooler in _FROM_SEQUENCE:
        sequence = _load(reference, case, "sequence_output")
        return lambda: _FROM_SEQUENCE[pooler](sequence(), case.inputs["input_mask"])
    name = _BY_NAME.get(pooler)  # of an untrained pooler there is no reference
    return _load(reference, case, name) if name in names and name is not None else None


def _mean(sequence: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = mask[:, :, np.newaxis].astype(np.float64)
    return ((sequence * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)).astype("f4")


# By their definitions in `hubexport.exporting.pooler.POOLERS`.
_FROM_SEQUENCE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cls": lambda sequence, mask: sequence[:, 0],
    "identity": lambda sequence, mask: np.tanh(sequence[:, 0]),
    "mean": _mean,
}
