"""The report of the encoder benchmark, in Markdown, from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interleaving import Task, Timing, ratio
from models import OURS
from processes import Run, median, ratios
from tasks import FEW

Entry = Mapping[str, Any]
Spread = tuple[float, float, float]  # lowest, median, highest

PACKAGES = ("tensorflow", "tf-models-official", "torch", "transformers")
_SEVERAL = 1.02  # ratios nearer to 1 do not count as different
_SHOWN = 0.01  # of the time: kernels with less are counted together
_SHAPES = tuple(Task("encoder", *shape) for shape in ((1, 128), (8, 128), (32, 128), (32, 512)))
_NOTES = f"""\
Contenders take turns, and each ratio compares a pair from the same turn: the other's time divided
by ours, so that hubexport is faster above 1. Ratios are medians, with the lowest and the highest in
parentheses; there is no winner if that range is not at least 2% away from 1. Each contender does a
task once before it is timed, and the first turn is not counted; long tasks have {FEW} turns, and
both count.

- peer: tf-models-official's export of the same checkpoint
- bfloat16: hubexport's export with `--dtype=bfloat16`; stored: also with
  `--variable_dtype=bfloat16`
- products: the encoder's matrix products alone, in float32, the machine's own limit
- transformers: the network in PyTorch with SDPA, eager; compiled: torch.compile with frozen
  weights; bfloat16: compiled, with weights in bfloat16
- export: a whole process that exports a Model Garden checkpoint, with `.mlm`
- load, first call: in fresh processes, after importing the framework; "once": in one process only.
  resident memory: its peak after the first call, including the framework's
- tasks are calls, named by sequences x tokens; training is a step of gradient descent with dropout
- signature: `serving_default`, called as a function that computes all its outputs; the peer's also
  returns those of every layer. session: `serving_default` run by a session in its own graph, as in
  TensorFlow Serving, for the pooled and the sequence output
- preprocessing: from texts of about 100 words, all in the vocabulary, to token ids; text: from
  texts to the pooled output. All contenders gave the same ids: the peer's come from
  tf-models-official's exported preprocessor, those of transformers from its fast tokenizer
- kernels: how many a call runs, and their total time, according to TensorFlow's and PyTorch's own
  profilers, which add overhead; kernels that run at the same time are all counted
"""


def report(entries: Sequence[Entry], findings: str) -> str:
    """The document: a summary, what a person wrote of it, and a section for each model."""
    lines = ["# Measured: the exported encoder", "", "## Summary", ""]
    lines += [*_summary(entries), ""]
    if findings:
        lines += [findings.strip(), ""]
    lines += ["## How it is measured", "", _NOTES]
    for entry in entries:
        lines += [*_section(entry), ""]
    return "\n".join(lines)


def title(task: Task) -> str:
    padding = f", {task.padding:.0%} padding" if task.padding else ""
    return f"{task.call} {task.rows} x {task.tokens}{padding}"


def picture(entry: Entry) -> str:
    """The file name of a model's plot."""
    return f"performance-{entry['model']}.svg"


def timings(entry: Entry) -> Iterator[tuple[Task, dict[str, Timing]]]:
    for task, found in entry["results"]:
        yield Task(**task), {name: Timing(tuple(turns)) for name, turns in found.items()}


def rows(task: Task, found: Mapping[str, Timing]) -> list[str]:
    """Lines of a table: a contender each, with what can be said of the two."""
    lines = []
    for name, timing in found.items():
        spread = ratio(found[OURS], timing)
        said = "|  |  |" if name == OURS else f"| {_range(spread)} | {verdict(spread)} |"
        lines.append(f"| {title(task)} | {name} | {timing.median * 1000:,.1f} {said}")
    return lines


def verdict(spread: Spread, better: str = "is faster", worse: str = "is slower") -> str:
    """Who is faster; nobody where the turns do not agree."""
    low, _, high = spread
    if low > _SEVERAL:
        return f"hubexport {better}"
    if high < 1 / _SEVERAL:
        return f"hubexport {worse}"
    return "no difference beyond the spread"


def _range(spread: Spread) -> str:
    low, middle, high = spread
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _summary(entries: Sequence[Entry]) -> Iterator[str]:
    yield "How many times as fast hubexport's export is as tf-models-official's (medians); for"
    yield "memory, how many times as much the peer needs. Brackets: no difference beyond the"
    yield "spread."
    yield ""
    yield (
        "| | batch 1 | batch 8 | batch 32 | 32 x 512 | training | load | export wall "
        "| export memory |"
    )
    yield "|---|" + "---:|" * 8
    for entry in entries:
        spreads = [_against(entry, "peer", task) for task in (*_SHAPES, Task("training", 8, 128))]
        spreads.append(_starting(entry, "load"))
        spreads += [_exporting(entry, figure) for figure in ("wall", "peak")]
        yield f"| {entry['model']} | " + " | ".join(map(_short, spreads)) + " |"
    yield ""
    yield "Compared with PyTorch's compiled network, and with the matrix products alone:"
    yield ""
    yield "| | against | batch 1 | batch 8 | batch 32 | 32 x 512 |"
    yield "|---|---|" + "---:|" * 4
    for entry in entries:
        for rival in ("transformers compiled", "products"):
            spreads = [_against(entry, rival, task) for task in _SHAPES]
            if any(spreads):
                cells = " | ".join(map(_short, spreads))
                yield f"| {entry['model']} | {rival} | {cells} |"


