"""An artifact's outputs for a reference's inputs, into files, in a process of its own.

python -m hubexport.comparison.calls REQUEST.json DIRECTORY

An encoder is called on the ids of each case, a preprocessor and a pipeline on the texts of those
that have any. Arrays of numbers are written as .npy files, strings as JSON; `outputs.json` says
which is which, and how far those of an encoder are from the reference's.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.comparison.norms import Distance, array_distance
from hubexport.errors import HubexportError
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.running.plan import DEFAULT_SIGNATURE, ONE_TEXT, TWO_TEXTS, make_plan
from hubexport.saved_model.reading import read_saved_model
from hubexport.saved_model.record import find_record
from hubexport.validation.artifact import flatten
from hubexport.validation.cases import ENCODER_INPUTS, Case
from hubexport.validation.context import Context
from hubexport.validation.devices import connect
from hubexport.validation.expected import along_sequence, defined, expected_outputs
from hubexport.validation.reference_file import Reference, read_reference
from hubexport.validation.results import in_a_line

INDEX = "outputs.json"

Arrays = dict[str, np.ndarray]


def main(arguments: Sequence[str]) -> None:
    """Runs what a request names."""
    request = json.loads(Path(arguments[0]).read_text("utf-8"))
    target = Path(arguments[1])
    try:
        found = write_outputs(Path(request["artifact"]), Path(request["reference"]), target)
    except HubexportError as error:
        fields = {"problem": error.problem, "facts": error.facts, "hint": error.hint}
        found = {"error": fields}
    (target / INDEX).write_text(json.dumps(found), "utf-8")


def write_outputs(artifact: Path, reference: Path, target: Path) -> dict[str, Any]:
    """Writes all outputs; gives case -> `outputs` (name -> file), `reference` and `error`.

    Raises:
      HubexportError: the artifact cannot be loaded, or nothing in the reference fits it.
    """
    opened = read_reference(reference)
    run = _loaded(artifact, opened)
    found: dict[str, Any] = {}
    for number, case in enumerate(opened.cases.values()):
        try:
            result = run(case)
        except Exception as error:  # whatever the artifact does
            found[case.name] = {"outputs": {}, "reference": {}, "error": in_a_line(error)}
            continue
        if result is None:
            continue
        outputs, distances = result
        files = {
            name: _write(value, target / f"{number}-{i}")
            for i, (name, value) in enumerate(outputs.items())
        }
        found[case.name] = {
            "outputs": files,
            "reference": {name: dataclasses.asdict(each) for name, each in distances.items()},
            "error": None,
        }
    return {"cases": found}


_Result = tuple[Arrays, dict[str, Distance]]
_Run = Callable[[Case], _Result | None]
"""Outputs of a case, and how far they are from the reference; None where it does not apply."""


def _loaded(artifact: Path, reference: Reference) -> _Run:
    summary = read_saved_model(artifact)
    try:
        if _takes(summary.signatures, ENCODER_INPUTS):
            return _encoder(artifact, reference)
        if {"tokenize", "bert_pack_inputs"} <= {part.name for part in summary.sub_objects}:
            return _preprocessor(artifact)
        return _pipeline(artifact)
    except HubexportError:
        raise
    except Exception as error:  # whatever TensorFlow says of the files
        raise HubexportError(
            "the artifact cannot be loaded",
            [("SavedModel", str(artifact)), ("found", in_a_line(error))],
            "leave --reference out, or export it again.",
        ) from error


def _takes(signatures: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any({*names} <= each.inputs.keys() for each in signatures.values())


def _encoder(artifact: Path, reference: Reference) -> _Run:
    device = connect("cpu")
    context = Context(
        artifact, None, find_record(artifact), None, reference, None, device, device.precisions[0]
    )
    encoder = context.encoder

    def run(case: Case) -> _Result | None:
        if not context.fits(case):
            return None
        outputs = encoder(case.inputs)
        distances = {}
        means = defined(context, case)
        for name, load in expected_outputs(context, case).items():
            actual, wanted = outputs.get(name), load()
            if actual is None or actual.shape != wanted.shape:
                continue
            if along_sequence(name):
                actual, wanted = actual[means], wanted[means]
            distances[name] = array_distance(wanted, actual)
        return outputs, distances

    return run


def _preprocessor(artifact: Path) -> _Run:
    import tensorflow as tf

    importlib.import_module("tensorflow_text")  # registers the ops
    loaded = tf.saved_model.load(str(artifact))

    def run(case: Case) -> _Result | None:
        if not (columns := _columns(case)):
            return None
        segments = [loaded.tokenize(tf.constant(column)) for column in columns]
        packed = loaded.bert_pack_inputs(segments, seq_length=case.shape[1])
        outputs = flatten(packed)
        # In the inputs of a case with hidden pieces, the mask is; not so in its texts.
        wanted = {} if case.masked_lm_ids is not None else case.inputs
        distances = {
            name: array_distance(wanted[name], value)
            for name, value in outputs.items()
            if name in wanted and wanted[name].shape == value.shape
        }
        return outputs, distances

    return run


def _pipeline(artifact: Path) -> _Run:
    import tensorflow as tf

    plan = make_plan(artifact)
    for module in plan.imports:
        importlib.import_module(module)
    signature = tf.saved_model.load(str(artifact)).signatures[DEFAULT_SIGNATURE]

    def run(case: Case) -> _Result | None:
        columns = _columns(case)
        if len(columns) != len(plan.columns):
            return None
        texts = {
            name: tf.constant(column) for name, column in zip(plan.columns, columns, strict=True)
        }
        return flatten(signature(**texts)), {}

    return run


def _columns(case: Case) -> list[list[str]]:
    """The texts of a case: of one segment, or of two; none where it is of ids, or of both."""
    rows = case.texts or []
    counts = {len(row) for row in rows}
    if counts not in ({len(ONE_TEXT)}, {len(TWO_TEXTS)}):
        return []
    return [list(column) for column in zip(*rows, strict=True)]


def _write(value: np.ndarray, path: Path) -> str:
    if value.dtype.kind in "OSU":
        rows = np.frompyfunc(_text, 1, 1)(value)
        file = path.with_suffix(".json")
        file.write_text(json.dumps(np.asarray(rows, object).tolist()), "utf-8")
        return file.name
    file = path.with_suffix(".npy")
    # NumPy's files know no bfloat16.
    np.save(file, value.astype(np.float32) if value.dtype.name == "bfloat16" else value)
    return file.name


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    with lean_tensorflow():
        main(sys.argv[1:])
