"""A server of a directory that does what servers and networks do wrong."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Faults:
    """What the server does wrong.

    Attributes:
      cut_after: bytes of an archive after which connections end; None: they do not.
      ranges: whether it knows ranges.
      flip: whether one byte of archives is another.
      asked: (path, Range) of every request.
    """

    cut_after: int | None = None
    ranges: bool = True
    flip: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def served(root: Path, faults: Faults) -> Iterator[str]:
    """The URL of a server of a hub, until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = root / self.path.partition("?")[0].lstrip("/")
            wanted = self.headers.get("Range")
            if self.path.endswith("?tf-hub-format=compressed"):
                path = next(path.glob("model.*"), path)
            faults.asked.append((self.path, wanted))
            if not path.is_file():
                self.send_error(404)
                return
            data, start = path.read_bytes(), 0
            is_archive = path.name.startswith("model.")
            if is_archive and faults.flip:
                data = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
            if wanted and faults.ranges:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            data = data[start:]
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if is_archive and faults.cut_after is not None:
                data = data[: faults.cut_after]
                self.close_connection = True
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
