"""Programs in processes of their own, without the seconds that imports take.

For tests of what a whole process does: its exit code, what it writes where, what a signal leaves
behind. Imports, and what happens during them, are those of a server, which all tests of a run
share; tests of these start Python itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubexport import children
from tests.artifacts import VARIABLE

ROOT = Path(__file__).parents[1]
UNOPTIMIZED = (
    "tensorflow.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})\n"
)
"""As `tests/optimizer.py` has it."""
HUBEXPORT = (
    "from hubexport.lean_tensorflow import lean_tensorflow\n"
    "with lean_tensorflow():\n    import tensorflow\n"
    "import hubexport.cli, hubexport.exporting.encoder, hubexport.exporting.network\n"
    "import hubexport.saved_model.saving, hubexport.validation.job, tests.forks\n" + UNOPTIMIZED
)
"""What exports import."""
TENSORFLOW = (
    # Set for the whole process by packages that other tests import.
    f"import os; os.environ.pop('TF_USE_LEGACY_KERAS', None)\nimport tensorflow\n{UNOPTIMIZED}"
)
"""What a user's program imports, which has more around it."""
SECONDS = 240  # after which a program is given up
SOCKET = "forks"  # in the directory of the run


class Process:
    """A running program."""

    def __init__(self, connection: socket.socket, said: Path):
        self._answers = connection.makefile()
        self.pid, self._said = int(self._answers.readline()), said
        self._code: int | None = None

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
        if self._code is None:
            try:
                self._code = int(self._answers.readline())
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise
        return self._code


def start(
    code: str,
    *arguments: object,
    environment: Mapping[str, str | None] | None = None,
    directory: Path | None = None,
    stderr: str | None = None,
    preload: str = HUBEXPORT,
) -> Process:
    """Starts a program.

    Args:
      code: the text of the program, the absolute path of its file, or the name of a module, as of
        `python -m`.
      arguments: of the program, in its `sys.argv`.
      environment: beside what this process has; None takes a variable out of that.
      directory: to run in.
      stderr: a file or terminal for what it writes there.
      preload: what to import before.
    """
    root = Path(os.environ[VARIABLE], SOCKET)
    with _asked(root, {"preload": preload}) as connection:
        server = connection.makefile().read()
    said = Path(tempfile.mkdtemp(prefix="said-", dir=root.parent))
    for name in ("stdout", "stderr"):
        (said / name).touch()
    values = {**os.environ, **(environment or {})}
    job = {
        "code": code,
        "argv": ["hubexport", *map(str, arguments)],
        "environment": {name: value for name, value in values.items() if value is not None},
        "directory": str(directory or Path.cwd()),
        "stdout": str(said / "stdout"),
        "stderr": stderr or str(said / "stderr"),
    }
    return Process(_asked(Path(server), job), said)


def _asked(path: Path, what: Mapping[str, object]) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    connection.connect(str(path))
    connection.sendall(json.dumps(what).encode() + b"\n")
    return connection


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


class _Child:
    """As much of `subprocess.Popen` as `hubexport.children` asks for."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], stderr: Any, **_: object):
        assert command[0] == sys.executable
        program, *arguments = command[2:] if command[1] == "-m" else command[1:]
        run = "run_module" if command[1] == "-m" else "run_path"
        code = (
            "from tests import forks\nforks.fork_children()\n"
            f"import runpy, sys\nsys.argv[0] = {program!r}\n"
            f"runpy.{run}({program!r}, run_name='__main__')\n"
        )
        self._process = start(code, *arguments, environment=env)
        self._stderr = stderr
        self.stdout = self._lines()

    def _lines(self) -> Iterator[str]:
        self.wait()
        yield from self._process.stdout.splitlines(keepends=True)

    def wait(self) -> int:
        code = self._process.wait()
        self._stderr.seek(0)
        self._stderr.write(self._process.stderr)
        return code

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)


FORKED = SimpleNamespace(Popen=_Child, DEVNULL=None, PIPE=None)


def fork_children() -> None:
    """From now on this process forks what hubexport would start, and so do its children."""
    children.subprocess = FORKED  # type: ignore[assignment]


@pytest.fixture
def forked_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hubexport would start is forked in this test."""
    monkeypatch.setattr(children, "subprocess", FORKED)


class Server:
    """What forks; it ends with the process that has this."""

    def __init__(self, directory: Path):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), directory / SOCKET],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        while not (directory / SOCKET).exists() and self._process.poll() is None:
            time.sleep(0.005)

    def close(self) -> None:
        """Ends it, and everything that it has started."""
        self._process.communicate()
