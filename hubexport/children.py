"""Python in processes of their own, most of which run this very package."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

from hubexport.paths import PACKAGE


@dataclasses.dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
      status: its exit status; that of a signal is negative.
      stdout, stderr: what it wrote.
    """

    status: int
    stdout: str
    stderr: str

    def last_lines(self, count: int) -> list[str]:
        """The last lines of `stderr` that are not empty."""
        return [line.rstrip() for line in self.stderr.splitlines() if line.strip()][-count:]


def run_python(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    each_line: Callable[[str], object] = lambda line: None,
) -> Ended:
    """Runs this Python with arguments, and waits for it; it ends with this process.

    Args:
      arguments: `["-m", "hubexport", ...]`, say.
      environment: None for `child_environment()`.
      each_line: called with every line of its output when it is written.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            env=child_environment() if environment is None else environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
        )
        lines = []
        try:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line)
                each_line(line)
            status = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        stderr.seek(0)
        return Ended(status, "".join(lines), stderr.read())


def child_environment() -> dict[str, str]:
    """This process's environment, in which `python -m hubexport...` is this package.

    Also from another directory, and where it was not installed but found.
    """
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
