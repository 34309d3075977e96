"""How many sequences an encoder takes in a second: measured, for pages and plots, never judged.

python -m hubexport.validation.throughput SAVED_MODEL DEVICE [SECONDS]

prints a line of JSON for each batch: one without padding, and batches whose rows are as long as
texts are. Those tell what a user gets: TF-Hub's preprocessors pad every text to the same length.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubexport.children import run_python
from hubexport.errors import HubexportError
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.progress import steps_bar
from hubexport.saved_model.record import find_record, load_record, replace_record
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.report import now
from hubexport.version import __version__

SEQUENCE_LENGTH = 128
"""What TF-Hub's preprocessors pad to, unless told otherwise."""

# Tokens per text, [CLS] and [SEP] included: the English part of XQuAD (its 1,190 questions, 1,236
# sentences and 240 paragraphs) in the pieces of BERT's uncased vocabulary. Each list holds the
# middle of every 32nd part of all lengths in order, so that its mean is that of all texts.
_QUESTIONS = (
    8, 9, 10, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 13, 14, 14,
    14, 15, 15, 15, 15, 16, 16, 16, 17, 17, 18, 19, 19, 20, 22, 25,
)  # fmt: skip
_SENTENCES = (
    7, 11, 13, 16, 17, 19, 20, 21, 22, 23, 24, 26, 27, 27, 28, 30,
    31, 33, 34, 35, 36, 38, 39, 41, 43, 45, 47, 50, 53, 58, 67, 86,
)  # fmt: skip
_PARAGRAPHS = (
    41, 79, 98, 101, 105, 110, 114, 119, 123, 127, 128, 131, 134, 139, 142, 144,
    149, 154, 157, 161, 164, 169, 178, 186, 192, 203, 210, 228, 243, 258, 285, 350,
)  # fmt: skip
_MEDIAN_QUESTION = 14


@dataclass(frozen=True)
class _Batch:
    """What is run: `lengths` has the tokens of each row, before it is cut.

    `texts` names the kind of texts that are so long; "" for rows without padding.
    """

    texts: str
    lengths: tuple[int, ...]


BATCHES = (
    _Batch("", (SEQUENCE_LENGTH,) * 8),
    _Batch("questions", (_MEDIAN_QUESTION,)),  # how long one user waits
    _Batch("questions", _QUESTIONS),
    _Batch("sentences", _SENTENCES),
    _Batch("paragraphs", _PARAGRAPHS),
)
_WARM_UP, _RUNS, _SECONDS = 2, 3, 3.0
"""At least so many runs, and for at least so long."""
_KEY = ("device", "hardware", "batch_size", "sequence_length", "texts")


def measure_throughput(
    saved_model: Path, device: str = "cpu", *, show_progress: bool = False
) -> list[dict[str, Any]]:
    """Runs the encoder on each of `BATCHES`, in a process of its own.

    Returns:
      for each batch `sequences_per_second` (of the median run), `fastest` and `slowest` (of single
      runs), `runs`, `batch_size`, `sequence_length` (padding included), `device`, `hardware`,
      `versions`, `created`; where rows are padded, `texts` (the kind of texts that are so long)
      and `tokens_per_text` (the mean, without padding).

    Raises:
      HubexportError: it cannot be run.
    """
    with steps_bar("throughput", len(BATCHES), show=show_progress) as advance:
        done = run_python(
            ["-m", __name__, str(saved_model), device, str(_SECONDS)],
            each_line=lambda line: advance(),
        )
    if done.status:
        lines = done.last_lines(1)
        raise HubexportError(
            "the throughput cannot be measured",
            [("artifact", str(saved_model)), ("found", lines[-1] if lines else "no message")],
            "see whether `hubexport validate --gates=interface` passes.",
        )
    return [json.loads(line) for line in done.stdout.splitlines()[-len(BATCHES) :]]


def add_throughput(directory: Path, measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Writes measurements into the record; older ones of the same kinds are replaced.

    Raises:
      HubexportError: the artifact has no record.
    """
    record = load_record(directory)
    new = {_key(each) for each in measured}
    kept = [each for each in record.get("throughput", []) if _key(each) not in new]
    record["throughput"] = [*kept, *map(dict, measured)]
    return replace_record(directory, record)


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in _KEY)


def main(arguments: Sequence[str]) -> None:
    """Measures, in the process that was started for it."""
    import numpy as np
    import tensorflow as tf

    from hubexport.saved_model.reading import read_saved_model
    from hubexport.validation.artifact import LoadedEncoder
    from hubexport.validation.devices import connect
    from hubexport.validation.sizes import fitting, sizes_of

    saved_model = Path(arguments[0])
    device = connect(arguments[1])
    seconds = float(arguments[2]) if len(arguments) > 2 else _SECONDS
    encoder = LoadedEncoder(saved_model, device)
    record = find_record(saved_model) or {}
    sizes = sizes_of(record or None, read_saved_model(saved_model), None)
    padding = int(record.get("architecture", {}).get("pad_token_id") or 0)
    length = fitting(SEQUENCE_LENGTH, sizes)

    @tf.function
    def pooled(inputs: Mapping[str, Any]) -> Any:
        """As in a user's model: outputs that nobody reads are not computed."""
        return encoder.with_rows("", inputs, device.run)["pooled_output"]

    for batch in BATCHES:
        shape = (len(batch.lengths), length)
        tokens = np.minimum(batch.lengths, length)
        mask = np.arange(length) < tokens[:, np.newaxis]
        ids = np.random.default_rng(0).integers(0, sizes["vocab_size"], shape)
        values = (np.where(mask, ids, padding), mask, np.zeros(shape))
        inputs = {
            name: tf.constant(value.astype(np.int32))
            for name, value in zip(ENCODER_INPUTS, values, strict=True)
        }
        rates = [shape[0] / each for each in _timed(pooled, inputs, seconds)]
        measured = {
            "device": device.name,
            "hardware": device.hardware,
            "batch_size": shape[0],
            "sequence_length": length,
            "sequences_per_second": round(statistics.median(rates), 2),
            "fastest": round(max(rates), 2),
            "slowest": round(min(rates), 2),
            "runs": len(rates),
            "versions": {"tensorflow": tf.__version__, "hubexport": __version__},
            "created": now(),
        }
        if batch.texts:
            measured["texts"] = batch.texts
            measured["tokens_per_text"] = round(float(tokens.mean()), 1)
        print(json.dumps(measured), flush=True)


def _timed(run: Callable[[Any], Any], inputs: Any, enough: float) -> list[float]:
    """The seconds of each run, all its values being there at the end."""
    seconds: list[float] = []
    for _ in range(_WARM_UP):
        run(inputs).numpy()
    while len(seconds) < _RUNS or sum(seconds) < enough:
        start = time.perf_counter()
        run(inputs).numpy()
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    with lean_tensorflow():
        main(sys.argv[1:])
