"""What two SavedModels offer and how they compute it: signatures, objects, ops, functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubexport.checkpoints.source import read_region
from hubexport.checkpoints.tensorflow import OBJECT_GRAPH_KEY
from hubexport.comparison.changes import CHANGED, Change, changes
from hubexport.comparison.functions import function_changes
from hubexport.errors import CheckpointError
from hubexport.saved_model.reading import PB, SavedModelSummary, read_message, serving_graph
from hubexport.tf_formats.bundle import read_bundle

_ELSEWHERE = ("assets", "num_variables")
"""What a summary says, too, and other parts of the comparison do."""

_BEYOND = "the bytes differ in what is not compared one by one: names, order, notes of TensorFlow's"


def program_changes(a: SavedModelSummary, b: SavedModelSummary) -> tuple[Change, ...]:
    """Every difference between the graphs of two SavedModels and the objects around them.

    Where nothing is found, but the files are not the same, that is the difference.
    """
    # Values of scalars, which objects have, are variables': the graphs may be the same.
    found = (*changes(_compared(a), _compared(b)), *_of_objects(a.directory, b.directory))
    if (a.directory / PB).read_bytes() == (b.directory / PB).read_bytes():
        return found
    graphs = (serving_graph(read_message(each.directory), each.directory) for each in (a, b))
    found += function_changes(*(graph.graph_def for graph in graphs))
    return found or (Change(PB, CHANGED, detail=_BEYOND),)


def _compared(summary: SavedModelSummary) -> dict[str, Any]:
    return {name: each for name, each in summary.record().items() if name not in _ELSEWHERE}


def _of_objects(a: Path, b: Path) -> tuple[Change, ...]:
    """Whether the same keys belong to other objects: TensorFlow restores variables by these."""
    entries = [_entries(directory) for directory in (a, b)]
    if entries[0].keys() != entries[1].keys() or OBJECT_GRAPH_KEY not in entries[0]:
        return ()
    one, other = (
        b"".join(
            bytes(piece)
            for piece in read_region(each.path, each.offset, each.nbytes, None, each.name)
        )
        for each in (entry[OBJECT_GRAPH_KEY] for entry in entries)
    )
    if one == other:
        return ()
    detail = "the same variables belong to other objects, or objects have other names"
    return (Change("objects_of_variables", CHANGED, detail=detail),)


def _entries(directory: Path) -> dict[str, Any]:
    try:
        return read_bundle(directory / "variables" / "variables")
    except CheckpointError:  # none: there are no variables
        return {}
