"""Reference outputs on disk: one safetensors file with a JSON header, and what must be in it.

`docs/validation.md` documents the format. Tensors are `CASE/inputs/NAME`, `CASE/outputs/NAME`; the
header is the file's metadata entry `hubexport_reference`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import HubexportError
from hubexport.families.heads import FLOATS, FORMS, POSITIONS, Axes
from hubexport.files import replaced
from hubexport.networks.config import NEW_MEMORY
from hubexport.poolers import POOLERS
from hubexport.validation.cases import ENCODER_INPUTS, Case

FORMAT_VERSION = 1
HEADER = "hubexport_reference"


def _head_outputs() -> dict[str, Axes]:
    axes: dict[str, Axes] = {}
    for _, interface in FORMS:
        for output, of_output in interface.given().items():
            # Two heads may give what is the same.
            axes.setdefault(output, tuple(1 if axis == "C" else axis for axis in of_output))
    return axes


HEAD_OUTPUTS: Mapping[str, Axes] = _head_outputs()
"""Outputs of heads -> their axes. Of choices each row is one, alone in its sample."""

OUTPUTS = (
    "sequence_output",
    *(pooler.recorded for pooler in POOLERS.values() if pooler.recorded),
    *HEAD_OUTPUTS,
    NEW_MEMORY,
)
"""Names of outputs, beside `encoder_outputs[i]`, layer i counted from 0.

All are optional but `sequence_output`. `hubexport.poolers` says which pooler's output is which.
"""

_LAYER = re.compile(r"encoder_outputs\[\d+\]")


class ReferenceError(HubexportError):
    """A reference that cannot be made, read or used."""


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a reference comes from.

    Attributes:
      source: `transformers`, `model_garden` or `file`.
      made_by: the program and its version, for people: "transformers 5.23.0 (BertForPreTraining)".
      checkpoint: its files as `saved_model.record.source_file` describes them, by name.
      architecture: `num_hidden_layers`, `hidden_size`, `intermediate_size` at least.
      notes: what users should know of it.
    """

    source: str
    made_by: str
    checkpoint: Sequence[Mapping[str, Any]]
    architecture: Mapping[str, Any]
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Reference:
    """An open reference file; tensors are read when asked for.

    Attributes:
      path: the file.
      provenance: where it comes from.
      cases: the inputs, by name.
    """

    path: Path
    provenance: Provenance
    cases: Mapping[str, Case]
    _outputs: Mapping[str, Sequence[str]]

    def outputs(self, case: str) -> list[str]:
        """Names of the outputs that the file holds for a case, layers first, in order."""
        return list(self._outputs[case])

    def output(self, case: str, name: str) -> np.ndarray:
        """One output, float32."""
        from safetensors import safe_open

        with safe_open(self.path, framework="np") as file:
            output: np.ndarray = file.get_tensor(f"{case}/outputs/{name}")
        return output


def write_reference(
    path: Path,
    provenance: Provenance,
    cases: Sequence[Case],
    outputs: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Writes a reference file; it appears complete or not at all.

    Args:
      path: the file; its directory is made.
      provenance: where the outputs come from.
      cases: the inputs.
      outputs: case -> output -> float32 array.

    Raises:
      ReferenceError: an output is missing, misshaped or not finite, or has a name unknown here; or
        the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    for case in cases:
        _check_outputs(path, case, outputs[case.name])
        named = {
            f"inputs/{name}": value.astype(np.float32 if name in FLOATS else np.int32)
            for name, value in case.inputs.items()
        }
        if case.masked_lm_ids is not None:
            named["inputs/masked_lm_ids"] = case.masked_lm_ids.astype(np.int32)
        named |= {
            f"outputs/{name}": np.asarray(value, np.float32)
            for name, value in outputs[case.name].items()
        }
        tensors |= {f"{case.name}/{name}": np.ascontiguousarray(v) for name, v in named.items()}
    header = {
        "format_version": FORMAT_VERSION,
        **dataclasses.asdict(provenance),
        "cases": [{"name": case.name, "texts": case.texts} for case in cases],
    }
    try:
        with replaced(path) as partial:
            save_file(tensors, partial, metadata={HEADER: json.dumps(header, ensure_ascii=False)})
    except (OSError, SafetensorError) as error:
        raise ReferenceError(
            "the reference cannot be written",
            [("file", str(path)), ("system", getattr(error, "strerror", "") or str(error))],
            "make room, or choose a path that you may write to.",
        ) from error


def read_reference(path: Path) -> Reference:
    """Opens a reference file and checks that it is whole.

    Raises:
      ReferenceError: it is not there, no such file, of another version, or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if HEADER not in metadata:
                raise ReferenceError(
                    "the file is not a reference",
                    [("file", str(path)), ("found", "safetensors without the header " + HEADER)],
                    "make one with `hubexport reference`.",
                )
            header = json.loads(metadata[HEADER])
            if header["format_version"] != FORMAT_VERSION:
                raise ReferenceError(
                    "the reference is of another version",
                    [
                        ("file", str(path)),
                        ("format_version", f"{header['format_version']}, needed {FORMAT_VERSION}"),
                    ],
                    "make it again with `hubexport reference`.",
                )
            names = list(file.keys())
            cases, outputs = {}, {}
            for fields in header["cases"]:
                case = _read_case(fields, names, file)
                if case.name in cases:
                    raise ValueError(f"two cases {case.name}")
                cases[case.name] = case
                prefix = f"{case.name}/outputs/"
                found = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
                _check_shapes(path, case, {
                    name: tuple(file.get_slice(prefix + name).get_shape()) for name in found
                })  # fmt: skip
                outputs[case.name] = sorted(found, key=_order)
            if not cases:
                raise ValueError("no cases")
            provenance = Provenance(
                **{field.name: header[field.name] for field in dataclasses.fields(Provenance)}
            )
            for each in provenance.checkpoint:
                _ = each["name"], each["bytes"], each["sha256"]
            return Reference(path, provenance, cases, outputs)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceError(
            "the reference cannot be read",
            [("file", str(path)), ("found", str(error))],
            "pass a file that `hubexport reference` wrote.",
        ) from error


def layer_name(index: int) -> str:
    """The name of layer `index`'s output, counted from 0."""
    return f"encoder_outputs[{index}]"


def _read_case(fields: Mapping[str, Any], names: Sequence[str], file: Any) -> Case:
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
        if each in FLOATS:
            if value.dtype != np.float32 or value.shape[:1] != shape[:1]:
                raise ValueError(f"{prefix}{each}: {value.dtype} {list(value.shape)}")
            continue
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


def _check_outputs(path: Path, case: Case, outputs: Mapping[str, np.ndarray]) -> None:
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


def _check_shapes(path: Path, case: Case, shapes: Mapping[str, tuple[int, ...]]) -> None:
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
        elif name == NEW_MEMORY:
            axes = ("B", "L", "M", "H")
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


def _order(name: str) -> tuple[int, int, str]:
    if name.startswith("encoder_outputs["):
        return 0, int(name[len("encoder_outputs[") : -1]), name
    return 1, OUTPUTS.index(name) if name in OUTPUTS else len(OUTPUTS), name
