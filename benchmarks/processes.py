"""Whole processes, measured from outside by what the operating system says of them."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Run:
    """One process: wall seconds, CPU seconds, and peak resident memory in MiB."""

    wall: float
    cpu: float
    peak: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Runs a command to its end.

    Raises:
      RuntimeError: it fails; with what it wrote.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{output.decode('utf-8', 'replace')[-3000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Worker:
    """A process that answers requests, JSON on a line each, once it has said that it is ready.

    Raises:
      RuntimeError: it ends.
    """

    def __init__(self, command: Sequence[str]):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def ask(self, request: Any) -> Any:
        """Its answer."""
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a contender ended with status {self._process.wait()}")
        return json.loads(line)


def work(answer: Callable[[Any], Any]) -> None:
    """What a `Worker` runs, when it has loaded what it needs."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def alternate(commands: Mapping[str, Callable[[], Run]], runs: int) -> dict[str, list[Run]]:
    """Runs each in turn, A B C A B C, after one uncounted turn; results by name."""
    results: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            result = command()
            print(f"  {name:24} {result.wall:7.2f} s {result.peak:8,.0f} MiB", flush=True)
            if turn:
                results[name].append(result)
    return results


def median(results: Sequence[Run], figure: str) -> float:
    return statistics.median(getattr(result, figure) for result in results)


def ratios(ours: Sequence[Run], theirs: Sequence[Run], figure: str) -> tuple[float, float, float]:
    """Minimum, median and maximum of ours / theirs, pair by pair."""
    values = [getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, theirs, strict=True)]
    return min(values), statistics.median(values), max(values)


def machine() -> str:
    """Processor, cores and memory, for the caption of a table."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines()
                 if line.startswith("model name")]  # fmt: skip
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB"
