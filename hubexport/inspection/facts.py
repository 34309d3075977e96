"""Facts about a checkpoint or a SavedModel, as plain values for JSON and for the text."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import open_checkpoint
from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.tensorflow import open_tensorflow
from hubexport.checkpoints.training_state import training_state
from hubexport.errors import CheckpointError, HubexportError
from hubexport.families.dimensions import dimensions, dimensions_of_variables, layout_name
from hubexport.inspection.model import find_model
from hubexport.saved_model.ops import IMPORTS
from hubexport.saved_model.reading import PB, is_saved_model, read_saved_model
from hubexport.saved_model.record import RECORD_PATH, load_record


def facts_about(path: Path) -> dict[str, Any]:
    """What is at a path that is not an archive.

    Args:
      path: a SavedModel's directory or its saved_model.pb, or what `open_checkpoint` takes.

    Returns:
      A dict fit for JSON; its `kind` is "saved_model" or "checkpoint". Both have `architecture`
      (fields of `Dimensions`, or None) and `tensors`, a list of {"name", "dtype", "shape"}.

    Raises:
      HubexportError: nothing there, or it cannot be read.
    """
    if path.name == PB and path.is_file():
        path = path.parent
    return _saved_model(path) if is_saved_model(path) else _checkpoint(open_checkpoint(path))


def _checkpoint(source: TensorSource) -> dict[str, Any]:
    by_name = training_state(source)
    state = {
        name: by_name.get(name, f"not floating-point ({tensor.dtype})")
        for name, tensor in source.tensors.items()
        if name in by_name or "float" not in tensor.dtype
    }
    sizes = dimensions(source)
    finding = find_model(source, sizes, state)
    variables = source.variable_names()
    groups: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for name, kind in state.items():
        groups[kind].update(tensors=1, values=source.tensors[name].size)
    dtypes: collections.Counter[str] = collections.Counter()
    for name, tensor in source.tensors.items():
        if name not in state:
            dtypes[tensor.dtype] += tensor.size
    return {
        "kind": "checkpoint",
        "path": str(source.path),
        "format": source.format,
        "naming": source.layout,
        "layout": layout_name(source),
        "files": [{"name": file.name, "bytes": _nbytes(file)} for file in source.files],
        "saved_model": _around(source),
        **finding.record(),
        "architecture": sizes and dataclasses.asdict(sizes),
        "disagreements": finding.disagreements(sizes),
        "parameters": {
            "count": dtypes.total(),
            "tensors": len(source.tensors) - len(state),
            "by_dtype": dict(dtypes),
        },
        "not_parameters": {kind: dict(counts) for kind, counts in groups.items()},
        "tensors": [
            {
                "name": tensor.name,
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "state": state.get(tensor.name),
                "variable": variables.get(tensor.name),
            }
            for tensor in source.tensors.values()
        ],
    }


def _saved_model(directory: Path) -> dict[str, Any]:
    summary = read_saved_model(directory)
    shapes: Mapping[str, tuple[int, ...]] = {
        variable.name: tuple(dim or 0 for dim in variable.shape) for variable in summary.variables
    }
    sizes = dimensions_of_variables(shapes)
    return {
        "kind": "saved_model",
        "path": str(directory),
        **summary.record(),
        "imports": {
            package: IMPORTS[package] for package in summary.packages if package in IMPORTS
        },
        "files": _bundle_files(directory),
        "architecture": sizes and dataclasses.asdict(sizes),
        "parameters": {
            "count": summary.num_parameters,
            "tensors": sum(variable.trainable for variable in summary.variables),
        },
        "record": _record(directory),
        "tensors": [
            {
                "name": variable.name,
                "dtype": variable.dtype,
                "shape": list(variable.shape),
                "trainable": variable.trainable,
            }
            for variable in summary.variables
        ],
    }


def _around(source: TensorSource) -> str | None:
    """The SavedModel whose variables a checkpoint is."""
    above = source.path.absolute().parent.parent
    inside = source.path.name == source.path.absolute().parent.name == "variables"
    return str(above) if inside and is_saved_model(above) else None


def _bundle_files(directory: Path) -> list[dict[str, Any]]:
    try:
        files = open_tensorflow(directory / "variables" / "variables").files
    except CheckpointError:  # none, as in a SavedModel without variables, or a damaged one
        files = tuple(sorted((directory / "variables").glob("*")))
    return [{"name": file.name, "bytes": _nbytes(file)} for file in files]


def _record(directory: Path) -> dict[str, Any] | None:
    if not (directory / RECORD_PATH).exists():
        return None
    try:
        return load_record(directory)
    except HubexportError as error:
        return {"problem": error.problem}


def _nbytes(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
