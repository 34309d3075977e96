"""Connections: how many there may be, and how long without a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

_STALLED_MS = 60_000
"""How long a client may take nothing of what it is sent."""

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections(web.Server):
    """The protocol of all connections, for `loop.create_server`.

    A connection is idle while no request on it is being answered, so also if a request is sent
    slowly. It ends after `idle_seconds`; when there are more than `most`, that which has been idle
    the longest ends at once, so that nobody can keep others out by doing nothing.

    Args:
      answer: makes responses.
      most: connections.
      idle_seconds: for one without a request.
      more: for aiohttp's protocol.
    """

    def __init__(self, answer: Answer, *, most: int, idle_seconds: float, **more: Any):
        super().__init__(self._handle, **more)
        self._answer = answer
        self._most = most
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        # Both in the order of time; the loop's time at which a connection became idle.
        self._idle: dict[web.RequestHandler, float] = {}
        self._busy: set[web.RequestHandler] = set()
        self._all_done = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._sweep()

    @property
    def busy(self) -> int:
        """Requests that are being answered."""
        return len(self._busy)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._idle[handler] = self._loop.time()
        used = transport.get_extra_info("socket")
        if used is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # The system ends connections whose client has gone, or takes nothing any more.
            with contextlib.suppress(OSError):
                used.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        if len(self._idle) + len(self._busy) > self._most:
            _end(next(iter(self._idle)))

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._idle.pop(handler, None)
        super().connection_lost(handler, exc)

    async def drain(self, seconds: float) -> int:
        """Lets requests be answered for so long, and ends all connections; how many were cut."""
        self.pre_shutdown()  # none waits for another request any more
        for handler in list(self._idle):
            if handler.transport is not None:
                handler.transport.close()
        self._all_done.clear()
        if self._busy:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_done.wait(), seconds)
        if self._timer is not None:
            self._timer.cancel()
        cut = self.busy
        for handler in list(self._busy):
            _end(handler)
        await self.shutdown(1.0)
        return cut

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = request.protocol
        self._idle.pop(handler, None)
        self._busy.add(handler)
        try:
            return await self._answer(request)
        finally:
            self._busy.discard(handler)
            if handler.transport is not None:
                self._idle[handler] = self._loop.time()
            if not self._busy:
                self._all_done.set()

    def _sweep(self) -> None:
        now = self._loop.time()
        old = [each for each, since in self._idle.items() if now - since > self._idle_seconds]
        for handler in old:
            _end(handler)
        self._timer = self._loop.call_later(self._idle_seconds / 4, self._sweep)


def is_ours(record: logging.LogRecord) -> bool:
    """A filter of aiohttp's messages: what clients send wrongly is their affair, and no news."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


def _end(handler: web.RequestHandler) -> None:
    transport = handler.transport
    if not isinstance(transport, asyncio.Transport):
        return
    used = transport.get_extra_info("socket")
    if used is not None:
        # For whoever sends by a descriptor of his own, too.
        with contextlib.suppress(OSError):
            used.shutdown(socket.SHUT_RDWR)
    transport.abort()
