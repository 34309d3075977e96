"""Texts to entities, answers and words for masks: pipelines against those of transformers.

    python benchmarks/answers.py MODEL TEXTS.json
    python benchmarks/answers.py MODEL TEXTS.json --task=question-answering \\
        --peer_python=ENV/bin/python

MODEL is a directory of transformers with the task's head; TEXTS.json has the form of SQuAD.
Contenders are processes, one of which computes at a time, and each is given all texts in one call:

- a pipeline of ours: sorted and batched in the graph, 32 at once
- transformers' pipeline on PyTorch: one text after the other, as it does by default
- the same, 32 at once

For question answering, --peer_python is that of an environment with transformers 4: release 5 has
no such pipeline.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from processes import Worker, machine, work

OURS, PEER, BATCHED = "pipeline", "transformers", "transformers, 32 at once"
BATCH = 32
LENGTHS = {"token-classification": 512, "question-answering": 384, "fill-mask": 512}
"""Tokens of a row, as transformers' pipelines have them by default."""
CLOSE = 1e-4
"""Largest difference of scores; other kernels round otherwise."""

Texts = Sequence[Sequence[str]]
Answer = Callable[[Texts], list[float]]
"""Texts, a list of each input -> the best score of each text, or 0 where it has none."""


def read_texts(path: Path, task: str, count: int, mask: str) -> list[list[str]]:
    """The inputs of a task."""
    import json
    import random

    articles = json.loads(path.read_text("utf-8"))["data"]
    paragraphs = [each for article in articles for each in article["paragraphs"]]
    pairs = [(qa["question"], each["context"]) for each in paragraphs for qa in each["qas"]]
    random.Random(0).shuffle(pairs)
    if task == "question-answering":
        return [[pair[i] for pair in pairs[:count]] for i in (0, 1)]
    sentences = sorted({s for _, context in pairs for s in context.split(". ") if " " in s})
    random.Random(0).shuffle(sentences)
    chosen = sentences[:count]
    if task == "fill-mask":
        chosen = [f"{text.rpartition(' ')[0]} {mask}." for text in chosen]
    return [chosen]


def ours(task: str, path: str) -> Answer:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops

    loaded = tf.saved_model.load(path)

    def answer(texts: Texts) -> list[float]:
        given = [tf.constant(each) for each in texts]
        scores = loaded(given if len(given) > 1 else given[0])["scores"].numpy()
        return [float(row.max()) if row.size else 0.0 for row in scores]

    return answer


def transformers_pipeline(task: str, model: str, batch: str) -> Answer:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model, model_max_length=LENGTHS[task])
    options = {"aggregation_strategy": "simple"} if task == "token-classification" else {}
    made = transformers.pipeline(
        task, model=model, tokenizer=tokenizer, device="cpu", batch_size=int(batch), **options
    )

    def answer(texts: Texts) -> list[float]:
        if task == "question-answering":
            found = made(question=list(texts[0]), context=list(texts[1]))
        else:
            found = made(list(texts[0]))
        return [_best(each) for each in found]

    return answer


def _best(found: Any) -> float:
    """Of what a pipeline of transformers gives for a text."""
    if isinstance(found, list):
        return max(map(_best, found), default=0.0)
    return float(found["score"])


def contender(name: str, arguments: Sequence[str]) -> None:
    """Answers each request: seconds, and the scores."""
    answer = (ours if name == OURS else transformers_pipeline)(*arguments)

    def timed(texts: Texts) -> list[Any]:
        started = time.perf_counter()
        scores = answer(texts)
        return [time.perf_counter() - started, scores]

    work(timed)


def main() -> None:
    if sys.argv[1:] and sys.argv[1].startswith("--contender="):
        contender(sys.argv[1].partition("=")[2], sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--task", choices=sorted(LENGTHS), default="token-classification")
    parser.add_argument("--mask", default="[MASK]", help="of fill-mask (default [MASK])")
    parser.add_argument("--peer_python", default=sys.executable, help="that runs transformers")
    parser.add_argument("--count", type=int, default=128, help="texts (default 128)")
    parser.add_argument("--turns", type=int, default=5, help="counted turns (default 5)")
    arguments = parser.parse_args()
    model, task = str(arguments.model.absolute()), arguments.task
    texts = read_texts(arguments.texts, task, arguments.count, arguments.mask)
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        path = f"{directory}/pipeline"
        subprocess.run(
            [sys.executable, "-m", "hubexport", "pipeline", f"--checkpoint={model}",
             f"--task={task}", f"--max_seq_length={LENGTHS[task]}", f"--export_path={path}"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        commands = {
            OURS: [sys.executable, __file__, f"--contender={OURS}", task, path],
            PEER: [arguments.peer_python, __file__, f"--contender={PEER}", task, model, "1"],
            BATCHED: [arguments.peer_python, __file__, f"--contender={PEER}", task, model,
                      str(BATCH)],
        }  # fmt: skip
        workers: dict[str, Worker] = {}
        try:
            workers |= {name: Worker(command) for name, command in commands.items()}
            check(workers, texts)
            found: dict[str, list[float]] = {name: [] for name in workers}
            for _ in range(arguments.turns):
                for name, process in workers.items():
                    found[name].append(process.ask(texts)[0])
        finally:
            for process in workers.values():
                process.close()
    print(f"{machine()}. {arguments.model.name}, {task}, {len(texts[0])} texts; texts per second "
          f"(x {PEER}, lowest to highest).\n")  # fmt: skip
    print(f"| {' | '.join(found)} |\n{'| --- ' * len(found)}|\n{row(found, len(texts[0]))}")


def check(workers: Mapping[str, Worker], texts: Texts) -> None:
    """Compares the scores.

    Raises:
      RuntimeError: a contender gives others than the peer.
    """
    scores = {name: process.ask(texts)[1] for name, process in workers.items()}
    for name, mine in scores.items():
        apart = max(abs(a - b) for a, b in zip(mine, scores[PEER], strict=True))
        if apart > CLOSE:
            raise RuntimeError(f"{name} gives other scores than {PEER}: {apart:.1e} apart")


def row(found: Mapping[str, Sequence[float]], count: int) -> str:
    """Of Markdown: texts per second, and how many times the peer's."""
    cells = []
    for seconds in found.values():
        times = sorted(b / a for a, b in zip(seconds, found[PEER], strict=True))
        speed = count / statistics.median(seconds)
        cells.append(
            f"{speed:,.0f} ({statistics.median(times):.2f}, {times[0]:.2f} to {times[-1]:.2f})"
        )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