def _short(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    clear = "no difference" not in verdict(spread)
    return f"{spread[1]:.2f}" if clear else f"[{spread[1]:.2f}]"


def _against(entry: Entry, rival: str, task: Task) -> Spread | None:
    found = dict(timings(entry)).get(task, {})
    return ratio(found[OURS], found[rival]) if rival in found else None


def _starting(entry: Entry, figure: str) -> Spread:
    ours, peers = (
        Timing(tuple(facts[figure] for facts in entry["starts"][name])) for name in (OURS, "peer")
    )
    return ratio(ours, peers)


def _exporting(entry: Entry, figure: str) -> Spread | None:
    runs = _runs(entry, "peer")
    return ratios(runs, _runs(entry, OURS), figure) if runs else None


def _runs(entry: Entry, name: str) -> list[Run]:
    return [Run(**each) for each in entry["exports"].get(name, {"runs": []})["runs"]]


def _section(entry: Entry) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in entry["versions"].items())
    yield f"## {entry['model']}"
    yield ""
    yield f"{entry['machine']}; {versions}; {entry['turns']} turns."
    yield ""
    yield (
        "| artifact | export | peak memory | saved_model.pb | load | first call | resident memory |"
    )
    yield "|---|" + "---:|" * 6
    for name, facts in entry["starts"].items():
        yield f"| {name} | " + " | ".join(_artifact(entry, name, facts)) + " |"
    yield ""
    yield "| the peer's over ours | | |"
    yield "|---|---:|---|"
    less = ("needs less", "needs more")
    for label, spread, words in (
        ("export", _exporting(entry, "wall"), ()),
        ("peak memory of the export", _exporting(entry, "peak"), less),
        ("load", _starting(entry, "load"), ()),
        ("first call", _starting(entry, "first"), ()),
        ("resident memory", _starting(entry, "resident"), less),
    ):
        if spread:
            yield f"| {label} | {_range(spread)} | {verdict(spread, *words)} |"
    yield ""
    yield "| task | contender | ms | over ours | |"
    yield "|---|---|---:|---:|---|"
    for task, found in timings(entry):
        yield from rows(task, found)
    yield ""
    yield f"![{entry['model']}]({picture(entry)})"
    yield ""
    yield from _profiles(entry)


def _profiles(entry: Entry) -> Iterator[str]:
    """Where the time goes: kernels with their number in a call, and milliseconds of all of them."""
    profiles = entry.get("profiles", [])
    for name in dict.fromkeys(name for name, _, _ in profiles):
        found = [(Task(**task), kernels) for n, task, kernels in profiles if n == name]
        columns = " | ".join(f"{title(task)}, ms" for task, _ in found)
        yield f"| kernels of {name} | {columns} |"
        yield "|---|" + "---:|" * len(found)
        totals = [sum(seconds for _, seconds in kernels.values()) for _, kernels in found]

        def share(kernel: str, found: Any = found, totals: Any = totals) -> float:
            pairs = zip(found, totals, strict=True)
            return max(kernels.get(kernel, (0, 0))[1] / total for (_, kernels), total in pairs)

        every = dict.fromkeys(kernel for _, kernels in found for kernel in kernels)
        shown = sorted((each for each in every if share(each) >= _SHOWN), key=share, reverse=True)
        for kernel in shown:
            cells = (_kernel(*kernels.get(kernel, (0, 0))) for _, kernels in found)
            yield f"| {kernel} | " + " | ".join(cells) + " |"
        rest = (
            sum(seconds for kernel, (_, seconds) in kernels.items() if kernel not in shown)
            for _, kernels in found
        )
        yield "| others | " + " | ".join(f"{seconds * 1000:,.2f}" for seconds in rest) + " |"
        yield "| together | " + " | ".join(f"{each * 1000:,.1f}" for each in totals) + " |"
        yield ""


def _kernel(count: float, seconds: float) -> str:
    return f"{count:.0f}: {seconds * 1000:,.2f}" if count else "–"


def _artifact(entry: Entry, name: str, facts: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Cells of a contender; medians."""
    runs = _runs(entry, name)
    once = " once" if len(runs) == 1 else ""
    yield f"{median(runs, 'wall'):.1f} s{once}" if runs else "–"
    yield f"{median(runs, 'peak'):,.0f} MiB{once}" if runs else "–"
    size = entry["exports"].get(name, {}).get("size")
    yield f"{size / 2**20:.2f} MiB" if size else "–"
    once = " once" if len(facts) == 1 else ""
    for figure, form in (("load", "{:.2f} s"), ("first", "{:.2f} s"), ("resident", "{:,.0f} MiB")):
        yield form.format(statistics.median(each[figure] for each in facts)) + once
