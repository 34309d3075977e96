"""Connections without requests end; downloads do not."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import hubexport.serving.connections as connections_module
from hubexport.publishing.tree import open_tree
from hubexport.serving.application import Application
from hubexport.serving.connections import Connections
from tests.serving import trees

Use = Callable[[int, Connections], Awaitable[None]]
LOGGER = logging.getLogger("tests")


def run(root: Path, use: Use, *, most: int = 100, idle_seconds: float = 60.0) -> None:
    """A server in this process, and what is done with its port."""

    async def whole() -> None:
        application = Application(open_tree(root), None, LOGGER)
        connections = Connections(application, most=most, idle_seconds=idle_seconds)
        server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
        try:
            await use(server.sockets[0].getsockname()[1], connections)
        finally:
            server.close()
            await connections.drain(0)

    asyncio.run(asyncio.wait_for(whole(), 60))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    trees.make(tmp_path)
    trees.add(tmp_path, "pub/large/1", {"saved_model.pb": bytes(32 << 20)})
    return tmp_path


REQUEST = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
DOWNLOAD = b"GET /pub/large/1?tf-hub-format=compressed HTTP/1.1\r\nHost: h\r\n\r\n"


async def size_of(reader: asyncio.StreamReader) -> int:
    """The length that a response's headers state."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return int(head.split(b"content-length: ")[1].split(b"\r\n")[0])


@pytest.mark.parametrize(
    "sent", [b"", REQUEST[:-2], REQUEST, REQUEST + REQUEST[:10]],
    ids=["nothing", "half a request", "a request", "a request and a half"],
)  # fmt: skip
def test_idle_ones_end(root: Path, sent: bytes) -> None:
    async def use(port: int, connections: Connections) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        said = b""
        try:
            while piece := await reader.read(1 << 16):
                said += piece
        except ConnectionResetError:
            pass
        assert said.count(b"200 OK") == sent.count(REQUEST)
        writer.close()

    run(root, use, idle_seconds=0.2)


def test_a_slow_download_is_not_idle(root: Path) -> None:
    async def use(port: int, connections: Connections) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(DOWNLOAD)
        size = await size_of(reader)
        got = 0
        for _ in range(4):
            got += len(await reader.read(1 << 16))
            await asyncio.sleep(0.15)
        while got < size:
            piece = await reader.read(1 << 20)
            assert piece, "the download was cut"
            got += len(piece)
        writer.close()

    run(root, use, idle_seconds=0.1)


def test_the_oldest_idle_one_makes_room(root: Path) -> None:
    async def use(port: int, connections: Connections) -> None:
        downloading, other = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        other.write(DOWNLOAD)
        size = await size_of(downloading)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert (await reader.readline()).split()[1] == b"200"
        # The first ones have ended, the last ones have not, and neither has the download.
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await idle[0][0].readexactly(1)
        idle[-1][1].write(REQUEST)
        assert (await idle[-1][0].readline()).split()[1] == b"200"
        assert len(await downloading.readexactly(size)) == size
        for each in (writer, other, *(pair[1] for pair in idle)):
            each.close()

    run(root, use, most=8)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux")
def test_who_takes_nothing_is_given_up(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections_module, "_STALLED_MS", 300)

    async def use(port: int, connections: Connections) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(DOWNLOAD)
        await size_of(reader)
        assert connections.busy == 1
        while connections.busy:
            await asyncio.sleep(0.05)
        writer.close()

    run(root, use)
    assert not caplog.records


def test_a_file_that_becomes_shorter_is_not_taken_for_whole(root: Path) -> None:
    async def use(port: int, connections: Connections) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(DOWNLOAD)
        size = await size_of(reader)
        with open(root / "pub/large/1/model.tar", "r+b") as file:
            file.truncate(1 << 20)
        got = 0
        try:
            while piece := await reader.read(1 << 20):
                got += len(piece)
        except ConnectionResetError:
            pass
        assert got < size
        writer.close()

    run(root, use)
