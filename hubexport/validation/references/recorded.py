"""Reference outputs that were recorded where the model was trained, from a file of arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import some_of
from hubexport.families.heads import FLOATS, LANGUAGES, POSITIONS
from hubexport.families.opening import Opened
from hubexport.networks.config import MEMORY, NEW_MEMORY
from hubexport.validation.cases import ENCODER_INPUTS, Case
from hubexport.validation.reference_file import (
    HEAD_OUTPUTS,
    OUTPUTS,
    ReferenceError,
    layer_name,
    sizes_of_axes,
)
from hubexport.validation.references.sources import SIZES, Outputs, Request, first_line

ONLY_CASE = "recorded"
"""Name of the case where the arrays are called `inputs/...` and `outputs/...`."""

MASKED_IDS = "masked_lm_ids"


def open_model(request: Request) -> RecordedModel:
    """Reads the recorded arrays; see `sources.Model`.

    Raises:
      ReferenceError: the file cannot be read, or holds other arrays than it should.
      ConfigurationError: the model is of no family that is known.
    """
    return RecordedModel(request)


class RecordedModel:
    """See `sources.Model`."""

    def __init__(self, request: Request):
        assert request.outputs_file is not None
        model, _ = Opened(request.source, request.configuration).model()
        config = model.config
        self.architecture: Mapping[str, Any] = {name: getattr(config, name) for name in SIZES}
        self.made_by = f"recorded by its user, {request.outputs_file.name}"
        arrays = _read(request.outputs_file)
        kept = {value.dtype.name for value in arrays.values() if value.dtype.kind not in "iu"}
        narrow = sorted(kept - {"float32", "float64"})
        self.notes = [f"recorded in {', '.join(narrow)}, widened to float32"] if narrow else []
        self.cases, self._outputs = _cases(request.outputs_file, arrays, self.architecture)

    def outputs(self, case: Case) -> Outputs:
        """What was recorded for a case, float32."""
        return self._outputs[case.name]


def _read(path: Path) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.numpy

    try:
        if path.suffix == ".safetensors":
            return safetensors.numpy.load_file(path)
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("one array without a name")
        with archive:
            return dict(archive)
    except (
        OSError, ValueError, EOFError, TypeError, KeyError, zipfile.BadZipFile,
        safetensors.SafetensorError,
    ) as error:  # fmt: skip
        raise ReferenceError(
            "the recorded outputs cannot be read",
            [("file", str(path)), ("found", first_line(error))],
            "write it with numpy.savez or safetensors, arrays of numbers only.",
        ) from error


def _split(name: str) -> tuple[str, str, str]:
    """Case, "inputs" or "outputs", and what it is; empty where the name has another form."""
    *case, kind, what = ("", "", *name.rsplit("/", 2))[-3:]
    if kind not in ("inputs", "outputs"):
        return "", "", ""
    return "".join(case) or ONLY_CASE, kind, what


def _cases(
    path: Path, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, Any]
) -> tuple[list[Case], dict[str, Outputs]]:
    """Cases in the file's order, and their outputs."""
    cases: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    wrong = []
    for name, value in arrays.items():
        case, kind, what = _split(name)
        if not what:
            wrong.append(f"{name}: not CASE/inputs/NAME or CASE/outputs/NAME")
            continue
        of_case = cases.setdefault(case, {"inputs": {}, "outputs": {}})
        if what in of_case[kind]:
            wrong.append(f"{name}: there twice, with and without the case's name")
        of_case[kind][what] = value
    for case, each in cases.items():
        found = [*_wrong_inputs(each["inputs"], sizes)]
        if not found:  # else it is not known what outputs should be
            found += _wrong_outputs(each["outputs"], each["inputs"], sizes)
        wrong += [f"{case}/{text}" for text in found]
    if wrong or not cases:
        raise ReferenceError(
            "the recorded outputs cannot be used",
            [("file", str(path)), ("found", some_of(wrong, 40) or "no arrays")],
            "record the three int inputs and, in inference, the outputs of each case.",
        )
    outputs = {
        case: {name: value.astype(np.float32) for name, value in each["outputs"].items()}
        for case, each in cases.items()
    }
    return [_case(name, each["inputs"]) for name, each in cases.items()], outputs


def _case(name: str, inputs: Mapping[str, np.ndarray]) -> Case:
    tensors = {
        key: value.astype(np.float32 if key in FLOATS else np.int32)
        for key, value in inputs.items()
    }
    masked = tensors.pop(MASKED_IDS, None)
    return Case(name, tensors, masked_lm_ids=masked)


