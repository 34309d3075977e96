"""The exported encoder against others, interleaved: throughput, load, training step.

python benchmarks/encoder.py                         every model and task
python benchmarks/encoder.py --models=L-4_H-256      one model
python benchmarks/encoder.py --quick                 short tasks, few turns: a look

Contenders: tf-models-official's export of the same checkpoint (the peer), the matrix products alone
(the machine's own limit), and the same network in transformers on PyTorch: eager, compiled with
frozen weights, compiled in bfloat16. Each is a process; one computes at a time, in turn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from interleaving import Contender, Task, Timing, in_turn, ratio
from models import MODELS, Model, make
from plots import speed_up
from processes import machine

HERE = Path(__file__).parent
SHAPES = ((1, 128), (8, 128), (32, 128), (32, 512))
PADDED = 0.4  # mean share of padding in tasks with it
OURS = "hubexport"
_SEVERAL = 1.02  # ratios nearer to 1 are no difference
_NOTES = (
    "- peer: tf-models-official's export of the same checkpoint",
    "- bfloat16: hubexport's export with `--dtype=bfloat16`",
    "- products: the matrix products of the encoder alone, in float32: the machine's own limit",
    "- transformers: the network in PyTorch with SDPA, eager; compiled: torch.compile with frozen",
    "  weights; bfloat16: compiled, weights in bfloat16",
    "- a task is a call, sequences x tokens; training is a step of gradient descent with dropout",
)


def tasks(model: Model, *, quick: bool) -> Iterator[Task]:
    """What is timed, the most important first."""
    shapes = SHAPES[:2] if quick or model.layers > 12 else SHAPES
    if model.hidden_size > 256:
        shapes = shapes[:3]  # a turn of the last one would take minutes
    yield from (Task("encoder", rows, tokens) for rows, tokens in shapes)
    yield Task("encoder", 8, 128, PADDED)
    yield Task("signature", 8, 128)
    yield Task("training", 8, 128)
    if not quick and not model.talking_heads:
        yield Task("compiled", 8, 128)
        yield Task("mlm", 8, 128)


def measure(model: Model, directory: Path, turns: int, *, quick: bool) -> dict[str, object]:
    """All tasks of a model: facts and timings, for JSON."""
    commands = make(model, directory)
    contenders = {}
    for name, arguments in commands.items():
        print(f"{model.name}: starting {name}", flush=True)
        contenders[name] = Contender(arguments)
    results = []
    try:
        for task in tasks(model, quick=quick):
            able = {n: c for n, c in contenders.items() if task.call == "encoder" or _saved(n)}
            found = in_turn(able, task, turns)
            results.append((task.__dict__, {n: timing.turns for n, timing in found.items()}))
            print("\n".join(rows(task, found)), flush=True)
    finally:
        for contender in contenders.values():
            contender.close()
    facts = {name: contender.facts for name, contender in contenders.items()}
    return {"model": model.name, "facts": facts, "results": results}


def _saved(name: str) -> bool:
    return name in (OURS, "bfloat16", "peer")


def rows(task: Task, found: Mapping[str, Timing]) -> list[str]:
    """Lines of a table: a contender each, with what can be said of the two."""
    ours = found[OURS]
    lines = []
    for name, timing in found.items():
        low, middle, high = ratio(ours, timing)
        said = f"{middle:.2f} ({low:.2f} to {high:.2f})" if name != OURS else ""
        lines.append(
            f"| {title(task)} | {name} | {timing.median * 1000:,.1f} | {said} | "
            f"{verdict(low, high) if name != OURS else ''} |"
        )
    return lines


def title(task: Task) -> str:
    padding = f", {task.padding:.0%} padding" if task.padding else ""
    return f"{task.call} {task.rows} x {task.tokens}{padding}"


def verdict(low: float, high: float) -> str:
    """Who is faster; nobody where the turns do not agree."""
    if low > _SEVERAL:
        return "hubexport is faster"
    if high < 1 / _SEVERAL:
        return "hubexport is slower"
    return "no difference beyond the spread"


def report(measured: Sequence[Mapping[str, object]], turns: int) -> str:
    """The document: a section for each model."""
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("tensorflow", "tf-models-official", "torch", "transformers")
    )
    lines = [
        "# Measured: the exported encoder", "",
        f"{machine()}; {versions}. {turns} turns, contenders in turn; ratios are "
        "the others' times over ours, pair by pair: median, lowest and highest.", "",
        *_NOTES, "",
    ]  # fmt: skip
    for each in measured:
        lines += [f"## {each['model']}", "", "| | load | first call |", "|---|---:|---:|"]
        for name, facts in each["facts"].items():  # type: ignore[attr-defined]
            lines.append(f"| {name} | {facts['load']:.2f} s | {facts['first']:.2f} s |")
        lines += ["", "| task | contender | ms | over ours | |", "|---|---|---:|---:|---|"]
        for task, found in each["results"]:  # type: ignore[attr-defined]
            timings = {name: Timing(tuple(values)) for name, values in found.items()}
            lines += rows(Task(**task), timings)
        lines += ["", f"![{each['model']}]({picture(each)})", ""]
    return "\n".join(lines)


def picture(measured: Mapping[str, object]) -> str:
    """The file name of a model's plot."""
    return f"performance-{measured['model']}.svg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "performance.md")
    arguments = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        for name in arguments.models.split(","):
            work = Path(directory, name)
            measured.append(measure(MODELS[name], work, arguments.turns, quick=arguments.quick))
    (HERE / "encoder.json").write_text(json.dumps(measured, indent=1) + "\n")
    arguments.output.write_text(report(measured, arguments.turns))
    for each in measured:
        speed_up(each, title, arguments.output.with_name(picture(each)))
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
