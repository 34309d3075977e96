"""How many sequences an encoder takes in a second: measured, for pages and plots, never judged.

python -m hubexport.validation.throughput SAVED_MODEL DEVICE     prints one measurement as JSON
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.children import run_python
from hubexport.errors import HubexportError
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.saved_model.record import find_record, load_record, replace_record
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.report import now
from hubexport.version import __version__

BATCH_SIZE, SEQUENCE_LENGTH = 8, 128
_WARM_UP, _RUNS, _SECONDS = 2, 5, 3.0
"""At least so many runs, and for at least so long."""
_KEY = ("device", "hardware", "batch_size", "sequence_length")


def measure_throughput(saved_model: Path, device: str = "cpu") -> dict[str, Any]:
    """Runs the encoder on full sequences, in a process of its own.

    Returns:
      `sequences_per_second` (of the median run), `fastest` and `slowest` (of single runs), `runs`,
      `batch_size`, `sequence_length` (tokens, no padding), `device`, `hardware`, `versions`,
      `created`.

    Raises:
      HubexportError: it cannot be run.
    """
    done = run_python(["-m", __name__, str(saved_model), device])
    if done.status:
        lines = done.last_lines(1)
        raise HubexportError(
            "the throughput cannot be measured",
            [("artifact", str(saved_model)), ("found", lines[-1] if lines else "no message")],
            "see whether `hubexport validate --gates=interface` passes.",
        )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def add_throughput(directory: Path, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Writes a measurement into the record; an older one of the same kind is replaced.

    Raises:
      HubexportError: the artifact has no record.
    """
    record = load_record(directory)
    kept = [each for each in record.get("throughput", []) if _key(each) != _key(measured)]
    record["throughput"] = [*kept, dict(measured)]
    return replace_record(directory, record)


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in _KEY)


def main(arguments: Sequence[str]) -> None:
    """Measures, in the process that was started for it."""
    import numpy as np

    from hubexport.saved_model.reading import read_saved_model
    from hubexport.validation.artifact import LoadedEncoder
    from hubexport.validation.devices import connect
    from hubexport.validation.sizes import fitting, sizes_of

    saved_model = Path(arguments[0])
    device = connect(arguments[1])
    encoder = LoadedEncoder(saved_model, device)
    sizes = sizes_of(find_record(saved_model), read_saved_model(saved_model), None)
    length = fitting(SEQUENCE_LENGTH, sizes)
    ids = np.random.default_rng(0).integers(0, sizes["vocab_size"], [BATCH_SIZE, length])
    values = (ids, np.ones_like(ids), np.zeros_like(ids))
    inputs = {
        name: each.astype(np.int32) for name, each in zip(ENCODER_INPUTS, values, strict=True)
    }
    seconds: list[float] = []
    for run in range(-_WARM_UP, sys.maxsize):
        start = time.perf_counter()
        encoder.call("", inputs)["pooled_output"].numpy()
        if run >= 0:
            seconds.append(time.perf_counter() - start)
        if len(seconds) >= _RUNS and sum(seconds) >= _SECONDS:
            break
    import tensorflow as tf

    rates = [BATCH_SIZE / each for each in seconds]
    measured = {
        "device": device.name,
        "hardware": device.hardware,
        "batch_size": BATCH_SIZE,
        "sequence_length": length,
        "sequences_per_second": round(statistics.median(rates), 2),
        "fastest": round(max(rates), 2),
        "slowest": round(min(rates), 2),
        "runs": len(rates),
        "versions": {"tensorflow": tf.__version__, "hubexport": __version__},
        "created": now(),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    with lean_tensorflow():
        main(sys.argv[1:])