def _wrong_inputs(inputs: Mapping[str, np.ndarray], sizes: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, as `inputs/NAME: why`."""
    lacking = [name for name in ENCODER_INPUTS if name not in inputs]
    yield from (f"inputs/{name}: missing" for name in lacking)
    shape = next((inputs[name].shape for name in ENCODER_INPUTS if name in inputs), ())
    length = shape[1] if len(shape) == 2 else 0
    most = {
        "input_word_ids": sizes["vocab_size"] - 1,
        "input_mask": 1,
        "input_type_ids": max(1, sizes["type_vocab_size"]) - 1,  # without types, zeros are taken
        POSITIONS: length - 1,
        MASKED_IDS: sizes["vocab_size"] - 1,
        LANGUAGES: np.iinfo(np.int32).max,  # how many there are, sizes do not tell
    }
    longest = sizes["max_position_embeddings"]
    if longest is not None and length > longest:
        yield f"inputs: {length} tokens, the model has {longest} positions"
    predictions = inputs.get(POSITIONS)
    for name, value in inputs.items():
        if name == MEMORY:
            layers, hidden = sizes["num_hidden_layers"], sizes["hidden_size"]
            if value.ndim != 4 or (*value.shape[:2], value.shape[3]) != (shape[0], layers, hidden):
                yield f"inputs/{name}: shape {list(value.shape)}, needed [B, L, M, H]"
            elif value.dtype.kind != "f" or not _finite(value):
                yield f"inputs/{name}: not finite numbers of a floating-point type"
        elif name not in most:
            yield f"inputs/{name}: no input of that name; known: {', '.join((*most, MEMORY))}"
        elif value.dtype.kind not in "iu":
            yield f"inputs/{name}: {value.dtype}, needed integers"
        elif value.ndim != 2 or not value.size:
            yield f"inputs/{name}: shape {list(value.shape)}, needed 2 dimensions, not empty"
        elif name in (*ENCODER_INPUTS, LANGUAGES) and value.shape != shape:
            yield f"inputs/{name}: shape {list(value.shape)}, other inputs have {list(shape)}"
        elif name == POSITIONS and value.shape[0] != shape[:1][0]:
            yield f"inputs/{name}: {value.shape[0]} rows, other inputs have {shape[0]}"
        elif name == MASKED_IDS and (predictions is None or value.shape != predictions.shape):
            yield f"inputs/{name}: not of the shape of {POSITIONS}"
        elif value.min() < 0 or value.max() > most[name]:
            yield f"inputs/{name}: {value.min()} to {value.max()}, possible 0 to {most[name]}"


def _wrong_outputs(
    outputs: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray], sizes: Mapping[str, Any]
) -> Iterator[str]:
    """What is wrong, as `outputs/NAME: why`."""
    rows, length = inputs["input_word_ids"].shape
    hidden = sizes["hidden_size"]
    layers = [layer_name(i) for i in range(sizes["num_hidden_layers"])]
    wanted: dict[str, tuple[int | None, ...]] = dict.fromkeys(OUTPUTS, (rows, hidden))
    wanted |= dict.fromkeys([*layers, "sequence_output"], (rows, length, hidden))
    wanted["sentence_embedding"] = (rows, None)
    wanted[NEW_MEMORY] = (rows, len(layers), None, hidden)
    case = Case("", dict(inputs))
    for name, axes in HEAD_OUTPUTS.items():
        sized = tuple(sizes["vocab_size"] if axis == "V" else axis for axis in axes)
        wanted[name] = sizes_of_axes(sized, case)
    if "sequence_output" not in outputs:
        yield "outputs/sequence_output: missing"
    for name, value in outputs.items():
        shape = value.shape
        if name not in wanted:
            yield f"outputs/{name}: no output of that name; known: {some_of(wanted, 40)}"
        elif "N" in HEAD_OUTPUTS.get(name, ()) and POSITIONS not in inputs:
            yield f"outputs/{name}: without inputs/{POSITIONS}"
        elif value.dtype.kind != "f" and value.dtype.name != "bfloat16":
            yield f"outputs/{name}: {value.dtype}, needed floating-point numbers"
        elif len(shape) != len(wanted[name]) or any(
            size not in (None, found) for found, size in zip(shape, wanted[name], strict=True)
        ):
            sides = ", ".join("any" if size is None else str(size) for size in wanted[name])
            yield f"outputs/{name}: shape {list(shape)}, needed [{sides}]"
        elif not _finite(value):
            yield f"outputs/{name}: values that are not finite in float32"


def _finite(value: np.ndarray) -> bool:
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
        return bool(np.isfinite(value.astype(np.float32)).all())
