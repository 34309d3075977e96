"""Downloads from `hubexport serve` and from nginx, in turn, at several numbers of them at once.

Bars: at least 0.9 of nginx's throughput at 1, 8 and 64 downloads of 400 MB, and at most 80 MiB of
resident memory, whatever their number. The client has the same cores; it throws away what it gets.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import selectors
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from processes import machine  # noqa: E402

from hubexport.publishing.manifest import Entry, Manifest  # noqa: E402
from tests.serving import trees  # noqa: E402
from tests.serving.hub import servers  # noqa: E402
from tests.serving.hub.servers import Served  # noqa: E402

HANDLE = "example/large/1"
REQUEST = f"GET /{HANDLE}?tf-hub-format=compressed HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=4, help="counted turns of each (default 4)")
    parser.add_argument("--megabytes", type=int, default=400, help="of the archive (default 400)")
    parser.add_argument(
        "--downloads", type=int, nargs="*", default=[1, 8, 64], help="at once (default 1 8 64)"
    )
    parser.add_argument("--output", type=Path, default=HERE / "serving.md")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        work = Path(directory)
        root = hub(work / "hub", arguments.megabytes * 1_000_000)
        workers = os.cpu_count() or 1
        with (
            servers.ours(root, work / "said") as ours,
            servers.nginx(root, work / "nginx", workers=workers) as nginx,
        ):
            lines = [
                f"{machine()}. An archive of {arguments.megabytes} MB over loopback, the client on "
                f"the same cores; nginx with {workers} workers. MiB/s, medians of "
                f"{arguments.turns} turns; the ratio is of turns, lowest to highest. Load before: "
                f"{load:.1f}.",
                "",
                "| downloads at once | hubexport serve | nginx | ratio | memory of serve, MiB |",
                "| --- | --- | --- | --- | --- |",
            ]
            for count in arguments.downloads:
                line = row(ours, nginx, count, arguments.turns)
                print(line, flush=True)
                lines.append(line)
    text = "\n".join(lines) + "\n"
    arguments.output.write_text(text)
    print(text)


def hub(root: Path, size: int) -> Path:
    """A hub with one version, whose archive is random bytes: nobody unpacks it here."""
    trees.make(root)
    small = trees.add(root, HANDLE)
    digest = hashlib.sha256()
    with open(root / HANDLE / "model.tar", "wb") as file:
        for _ in range(size // 1_000_000):
            piece = os.urandom(1_000_000)
            digest.update(piece)
            file.write(piece)
    archive = Entry("model.tar", size, digest.hexdigest(), "application/x-tar")
    manifest = Manifest(
        small.handle, small.kind, small.description, True, archive, small.files, small.beside
    )
    (root / HANDLE / "manifest.json").write_text(manifest.text())
    return root


def row(ours: Served, nginx: Served, count: int, turns: int) -> str:
    """A line of the table; the first turn is not counted."""
    rates: dict[str, list[float]] = {"ours": [], "nginx": []}
    for turn in range(turns + 1):
        order = ("ours", "nginx") if turn % 2 else ("nginx", "ours")
        for name in order:
            rate = throughput(ours if name == "ours" else nginx, count)
            if turn:
                rates[name].append(rate)
    pairs = [a / b for a, b in zip(rates["ours"], rates["nginx"], strict=True)]
    medians = {name: statistics.median(each) for name, each in rates.items()}
    return (
        f"| {count} | {medians['ours']:,.0f} | {medians['nginx']:,.0f} | "
        f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f}) | "
        f"{peak(ours):.0f} |"
    )


def throughput(served: Served, count: int) -> float:
    """MiB/s of so many downloads at once, from the first request to the last byte."""
    selector = selectors.DefaultSelector()
    started = time.perf_counter()
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", served.port))
        connection.sendall(REQUEST.encode())
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
    received = drain(selector)
    seconds = time.perf_counter() - started
    expected = count * served_size(served)
    if received < expected:
        raise RuntimeError(f"{received:,} bytes came, of {expected:,}")
    return received / MIB / seconds


def drain(selector: selectors.BaseSelector) -> int:
    """Reads all connections to their ends; how many bytes came."""
    buffer, received = bytearray(MIB), 0
    while selector.get_map():
        for key, _ in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            count = connection.recv_into(buffer)
            received += count
            if not count:
                selector.unregister(connection)
                connection.close()
    return received


def served_size(served: Served) -> int:
    """The length that the server states."""
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(REQUEST.replace("GET", "HEAD", 1).encode())
        head = b"".join(iter(lambda: connection.recv(MIB), b""))
    (size,) = re.findall(rb"(?i)content-length: (\d+)", head)
    return int(size)


def peak(served: Served) -> float:
    """The most memory that the process has had, in MiB."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kibibytes) / 1024


if __name__ == "__main__":
    main()
