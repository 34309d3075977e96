"""Inputs that a model is said to ignore change nothing; all others change something."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hubexport.errors import some_of
from hubexport.validation.cases import ENCODER_INPUTS, TYPES, Case
from hubexport.validation.context import Context
from hubexport.validation.gates.failing import failure
from hubexport.validation.results import Measurement


def influence(context: Context) -> Iterator[Measurement]:
    """One measurement for each of the encoder's inputs.

    None for an input that the model could not tell from another: padding in sequences of one
    token, ids of a vocabulary of one piece, token types that are all embedded alike.
    """
    case = context.case("ragged")
    for name in ENCODER_INPUTS:
        try:
            if not context.reads(name):
                yield _is_ignored(context, case, name)
            elif (other := _other(context, case, name)) is not None:
                changed, plain = (
                    context.encoder.call("", inputs)["sequence_output"].numpy()
                    for inputs in ({**case.inputs, name: other}, case.inputs)
                )
                yield Measurement(f"{name} has an influence", not np.array_equal(changed, plain))
        except Exception as error:  # whatever the artifact does
            yield failure(f"{name} of other values", error)


def _is_ignored(context: Context, case: Case, name: str) -> Measurement:
    """Every output, with values of the input that no table has a row for."""
    values = case.inputs[name]
    other = values + 1 + np.arange(values.size, dtype=np.int32).reshape(values.shape) % 7
    before, after = context.encoder(case.inputs), context.encoder({**case.inputs, name: other})
    changed = [key for key, value in before.items() if not np.array_equal(after[key], value)]
    return Measurement(f"{name} has no influence", not changed, some_of(changed) or None)


def _other(context: Context, case: Case, name: str) -> np.ndarray | None:
    """Other values of an input that must change what the encoder gives; None where none must."""
    values, sizes = case.inputs[name], context.sizes
    if name == "input_mask":
        return np.ones_like(values) if case.is_padded else None
    count = sizes["type_vocab_size"] if name == TYPES else sizes["vocab_size"]
    if count < 2 or (name == TYPES and _types_are_alike(context)):
        return None
    return (values + 1) % count


def _types_are_alike(context: Context) -> bool:
    """Whether a table of token types has rows that are all equal, as that of a model may be which
    was trained on single texts."""
    count = context.sizes["type_vocab_size"]
    tables = [
        variable.numpy()
        for variable in context.encoder.root.variables
        if "type" in variable.name and variable.shape.rank == 2 and variable.shape[0] == count
    ]
    return any((table == table[0]).all() for table in tables)
