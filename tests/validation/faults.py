"""Faults planted in exported encoders, and which gates find what."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from hubexport.checkpoints.source import read_region
from hubexport.checkpoints.tensorflow import OBJECT_GRAPH_KEY, VALUE_SUFFIX, read_object_graph
from hubexport.saved_model.record import source_file
from hubexport.tf_formats.bundle import BundleWriter, read_bundle
from hubexport.validation.artifact import LoadedEncoder
from hubexport.validation.context import Context
from hubexport.validation.report import Report
from hubexport.validation.results import FAILED
from hubexport.validation.runner import Request, run_gates

Values = dict[str, np.ndarray]

FAST = ("integrity", "interface", "numerics", "batch", "determinism")
"""Gates that need no process of their own and little time."""

ON_VALUES = ("integrity", "numerics", "batch", "determinism")
"""Those of them that look at numbers."""

_NOTHING = Report({}, "tensorflow", "cpu", "", {}, None, "", ())


def validated(artifact: Path, reference: Path | None, gates: Iterable[str] = FAST) -> Report:
    """The gates' report on an encoder."""
    path = None if reference is None else str(reference)
    return run_gates(Request(saved_model=str(artifact), reference=path, only=list(gates)))


def judged(context: Context, *gates: ModuleType) -> Report:
    """The report of gates on what a context has loaded, changed as it may be."""
    return dataclasses.replace(_NOTHING, gates=tuple(gate.run(context) for gate in gates))


@contextlib.contextmanager
def changed_values(encoder: LoadedEncoder, change: Callable[[Values], object]) -> Iterator[None]:
    """Other values in a loaded encoder's variables, for the time being.

    Args:
      change: is given the variables by name, and changes them in place.
    """
    variables = {
        variable.name.removesuffix(":0"): variable
        for part in ("", *encoder.heads)
        for variable in encoder.part(part).variables
    }
    before = {name: variable.numpy() for name, variable in variables.items()}
    values = {name: value.copy() for name, value in before.items()}
    change(values)
    changed = [name for name in before if not np.array_equal(before[name], values[name])]
    assert changed
    try:
        for name in changed:
            variables[name].assign(values[name])
        yield
    finally:
        for name in changed:
            variables[name].assign(before[name])


def failing(report: Report) -> set[str]:
    """Names of the gates that failed."""
    return {gate.name for gate in report.gates if gate.status == FAILED}


def failures(report: Report, gate: str) -> str:
    """What failed in a gate, and its detail, as one text."""
    found = next(each for each in report.gates if each.name == gate)
    return "\n".join([*(each.what for each in found.failures), found.detail])


def with_values(clean: Path, target: Path, change: Callable[[Values], object]) -> Path:
    """A copy of an artifact whose variables are changed, with right checksums.

    Args:
      change: is given the variables by name, and changes them in place.
    """
    shutil.copytree(clean, target)
    shutil.rmtree(target / "variables")
    entries = read_bundle(clean / "variables" / "variables")
    keys = {
        attribute.checkpoint_key: attribute.full_name
        for node in read_object_graph(entries[OBJECT_GRAPH_KEY]).nodes
        for attribute in node.attributes
        if attribute.checkpoint_key.endswith(VALUE_SUFFIX)
    }
    raw = {
        key: b"".join(
            bytes(piece) for piece in read_region(entry.path, entry.offset, entry.nbytes, None, key)
        )
        for key, entry in entries.items()
    }
    values = {
        keys[key]: np.frombuffer(raw[key], entry.dtype).reshape(entry.shape).copy()
        for key, entry in entries.items()
        if entry.dtype == "float32"
    }
    before = {name: value.copy() for name, value in values.items()}
    change(values)
    assert any(not np.array_equal(before[n], values[n], equal_nan=True) for n in before)
    (target / "variables").mkdir()
    with BundleWriter(target / "variables" / "variables") as writer:
        for key, entry in entries.items():
            if entry.dtype == "float32":
                value = np.ascontiguousarray(values[keys[key]])
                assert value.shape == entry.shape
                writer.add(key, "float32", value.shape, [memoryview(value).cast("B")])
            else:
                writer.copy(entry, [memoryview(raw[key])])
    return target


def with_graph(clean: Path, target: Path, change: Callable[..., object]) -> Path:
    """A copy whose graph is changed, and whose record tells of the changed one.

    Args:
      change: is given the SavedModel message, and changes it in place.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(clean, target)
    path = target / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    record_path = target / "assets.extra" / "hubexport.json"
    record = json.loads(record_path.read_text())
    record["saved_model"]["program"] = source_file(path)
    record_path.write_text(json.dumps(record))
    return target
