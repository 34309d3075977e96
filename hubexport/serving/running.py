"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import signal
import socket
import sys

from hubexport.errors import HubexportError
from hubexport.publishing.tree import Tree
from hubexport.serving.access import AccessLog, access_logger
from hubexport.serving.application import Application
from hubexport.serving.connections import Connections, is_ours

IDLE_SECONDS = 60.0

_BACKLOG = 1024
_SPARE_FILES = 64
"""Open files that are no connection's."""
_MOST_FILES = 65_536


def serve(
    tree: Tree,
    *,
    host: str,
    port: int,
    access_log: str | None = None,
    drain_seconds: float = 30.0,
    uncompressed_root: str | None = None,
    idle_seconds: float = IDLE_SECONDS,
) -> None:
    """Serves a hub until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.

    Prints the address once requests are answered.

    Args:
      tree: of the hub.
      host: name or address to listen at.
      port: 0 lets the system choose.
      access_log: a file, or `-`; see `access.access_logger`.
      drain_seconds: how long downloads may go on after the signal.
      uncompressed_root: see `Application`.
      idle_seconds: how long connections may have no request.

    Raises:
      HubexportError: the address cannot be listened at.
      OSError: the access log cannot be written.
    """
    lines = access_logger(access_log) if access_log else None
    logger = logging.Logger("hubexport.serving", logging.WARNING)
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.addFilter(is_ours)
    with listen(host, port) as listening:
        asyncio.run(
            _serve(
                listening,
                Application(tree, uncompressed_root, logger),
                logger=logger,
                access_log=lines,
                drain_seconds=drain_seconds,
                idle_seconds=idle_seconds,
            )
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that connections can be made to.

    Raises:
      HubexportError: the system refuses it.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
        # One alone: with several, a port that the system chooses would be as many ports.
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
    except (OSError, UnicodeError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise HubexportError(
            "the address cannot be listened at",
            [("--host", host), ("--port", str(port)), ("system", reason or str(error))],
            "pass another --port, or 0, which lets the system choose one."
            if in_use
            else "pass an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them, "
            "and a port that you may use.",
        ) from error
    return made


def url(address: tuple[str, int]) -> str:
    """The address of a socket as people write it."""
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(
    listening: socket.socket,
    application: Application,
    *,
    logger: logging.Logger,
    access_log: logging.Logger | None,
    drain_seconds: float,
    idle_seconds: float,
) -> None:
    loop = asyncio.get_running_loop()
    stop, at_once = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            loop.add_signal_handler(number, _signalled, stop, at_once)
    await application.contents.index()  # what takes long is done before anybody asks
    connections = Connections(
        application,
        # A download has two: its connection and its file.
        most=max(16, (_open_files() - _SPARE_FILES) // 2),
        idle_seconds=idle_seconds,
        logger=logger,
        access_log=access_log,
        access_log_class=AccessLog,
    )
    server = await loop.create_server(connections, sock=listening, backlog=_BACKLOG)
    print(f"serving      {url(listening.getsockname())}", flush=True)
    await stop.wait()
    server.close()
    if connections.busy:
        print(f"finishing    {connections.busy} requests", file=sys.stderr, flush=True)
    drained = asyncio.ensure_future(connections.drain(drain_seconds))
    second = asyncio.ensure_future(at_once.wait())
    await asyncio.wait((drained, second), return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    cut = drained.result() if drained.done() else connections.busy
    drained.cancel()
    if cut:
        print(f"cut          {cut} requests", file=sys.stderr, flush=True)


def _signalled(stop: asyncio.Event, at_once: asyncio.Event) -> None:
    (at_once if stop.is_set() else stop).set()


def _open_files() -> int:
    """How many files this process may have open, which it is allowed as many of as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY:
        return _MOST_FILES
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_FILES)
