"""What the inputs and outputs of a reference must be, to be of any use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import HubexportError
from hubexport.families.heads import INTERFACES, POSITIONS, Axes
from hubexport.poolers import POOLERS
from hubexport.validation.cases import ENCODER_INPUTS, Case

HEAD_OUTPUTS: Mapping[str, Axes] = {
    output: tuple(1 if axis == "C" else axis for axis in axes)
    for interface in INTERFACES.values()
    for output, axes in interface.outputs.items()
}
"""Outputs of heads -> their axes. Of choices each row is one, alone in its sample."""

OUTPUTS = (
    "sequence_output",
    *(pooler.recorded for pooler in POOLERS.values() if pooler.recorded),
    *HEAD_OUTPUTS,
)
"""Names of outputs, beside `encoder_outputs[i]`, layer i counted from 0.

All are optional but `sequence_output`. `hubexport.poolers` says which pooler's output is which.
"""

_LAYER = re.compile(r"encoder_outputs\[\d+\]")


class ReferenceError(HubexportError):
    """A reference that cannot be made, read or used."""


def read_case(fields: Mapping[str, Any], names: Sequence[str], file: Any) -> Case:
    """A case, its inputs checked.

    Raises:
      KeyError, TypeError, ValueError: a model could not be run on it.
    """
    name = fields["name"]
    prefix = f"{name}/inputs/"
    inputs = {
        each.removeprefix(prefix): file.get_tensor(each)
        for each in names
        if each.startswith(prefix)
    }
    masked = inputs.pop("masked_lm_ids", None)
    if missing := set(ENCODER_INPUTS) - inputs.keys():
        raise KeyError(f"{prefix}{min(missing)}")
    shape = inputs["input_word_ids"].shape
    positions = inputs.get(POSITIONS)
    for each, value in inputs.items():
        if value.dtype != np.int32 or value.ndim != 2 or not value.size:
            raise ValueError(f"{prefix}{each}: {value.dtype} {list(value.shape)}")
        if value.shape != shape and each != POSITIONS:
            raise ValueError(f"{prefix}{each}: shape {list(value.shape)}, needed {list(shape)}")
    if not np.isin(inputs["input_mask"], (0, 1)).all():
        raise ValueError(f"{prefix}input_mask: values other than 0 and 1")
    if positions is not None and (
        len(positions) != shape[0] or positions.min() < 0 or positions.max() >= shape[1]
    ):
        raise ValueError(f"{prefix}{POSITIONS}: not in the sequences")
    if masked is not None and (positions is None or masked.shape != positions.shape):
        raise ValueError(f"{prefix}masked_lm_ids: not of the shape of {POSITIONS}")
    texts = fields["texts"]
    if texts is not None:
        rows_are_texts = all(
            isinstance(row, list) and len(row) in (1, 2) and all(isinstance(t, str) for t in row)
            for row in texts
        )
        if not isinstance(texts, list) or len(texts) != shape[0] or not rows_are_texts:
            raise ValueError(f"{name}: texts that are not one or two for each row")
    return Case(name, inputs, texts, masked)


def check_outputs(path: Path, case: Case, outputs: Mapping[str, np.ndarray]) -> None:
    """Checks names, shapes and numbers of outputs, all at once.

    Raises:
      ReferenceError: one is missing, unknown, misshaped or not finite.
    """
    wrong = _misshaped(case, {name: np.shape(value) for name, value in outputs.items()})
    wrong += [
        f"{name}: values that are not finite"
        for name, value in outputs.items()
        if not np.isfinite(value).all()
    ]
    _refuse(path, case, wrong)


def check_shapes(path: Path, case: Case, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks names and shapes of outputs, all at once.

    Raises:
      ReferenceError: one is missing, unknown or misshaped.
    """
    _refuse(path, case, _misshaped(case, shapes))


def _misshaped(case: Case, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    wrong = []
    if "sequence_output" not in shapes:
        wrong.append("sequence_output: missing")
    for name, shape in shapes.items():
        axes = HEAD_OUTPUTS.get(name)
        if name == "sequence_output" or _LAYER.fullmatch(name):
            axes = ("B", "S", "H")
        elif axes is None and name not in OUTPUTS:
            wrong.append(f"{name}: unknown name")
            continue
        if axes is not None and "N" in axes and POSITIONS not in case.inputs:
            wrong.append(f"{name}: there are no {POSITIONS} among the inputs")
            continue
        wanted = sizes_of_axes(axes or ("B", "D"), case)
        if len(shape) != len(wanted) or any(
            size not in (found, None) or not found
            for found, size in zip(shape, wanted, strict=True)
        ):
            needed = ", ".join("any" if size is None else str(size) for size in wanted)
            wrong.append(f"{name}: shape {list(shape)}, needed [{needed}]")
        elif axes is not None and "V" in axes and not _are_pieces(case.masked_lm_ids, shape[-1]):
            wrong.append(f"{name}: {shape[-1]} pieces, fewer than masked_lm_ids")
    return wrong


def sizes_of_axes(axes: Axes, case: Case) -> tuple[int | None, ...]:
    """The sizes of axes for the inputs of a case; None for those that no input tells."""
    rows, length = case.shape
    sizes: dict[str | int, int] = {"B": rows, "S": length}
    if POSITIONS in case.inputs:
        sizes["N"] = case.inputs[POSITIONS].shape[1]
    return tuple(axis if isinstance(axis, int) else sizes.get(axis) for axis in axes)


def _are_pieces(ids: np.ndarray | None, vocab_size: int) -> bool:
    return ids is None or bool(ids.min() >= 0 and ids.max() < vocab_size)


def _refuse(path: Path, case: Case, wrong: Sequence[str]) -> None:
    if wrong:
        raise ReferenceError(
            "the reference outputs cannot be used",
            [("file", str(path)), ("case", case.name), *(("output", each) for each in wrong)],
            "record them from the inputs of the same case, in inference mode.",
        )
