"""What the graph of a preprocessor must not have, read without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hubexport.errors import HubexportError, some_of
from hubexport.saved_model.graph import paths_in_constants
from hubexport.saved_model.ops import UNKNOWN
from hubexport.saved_model.reading import read_saved_model
from hubexport.validation.results import Measurement

ANY_CPU = re.compile(r"/(device:)?CPU:(\d+|\*)", re.IGNORECASE)
_COUNTER = "save_counter"


def graph_measurements(directory: Path) -> Iterator[Measurement]:
    """Assert nodes, devices, variables, foreign ops and paths; no more than four of a kind shown.

    - TPU workers cannot run Assert nodes inside `Dataset.map`.
    - Nodes pinned to a device need that device. Every machine has a CPU, and published
      preprocessors keep their tables there: "the CPU" is allowed, a job or a task is not.
    - A variable would be trained, or have to be there where `Dataset.map` runs. Keras' and
      `tf.train.Checkpoint`'s own counter of saves is in no function and does not count.
    - A path that is a constant is read on the machine of whoever loads the artifact.
    """
    try:
        summary = read_saved_model(directory)
    except HubexportError as error:
        yield Measurement("graph: saved_model.pb", False, str(error).splitlines()[0], "readable")
        return
    asserts = summary.ops.get("Assert", 0)
    yield Measurement("graph: Assert nodes", not asserts, asserts, 0)
    devices = [name for name in summary.devices if not ANY_CPU.fullmatch(name)]
    yield _none("graph: devices that nodes are pinned to", devices)
    variables = [each.name for each in summary.variables if each.name != _COUNTER]
    yield _none("graph: variables", variables)
    yield _none("graph: ops of unknown packages", summary.packages.get(UNKNOWN, []))
    yield _none("graph: constants that are paths", paths_in_constants(directory))


def _none(what: str, found: list[str]) -> Measurement:
    return Measurement(what, not found, some_of(found, 4) or 0, 0)
