"""Files to sockets within the system: neither the size of files nor their number costs memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import BinaryIO

_AT_ONCE = 2**20
"""Bytes after which it is another download's turn. More are slower where a client of this machine
reads what the processor's caches have no longer."""


async def send_file(
    transport: asyncio.Transport,
    file: BinaryIO,
    start: int,
    count: int,
    sent: Callable[[int], None],
) -> None:
    """Sends a part of a file behind what the transport was given before.

    As `loop.sendfile`, which asks the system twice to be told of the socket for each piece: of many
    fast downloads that is a fifth of the work.

    Args:
      transport: of the connection.
      file: unbuffered.
      start: where the part begins.
      count: its bytes; fewer are sent where the file has become shorter.
      sent: is called with the number of bytes of each piece that was sent.

    Raises:
      OSError: the connection is lost, or the file cannot be read.
    """
    loop = asyncio.get_running_loop()
    used = transport.get_extra_info("socket")
    if used is None or transport.get_write_buffer_size():
        sent(await loop.sendfile(transport, file, start, count))
        return
    reading = transport.is_reading()
    transport.pause_reading()
    # Loops do not let others wait for a transport's descriptor.
    descriptor = os.dup(used.fileno())
    done: asyncio.Future[None] = loop.create_future()
    end = start + count

    def go_on() -> None:
        nonlocal start
        try:
            piece = os.sendfile(descriptor, file.fileno(), start, min(end - start, _AT_ONCE))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            _settle(done, error)
            return
        start += piece
        sent(piece)
        if not piece or start == end:
            _settle(done)

    try:
        loop.add_writer(descriptor, go_on)
        await done
    finally:
        loop.remove_writer(descriptor)
        os.close(descriptor)
        if reading and not transport.is_closing():
            transport.resume_reading()


def _settle(done: asyncio.Future[None], error: OSError | None = None) -> None:
    if done.done():  # the loop calls once more before whoever waits has gone on
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
