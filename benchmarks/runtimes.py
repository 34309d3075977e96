"""An encoder in other runtimes: size, largest differences of outputs, and speed.

    python benchmarks/runtimes.py MODEL --threads=1   # config.json, vocab.txt, weights are in MODEL

All run in one process, in turn; speeds are relative to TensorFlow's. docs/runtimes.md has the
figures. More threads than idle cores say little: runtimes wait for their threads differently.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_text  # noqa: E402, F401
from interleaving import Task, in_turn, ratio  # noqa: E402
from processes import machine  # noqa: E402

import hubexport  # noqa: E402
from examples.similar_sentences import SENTENCES  # noqa: E402
from tests.runtimes.converters import RUNTIMES, Run, Tensors  # noqa: E402

SIGNATURE = "serving_default"
TEXTS = [*SENTENCES, "The goalkeeper saved two penalties in the final."]
"""Those that the figures of docs/runtimes.md are of."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """What `interleaving.in_turn` times, here in this process."""

    function: Run
    vocab_size: int

    def run(self, task: Task, runs: int) -> list[float]:
        """Seconds of each run, on random ids without padding."""
        ids = np.random.default_rng(0).integers(0, self.vocab_size, (task.rows, task.tokens))
        inputs = {
            "input_word_ids": ids.astype(np.int32),
            "input_mask": np.ones(ids.shape, np.int32),
            "input_type_ids": np.zeros(ids.shape, np.int32),
        }
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            self.function(inputs)
            seconds.append(time.perf_counter() - start)
        return seconds


def in_tensorflow(artifact: Path) -> Run:
    function = tf.saved_model.load(str(artifact)).signatures[SIGNATURE]

    def run(inputs: Tensors) -> Tensors:
        outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def size(path: Path) -> float:
    """MiB of a file and of those beside it that belong to it, or of a directory's files."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        report(Path(directory), **vars(arguments))


def report(work: Path, *, model: Path, threads: int, turns: int, seconds: float) -> None:
    artifact, vocabulary = work / "encoder", model / "vocab.txt"
    record = hubexport.export_encoder(checkpoint=model, export_path=artifact)
    hubexport.export_preprocessor(vocab_file=vocabulary, export_path=work / "preprocessor")
    preprocess = tf.saved_model.load(str(work / "preprocessor"))
    sentences = {name: value.numpy() for name, value in preprocess(TEXTS).items()}

    runs, sizes = {"TensorFlow": in_tensorflow(artifact)}, {"TensorFlow": size(artifact)}
    for name, how in RUNTIMES.items():
        path = work / name.replace(" ", "-").replace(",", "") / f"encoder{how.suffix}"
        path.parent.mkdir()
        how.convert(artifact, SIGNATURE, path)
        runs[name], sizes[name] = how.load(path, SIGNATURE, threads=threads), size(path)

    is_token = sentences["input_mask"].astype(bool)

    def of_sentences(run: Run) -> Tensors:
        """Outputs, of padding none."""
        outputs = run(sentences)
        return {**outputs, "sequence_output": outputs["sequence_output"][is_token]}

    expected = of_sentences(runs["TensorFlow"])
    for name, run in runs.items():
        outputs = of_sentences(run)
        largest = {key: f"{np.max(np.abs(outputs[key] - v)):.1e}" for key, v in expected.items()}
        vectors, same = outputs["default"], expected["default"]
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(same, axis=1)
        cosine = np.min(np.sum(vectors * same, axis=1) / norms)
        print(f"{name}: {sizes[name]:.1f} MiB, {largest}, smallest cosine {cosine:.5f}")

    vocab_size = record["architecture"]["vocab_size"]
    contenders = {name: Contender(run, vocab_size) for name, run in runs.items()}
    tasks = [Task("signature", *shape) for shape in ((1, 32), (1, 128), (8, 128))]
    print(f"\n{machine()}; {threads} thread(s); medians of {turns} turns")
    rows = {name: f"| {name} |" for name in runs}
    for task in tasks:
        timings = in_turn(contenders, task, turns, seconds)  # type: ignore[arg-type]
        for name, timing in timings.items():
            low, middle, high = ratio(timing, timings["TensorFlow"])
            rows[name] += f" {timing.median * 1e3:.1f} ms, {middle:.2f} ({low:.2f} to {high:.2f}) |"
    print("| | " + " | ".join(f"{task.rows} x {task.tokens}" for task in tasks) + " |")
    print("\n".join(rows.values()))


if __name__ == "__main__":
    main()
