"""Contenders in turn: each has a process, and only one computes at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("contenders.py")


@dataclasses.dataclass(frozen=True)
class Task:
    """What is timed: a call on inputs of a shape.

    Attributes:
      call: `encoder`, `mlm`, `signature`, `session`, `compiled` or `training`; of texts, of which
        `tokens` is the length that they are padded to, `preprocessing` or `text`.
      rows, tokens: batch size and sequence length.
      padding: mean share of padding.
    """

    call: str
    rows: int
    tokens: int
    padding: float = 0.0


class ContenderEnded(RuntimeError):
    """A contender's process is no more; its own words are on standard error."""


class Contender:
    """A process that waits for tasks.

    Attributes:
      facts: `load` and `first` in seconds, `resident` in MiB.
      calls: what it can do, as tasks call it.
    """

    def __init__(self, arguments: Sequence[str], python: str = sys.executable):
        self._process = subprocess.Popen(
            [python, str(SCRIPT), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self._answer()
        self.calls = frozenset(said.pop("calls"))
        self.facts: dict[str, float] = said

    def run(self, task: Task, runs: int) -> list[float]:
        """Seconds of each run."""
        return self._ask(task, runs=runs)["seconds"]

    def ids(self, task: Task) -> list[list[int]]:
        """Token ids of the texts of a task."""
        return self._ask(dataclasses.replace(task, call="preprocessing"), ids=True)["ids"]

    def profile(self, task: Task) -> dict[str, tuple[float, float]]:
        """Of each kind of kernel that a task runs, how many there are and the seconds of all."""
        return self._ask(task, profile=True)["profile"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, task: Task, **more: int) -> Any:
        assert self._process.stdin is not None
        request = {**dataclasses.asdict(task), **more}
        with contextlib.suppress(BrokenPipeError):  # then it has ended, which reading finds
            print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise ContenderEnded(
                f"a contender ended with status {status} (-9: killed, where memory is too little): "
                f"{self._process.args}"
            )
        return json.loads(line)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Of one contender at one task, in seconds: the median of each turn."""

    turns: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.turns)


def in_turn(
    contenders: Mapping[str, Contender],
    task: Task,
    turns: int,
    seconds: float,
    uncounted: int = 1,
) -> dict[str, Timing]:
    """Times a task: A B C A B C ..., each for about `seconds` a turn; the first are not counted."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    runs = dict.fromkeys(contenders, 1)
    for turn in range(uncounted + turns):
        for name, contender in contenders.items():
            took = statistics.median(contender.run(task, runs[name]))
            runs[name] = max(1, min(200, round(seconds / max(took, 1e-6))))
            if turn >= uncounted:
                found[name].append(took)
    return {name: Timing(tuple(values)) for name, values in found.items()}


def starts(commands: Mapping[str, Sequence[str]], turns: int) -> dict[str, list[dict[str, float]]]:
    """Facts of fresh processes, A B C A B C ...; the first turn is not counted."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for turn in range(turns + 1):
        for name, arguments in commands.items():
            contender = Contender(arguments)
            contender.close()
            if turn:
                found[name].append(contender.facts)
    return found


def ratio(ours: Timing, theirs: Timing) -> tuple[float, float, float]:
    """How many times as fast we are: lowest, median and highest of the turns' pairs."""
    values = sorted(b / a for a, b in zip(ours.turns, theirs.turns, strict=True))
    return values[0], statistics.median(values), values[-1]
