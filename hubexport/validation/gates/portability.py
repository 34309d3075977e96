"""It works elsewhere: in a fresh process, inside another model, compiled, on another machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from hubexport.children import run_python
from hubexport.errors import some_of
from hubexport.saved_model.ops import CORE, UNKNOWN
from hubexport.validation import programs
from hubexport.validation.artifact import Outputs, flatten
from hubexport.validation.cases import Tensors, encoder_inputs
from hubexport.validation.context import Context
from hubexport.validation.figures import compare
from hubexport.validation.gates.text.graph import ANY_CPU
from hubexport.validation.results import GateResult, Measurement, failure, judge
from hubexport.validation.tolerance import Tolerance

NAME = "portability"
SUMMARY = "fresh process, re-export, XLA, no devices, Assert or Python in the graph"
NEEDS = ("encoder",)
LOADED = False
APART = True
EACH_PRECISION = False

_PROGRAM = Path(programs.__file__).with_name("user.py")
_TO_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
_COMPILED_SHAPE = (2, 16)


def run(context: Context) -> GateResult:
    """Looks at the graph, then loads, re-exports, loads that, and compiles."""
    measurements: list[Measurement] = []
    for check in (graph_measurements, _elsewhere, _compiled):
        try:
            measurements += check(context)
        except Exception as error:  # whatever the artifact does
            measurements.append(failure(check.__name__.strip("_").replace("_", " "), error))
    s = context.summary
    detail = (
        f"Written by TensorFlow {s.tensorflow_version} (graph version {s.producer}); a TensorFlow "
        f"of graph version {s.min_consumer} (min_consumer) or newer may read it."
    )
    return judge(NAME, measurements, detail)


def graph_measurements(context: Context) -> Iterator[Measurement]:
    """What the graph must not have, read without running it."""
    summary = context.summary
    devices = some_of(name for name in summary.devices if not ANY_CPU.fullmatch(name))
    yield Measurement("devices that nodes are pinned to", not devices, devices or 0, 0)
    asserts = summary.ops.get("Assert", 0)
    yield Measurement("Assert nodes", not asserts, asserts, 0)
    python = [op for op in _TO_PYTHON if op in summary.ops]
    yield Measurement("ops that call Python", not python, ", ".join(python) or 0, 0)
    packages = summary.packages
    unknown = packages.get(UNKNOWN, [])
    yield Measurement("ops of unknown packages", not unknown, some_of(unknown) or 0, 0)
    # An encoder that needs an import beside TensorFlow fails where nobody thinks of it.
    others = [package for package in packages if package not in (CORE, UNKNOWN)]
    yield Measurement("packages beside TensorFlow", not others, ", ".join(others) or 0, 0)


def _elsewhere(context: Context) -> Iterator[Measurement]:
    """A program without hubexport loads a copy and re-exports it; another one loads that."""
    assert context.saved_model is not None
    case = context.case("ragged")
    copy, re_exported = context.scratch / "copy", context.scratch / "re_exported"
    _link(context.saved_model, copy)
    elsewhere = _run_program(context, copy, case.inputs, re_exported)
    shutil.rmtree(copy)  # what the other model was made from is gone
    inside = _run_program(context, re_exported, case.inputs)
    shutil.rmtree(re_exported)
    # Loaded here only now, so that it is never in memory twice.
    here = flatten(context.encoder.call("", case.inputs))
    tolerance = context.tolerance(case.shape[1])
    yield from _same(tolerance, "fresh process", elsewhere, here)
    yield from _same(tolerance, "re-exported, original deleted", inside, here)


def _compiled(context: Context) -> Iterator[Measurement]:
    """XLA compiles it at a static shape, as TPUs need."""
    import tensorflow as tf

    case = context.case("ragged")
    rows, length = (min(a, b) for a, b in zip(case.shape, _COMPILED_SHAPE, strict=True))
    inputs = {
        key: value[1 : rows + 1, :length] for key, value in encoder_inputs(case.inputs).items()
    }
    function = tf.function(lambda x: context.encoder.root(x), autograph=False, jit_compile=True)
    tensors = {key: tf.constant(value, tf.int32) for key, value in inputs.items()}
    compiled = flatten(context.device.run(function, tensors))
    plain = flatten(context.encoder.call("", inputs))
    tolerance = context.tolerance(length, compiled=True)
    yield from _same(tolerance, f"compiled by XLA at [{rows}, {length}]", compiled, plain)


def _same(
    tolerance: Tolerance, what: str, actual: Outputs, expected: Outputs
) -> Iterator[Measurement]:
    for name, value in expected.items():
        if name not in actual or actual[name].shape != value.shape:
            found = f"shape {actual[name].shape}" if name in actual else "missing"
            yield Measurement(f"{what}: {name}", False, found, f"shape {value.shape}")
        else:
            figures = compare(actual[name], value)
            yield from tolerance.measure(f"{what}: {name}", name, figures)[:2]


def _run_program(
    context: Context, saved_model: Path, inputs: Tensors, re_export: Path | None = None
) -> Outputs:
    """Runs `programs/user.py`; its outputs.

    Raises:
      RuntimeError: it failed; the message is its last line.
    """
    inputs_file, outputs_file = context.scratch / "inputs.npz", context.scratch / "outputs.npz"
    np.savez(inputs_file, **encoder_inputs(inputs))  # type: ignore[arg-type]
    arguments = [str(_PROGRAM), str(saved_model), str(inputs_file), str(outputs_file)]
    arguments += [str(re_export)] if re_export else []
    done = run_python(arguments, _environment(context.device.name))
    if done.status:
        last = "".join(done.last_lines(1)).strip() or f"exit status {done.status}"
        raise RuntimeError(f"a program that loads it failed: {last}")
    with np.load(outputs_file, allow_pickle=False) as outputs:
        return dict(outputs)


def _environment(device: str) -> Mapping[str, str]:
    """This process's, without its accelerators where the CPU is what is validated."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **quiet, **({"CUDA_VISIBLE_DEVICES": "-1"} if device == "cpu" else {})}


def _link(source: Path, target: Path) -> None:
    """A directory of links to the files: a copy that can be deleted."""
    for root, _, files in os.walk(source):
        place = target / Path(root).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in files:
            (place / name).symlink_to(Path(root, name).absolute())
