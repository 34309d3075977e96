"""Servers of a hub, as processes on this machine alone, at ports that the system chooses."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubexport.publishing.catalogue import catalogue_html, index_of, index_text, newest_map
from hubexport.publishing.tree import Tree
from hubexport.serving.nginx import nginx_configuration

ROOT = Path(__file__).parents[3]
_SECONDS = 60


@dataclass
class Served:
    """A running server: where it is, and its process."""

    url: str
    process: subprocess.Popen[bytes]
    said: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def errors(self) -> str:
        return self.said.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(_SECONDS)


@contextlib.contextmanager
def ours(root: Path, said: Path, *flags: str) -> Iterator[Served]:
    """`hubexport serve`; `said` gets what it writes to standard error."""
    command = [sys.executable, "-m", "hubexport", "serve", f"--root={root}", "--port=0", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(said, "wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment,
            preexec_fn=_hears_signals,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode().split()
        assert line[:1] == ["serving"], said.read_text()
        yield Served(line[1], process, said)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def _hears_signals() -> None:
    """Also where the tests themselves run in the background, with SIGINT and SIGHUP ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(
    root: Path, directory: Path, uncompressed_root: str | None = None, workers: int = 1
) -> Iterator[Served]:
    """nginx with what `hubexport serve --emit=nginx` writes; skips where there is none."""
    program = nginx_program()
    if program is None:
        if os.environ.get("HUBEXPORT_REQUIRE_NGINX"):
            pytest.fail("HUBEXPORT_REQUIRE_NGINX is set, but there is no nginx")
        pytest.skip("needs nginx")
    index = index_of(Tree(root))
    (root / "index.json").write_text(index_text(index))
    (root / "index.html").write_text(catalogue_html(index))
    (root / "newest.map").write_text(newest_map(index))
    directory.mkdir(exist_ok=True)
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    (directory / "hub.conf").write_text(
        nginx_configuration(root, "127.0.0.1", port, uncompressed_root)
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"daemon off; {user} pid {directory}/pid; error_log stderr warn;\n"
        f"worker_processes {workers}; events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; {temporary} include hub.conf; }}\n"
    )
    said = directory / "said"
    with open(said, "wb") as errors:
        process = subprocess.Popen(
            [program, "-p", str(directory), "-c", str(directory / "nginx.conf")],
            stdout=errors,
            stderr=errors,
        )
    try:
        _wait_for(port, process, said)
        yield Served(f"http://127.0.0.1:{port}", process, said)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(_SECONDS)


def _wait_for(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    for _ in range(_SECONDS * 50):
        assert process.poll() is None, said.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx does not answer: {said.read_text()}")
