"""The exported encoder against others, interleaved: export, start, throughput, training, texts.

python benchmarks/encoder.py                         every model and task
python benchmarks/encoder.py --models=L-4_H-256      one model; what is known of others is kept
python benchmarks/encoder.py --quick                 short tasks: a look
python benchmarks/encoder.py --calls=encoder         throughput, none of the other tasks
python benchmarks/encoder.py --without="transformers bfloat16"   where memory is too little for all
python benchmarks/encoder.py --render                the report again, measuring nothing

Contenders: tf-models-official's export of the same checkpoint (the peer), the matrix products alone
(the machine's own limit), and the same network in transformers on PyTorch: eager, compiled with
frozen weights, compiled in bfloat16. Each is a process; one computes at a time, in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from interleaving import Contender, ContenderEnded, Task, in_turn, starts
from models import CONTENDERS, MODELS, NARROW, OURS, Model, make
from plots import speed_up
from processes import machine
from report import PACKAGES, picture, report, rows
from tasks import CALLS, profiled, tasks

HERE = Path(__file__).parent
# These start in seconds; those that compile are started once.
_CHEAP = ("peer", OURS, *NARROW, "transformers")
# Their preprocessing is that of another contender, and so is its time.
_SAME_TOKENIZER = (*NARROW, "transformers compiled")
_FIELDS = {"model", "machine", "versions", "turns", "exports", "starts", "results"}


def measure(
    model: Model,
    directory: Path,
    turns: int,
    seconds: float,
    calls: Collection[str],
    without: Collection[str],
    *,
    quick: bool,
    long: bool,
) -> dict[str, Any]:
    """Everything about a model: facts and timings, for JSON.

    Args:
      calls: of tasks, those of these calls.
      without: contenders that are not there.

    If a contender ends before its time, what was measured until then, and `"ended"` says which.
    """
    print(f"{model.name}: exporting", flush=True)
    narrow = {name: options for name, options in NARROW.items() if name not in without}
    commands, exports = make(model, directory, min(turns, 3), narrow)
    commands = {name: each for name, each in commands.items() if name not in without}
    print(f"{model.name}: starting contenders", flush=True)
    cheap = {name: arguments for name, arguments in commands.items() if name in _CHEAP}
    started = starts(cheap, min(turns, 5))
    contenders: dict[str, Contender] = {}
    results: list[Any] = []
    profiles: list[Any] = []
    ended = {}
    try:
        for name, arguments in commands.items():
            contenders[name] = Contender(arguments)
            started.setdefault(name, [contenders[name].facts])
        for task, counted, uncounted in tasks(model, turns, quick=quick, long=long):
            if task.call not in calls:
                continue
            able = {name: each for name, each in contenders.items() if task.call in each.calls}
            if task.call in ("preprocessing", "text"):
                same_ids(able, task)
            if task.call == "training":
                able.pop("bfloat16 stored", None)  # it is for inference
            if task.call == "preprocessing":
                able = {name: each for name, each in able.items() if name not in _SAME_TOKENIZER}
            found = in_turn(able, task, counted, seconds, uncounted)
            results.append((task.__dict__, {n: timing.turns for n, timing in found.items()}))
            print("\n".join(rows(task, found)), flush=True)
        profiles = [
            (name, task.__dict__, contenders[name].profile(task))
            for name, task in profiled()
            if name in contenders
        ]
    except ContenderEnded as error:
        ended = {"ended": str(error)}
    finally:
        for contender in contenders.values():
            contender.close()
    return {
        "model": model.name,
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES},
        "turns": turns,
        "exports": exports,
        "starts": {name: started[name] for name in commands if name in started},
        "results": results,
        "profiles": profiles,
        **ended,
    }


def same_ids(contenders: Mapping[str, Contender], task: Task) -> None:
    """Fails unless all make the same token ids of a task's texts: else they do other work."""
    expected = contenders[OURS].ids(task)
    for name, contender in contenders.items():
        if contender.ids(task) != expected:
            raise RuntimeError(f"{name} gives other token ids than {OURS} for {task}")


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What was measured before, by model; what an older form of this program wrote is left out."""
    entries = json.loads(path.read_text()) if path.exists() else []
    return {each["model"]: each for each in entries if set(each) >= _FIELDS}


def write(entries: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """The report and its plots."""
    ordered = [entries[name] for name in MODELS if name in entries]
    findings = HERE / "findings.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(report(ordered, findings.read_text() if findings.exists() else ""))
    for each in ordered:
        speed_up(each, output.with_name(picture(each)))
    print(f"written: {output}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--turns", type=int, default=7, help="counted turns of a task (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn (default 1)")
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    parser.add_argument("--calls", default=",".join(CALLS), help=f"of {', '.join(CALLS)}")
    others = tuple(name for name in CONTENDERS if name not in (OURS, "peer"))
    parser.add_argument("--without", default="", help=f"of {', '.join(others)}: left out")
    parser.add_argument("--long", action="store_true", help="32 x 512 tokens for BERT-large too")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the report")
    parser.add_argument("--json", type=Path, default=HERE / "encoder.json")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "performance.md")
    arguments = parser.parse_args()
    if arguments.render:
        write(read(arguments.json), arguments.output)
        return
    names = arguments.models.split(",")
    if unknown := set(names) - set(MODELS):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    calls = arguments.calls.split(",")
    if unknown := set(calls) - set(CALLS):
        parser.error(f"no such call: {', '.join(sorted(unknown))}")
    without = arguments.without.split(",") if arguments.without else []
    if unknown := set(without) - set(others):
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    ended = False
    for name in names:
        with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
            measured = measure(
                MODELS[name], Path(directory), arguments.turns, arguments.seconds, calls,
                without, quick=arguments.quick, long=arguments.long,
            )  # fmt: skip
        # After each model, so that an interrupted run keeps what it measured.
        measured = json.loads(json.dumps(measured))
        if said := measured.pop("ended", None):
            print(f"{name}: {said}", file=sys.stderr)
            ended = True
        entries = {**read(arguments.json), name: measured}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        ordered = [entries[each] for each in MODELS if each in entries]
        arguments.json.write_text(json.dumps(ordered, indent=1) + "\n")
        write(entries, arguments.output)
    sys.exit(ended)


if __name__ == "__main__":
    main()
