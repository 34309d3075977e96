"""Which tensor of a reference each output of an artifact must equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from hubexport.families.heads import POSITIONS
from hubexport.networks.config import NEW_MEMORY
from hubexport.poolers import POOLERS, SENTENCE_EMBEDDING
from hubexport.validation.cases import Case
from hubexport.validation.context import Context
from hubexport.validation.reference_file import HEAD_OUTPUTS, Reference

Load = Callable[[], np.ndarray]


def expected_outputs(context: Context, case: Case) -> dict[str, Load]:
    """Output of the artifact -> a function that gives its reference, [B, ...] float32.

    What `pooled_output` and `default` are is in the record; an artifact without one is taken to
    have the encoder's own pooler. An output that the reference does not hold is left out; and of an
    artifact that skips padding, one that would be made of padding's vector, which is 0 there and
    something else in the reference.
    """
    reference = context.reference
    assert reference is not None
    names = reference.outputs(case.name)
    expected: dict[str, Load] = {
        name: _load(reference, case, name)
        for name in names
        if name.startswith("encoder_outputs[")
        or name in ("sequence_output", NEW_MEMORY, *HEAD_OUTPUTS)
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
    if context.skips_padding:
        return dict(_without_padding(case, expected))
    return expected


def defined(context: Context, case: Case) -> np.ndarray:
    """Where outputs along the sequence mean anything: bool [B, S].

    Padding before the first token sees nothing at all in a causal model; what attention makes of
    nothing, every program has its own way of.
    """
    mask = case.inputs["input_mask"]
    if not context.conventions["causal"] or context.skips_padding:
        return np.ones_like(mask, bool)
    seen: np.ndarray = np.cumsum(mask, axis=1) > 0
    return seen


def along_sequence(output: str) -> bool:
    """Whether the second axis of an output is the sequence."""
    if (axes := HEAD_OUTPUTS.get(output)) is not None:
        return axes[1:2] == ("S",)
    return output == "sequence_output" or output.startswith("encoder_outputs[")


def _without_padding(case: Case, expected: dict[str, Load]) -> Iterator[tuple[str, Load]]:
    """What is left of a reference, which computed padding."""
    is_token = case.inputs["input_mask"] != 0  # [B, S]
    for name, load in expected.items():
        if along_sequence(name):
            yield name, partial(_zeros_at_padding, load, is_token)
        elif "N" in HEAD_OUTPUTS.get(name, ()):
            if np.take_along_axis(is_token, case.inputs[POSITIONS], axis=1).all():
                yield name, load
        elif is_token[:, 0].all():  # what poolers and classifiers read, if they read one token
            yield name, load


def _zeros_at_padding(load: Load, is_token: np.ndarray) -> np.ndarray:
    reference = load()  # [B, S, ...]
    shape = is_token.shape + (1,) * (reference.ndim - 2)
    return np.where(is_token.reshape(shape), reference, np.zeros_like(reference))


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
