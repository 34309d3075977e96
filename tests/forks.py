"""Programs in processes of their own, without the seconds that imports take.

For tests of what a whole process does: its exit code, what it writes where, what a signal leaves
behind. Imports, and what happens during them, are those of the server; tests of these start Python
itself.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
HUBEXPORT = (
    "from hubexport.lean_tensorflow import lean_tensorflow\n"
    "with lean_tensorflow():\n    import tensorflow\n"
    "import hubexport.cli, hubexport.exporting.encoder, hubexport.exporting.network\n"
    "import hubexport.saved_model.saving, hubexport.validation.job\n"
)
"""What exports import."""
SECONDS = 240  # after which a program is given up


class Process:
    """A running program."""

    def __init__(self, server: _Server, pid: int, said: Path):
        self._server, self.pid, self._said = server, pid, said

    @property
    def stdout(self) -> str:
        """What it has written by now."""
        return (self._said / "stdout").read_text("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What it has written by now."""
        return (self._said / "stderr").read_text("utf-8", "replace")

    def wait_for(self, text: str) -> None:
        """Returns once it has written a text.

        Raises:
          AssertionError: it has not within a minute.
        """
        for _ in range(6000):
            if text in self.stdout:
                return
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"never said {text!r}: {self.stdout}{self.stderr}")

    def wait(self) -> int:
        """Its exit code; that of a signal is negative."""
        return self._server.wait(self.pid)


def start(
    code: str,
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stderr: str | None = None,
    preload: str = HUBEXPORT,
) -> Process:
    """Starts a program.

    Args:
      code: the text of the program, or the name of a module, as of `python -m`.
      arguments: of the program, in its `sys.argv`.
      environment: beside what this process has.
      directory: to run in.
      stderr: a file or terminal for what it writes there.
      preload: what to import before.
    """
    server = _server(preload)
    said = Path(tempfile.mkdtemp(dir=server.directory))
    for name in ("stdout", "stderr"):
        (said / name).touch()
    values = {**os.environ, **(environment or {})}
    pid = server.ask(
        {
            "code": code,
            "argv": ["hubexport", *map(str, arguments)],
            "environment": values,
            "directory": str(directory or Path.cwd()),
            "stdout": str(said / "stdout"),
            "stderr": stderr or str(said / "stderr"),
        }
    )
    return Process(server, pid, said)


def run(
    code: str,
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    preload: str = HUBEXPORT,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; arguments are those of `start`."""
    process = start(code, *arguments, environment=environment, directory=directory, preload=preload)
    status = process.wait()
    return subprocess.CompletedProcess(
        ["python", *map(str, arguments)], status, process.stdout, process.stderr
    )


def hubexport(
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """`python -m hubexport`, less its imports."""
    return run("hubexport", *arguments, environment=environment, directory=directory)


class _Server:
    def __init__(self, preload: str):
        self._held = tempfile.TemporaryDirectory(prefix="hubexport-forks-")
        self.directory = Path(self._held.name)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), preload],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        )  # fmt: skip

    def ask(self, what: Mapping[str, object] | int) -> int:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def wait(self, pid: int) -> int:
        previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
        signal.alarm(SECONDS)
        try:
            return self.ask(pid)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)

    def close(self) -> None:
        self._process.communicate()
        self._held.cleanup()


@functools.cache
def _server(preload: str) -> _Server:
    """One for each process of tests, until that ends."""
    server = _Server(preload)
    atexit.register(server.close)
    return server
