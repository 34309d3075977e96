"""What the tests of the PJRT runtime share."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.saved_model.record import load_record
from hubexport.validation.cases import Case, random_cases
from hubexport.validation.context import Context
from hubexport.validation.devices import connect
from hubexport.validation.reference_file import (
    Provenance,
    layer_name,
    read_reference,
    write_reference,
)

ROOT = Path(__file__).parents[3]
VOCABULARY, POSITIONS, TYPES = 50, 12, 3  # of tests.oracles.hugging_face
_CASES = ("plain", "segments", "ragged")  # of two shapes: compiling takes long
# Unoptimized, which takes half the time to compile.
_XLA_FLAGS = "--xla_backend_optimization_level=0"


@dataclasses.dataclass(frozen=True)
class Exported:
    """An artifact, and what a validation of it has.

    Attributes:
      artifact: the SavedModel.
      context: loaded with the reference.
      outputs: case -> output -> what transformers computes, layers by their own names.
    """

    artifact: Path
    context: Context
    outputs: Mapping[str, Mapping[str, np.ndarray]]


def some_cases() -> list[Case]:
    """Cases for the small model."""
    cases = random_cases(VOCABULARY, POSITIONS, TYPES)
    return [case for case in cases if case.name in _CASES]


def flat(outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """An oracle's outputs under the names of a reference file."""
    named = {name: value for name, value in outputs.items() if name != "encoder_outputs"}
    return named | {layer_name(i): each for i, each in enumerate(outputs["encoder_outputs"])}


def make_context(
    artifact: Path,
    cases: Iterable[Case],
    outputs: Mapping[str, Mapping[str, np.ndarray]] | None,
    dtype: str | None = None,
) -> Context:
    """A validation of an artifact, with a reference file beside it if there are outputs.

    It is judged by the limits of `dtype` where one is given, and not of what its graph says.
    """
    record = load_record(artifact)
    reference = None
    if outputs is not None:
        # Never in the place of one that another context still reads.
        path = Path(tempfile.mkdtemp(dir=artifact.parent), "reference")
        provenance = Provenance("file", "the tests' oracle", [], record["architecture"])
        write_reference(path, provenance, list(cases), outputs)
        reference = read_reference(path)
    device = connect("cpu")
    context = Context(artifact, None, record, None, reference, None, device, device.precisions[0])
    if dtype is not None:
        context.__dict__["dtype"] = dtype
    return context


def one_case(exported: Exported) -> Context:
    """A validation of the first case alone, whose programs are a part of all cases'."""
    (case,) = some_cases()[:1]
    context = make_context(exported.artifact, [case], {case.name: exported.outputs[case.name]})
    context.__dict__["encoder"] = exported.context.encoder
    return context


def run_python(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the runner, or some code, in a process of its own, on the CPU."""
    command = ["-c", code] if code is not None else ["-m", "hubexport.validation.pjrt"]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": _XLA_FLAGS},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
