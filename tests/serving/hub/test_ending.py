"""How a server starts and ends, as a process: signals, ports, logs, memory."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import trees
from tests.serving.hub import servers
from tests.serving.hub.requests import ask
from tests.serving.hub.servers import Served

MIB = 1 << 20
DOWNLOAD = "/pub/large/1?tf-hub-format=compressed"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = trees.make(tmp_path_factory.mktemp("hub"))
    trees.add(root, "pub/large/1", {"saved_model.pb": bytes(48 * MIB)})
    return root


@contextlib.contextmanager
def download(served: Served) -> Iterator[http.client.HTTPResponse]:
    """One that has begun, and of which little has been read."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("GET", DOWNLOAD)
    response = connection.getresponse()
    assert len(response.read(1000)) == 1000
    yield response
    connection.close()


def wait_for(served: Served, text: str) -> None:
    for _ in range(1000):
        if text in served.errors:
            return
        time.sleep(0.02)
    raise AssertionError(served.errors)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_downloads_end(root: Path, tmp_path: Path, number: int) -> None:
    size = (root / "pub/large/1/model.tar").stat().st_size
    with servers.ours(root, tmp_path / "said", "--drain_seconds=60") as served:
        with socket.create_connection(("127.0.0.1", served.port)) as idle, download(served) as body:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            said = b""
            while not said.endswith(b"ok\n"):
                said += idle.recv(1000)
            served.process.send_signal(number)
            wait_for(served, "finishing    1 requests")
            # Nobody new comes in, and who had nothing to do is let go.
            with pytest.raises(ConnectionRefusedError):
                ask(served.url, "/healthz")
            idle.settimeout(20)
            assert idle.recv(1) == b""
            assert served.process.poll() is None
            assert len(body.read()) == size - 1000
        assert served.process.wait(60) == 0
        assert "cut" not in served.errors and "Traceback" not in served.errors


def test_the_time_for_that_is_limited(root: Path, tmp_path: Path) -> None:
    with servers.ours(root, tmp_path / "said", "--drain_seconds=0.2") as served:
        with download(served) as body:
            assert served.stop() == 0
            assert "cut          1 requests" in served.errors
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                body.read()


def test_a_second_signal_ends_it_at_once(root: Path, tmp_path: Path) -> None:
    with servers.ours(root, tmp_path / "said", "--drain_seconds=3600") as served:
        with download(served):
            served.process.send_signal(signal.SIGTERM)
            wait_for(served, "finishing")
            assert served.stop() == 0


def test_what_clients_break_off_is_no_news(root: Path, tmp_path: Path) -> None:
    with servers.ours(root, tmp_path / "said") as served:
        for _ in range(3):
            with download(served):
                pass
        assert ask(served.url, "/healthz").status == 200
        assert served.stop() == 0
        assert served.errors == ""


def test_lines_of_requests(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with servers.ours(root, tmp_path / "said", f"--access_log={log}") as served:
        size = len(ask(served.url, DOWNLOAD).body)
        ask(
            served.url, DOWNLOAD, "HEAD", {"User-Agent": 'a"\\ \xe4 quoted', "Referer": "http://r/"}
        )
        ask(served.url, DOWNLOAD, headers={"Range": "bytes=0-9"})
        for _ in range(1000):  # lines are written when answers have gone
            if len(log.read_text().splitlines()) == 3:
                break
            time.sleep(0.02)
        moved = log.rename(tmp_path / "access.log.1")
        ask(served.url, "/none")
        with download(served):
            pass
        assert served.stop() == 0
    whole, head, part = moved.read_text().splitlines()
    form = r'127\.0\.0\.1 - - \[[^]]+\] "GET /pub/large/1\?tf-hub-format=compressed HTTP/1\.1" '
    assert re.fullmatch(form + rf'200 {size} "-" "-" \d+\.\d+', whole)
    assert "HEAD /pub" in head and ' 200 0 "http://r/" "a\\x22\\x5c ' in head
    assert re.search(r'" 206 10 "', part)
    missing, broken = log.read_text().splitlines()
    assert '"GET /none HTTP/1.1" 404 ' in missing
    (sent,) = re.findall(r'" 200 (\d+) "', broken)
    assert 0 < int(sent) < size


def test_memory_does_not_grow_with_downloads(root: Path, tmp_path: Path) -> None:
    with servers.ours(root, tmp_path / "said") as served:

        def read() -> None:
            with download(served) as body:
                while body.read(MIB):
                    pass

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = Path(f"/proc/{served.process.pid}/status").read_text()
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        # Of 768 MiB; what the process has at its start depends on the packages' versions.
        assert int(peak) / 1024 < 110
        assert served.stop() == 0
