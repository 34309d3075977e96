"""A line for each request, in the form that Apache and nginx call combined."""

from __future__ import annotations

import logging
import re
import sys
import time
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger

from hubexport.serving.answers import FileAnswer

STANDARD_OUTPUT = "-"

_ESCAPED = re.compile(r'[^\x20-\x7e]|["\\]')


class AccessLog(AbstractAccessLogger):
    """Writes a line when a request has been answered, with seconds at its end."""

    def log(
        self, request: web.BaseRequest, response: web.StreamResponse, seconds: float
    ) -> None:  # fmt: skip
        now = time.localtime()
        version = request.version
        line = f"{request.method} {request.raw_path} HTTP/{version.major}.{version.minor}"
        sent = response.sent if isinstance(response, FileAnswer) else response.body_length
        self.logger.info(
            '%s - - [%s] "%s" %s %s "%s" "%s" %.3f',
            request.remote or "-",
            time.strftime("%d/%b/%Y:%H:%M:%S %z", now),
            _safe(line),
            response.status,
            sent,
            _safe(request.headers.get(hdrs.REFERER, "-")),
            _safe(request.headers.get(hdrs.USER_AGENT, "-")),
            seconds,
        )


def access_logger(target: str) -> logging.Logger:
    """Where lines go.

    Args:
      target: a file, which may be moved away at any time (logrotate), or `-`.

    Raises:
      OSError: the file cannot be written.
    """
    handler: logging.Handler
    if target == STANDARD_OUTPUT:
        handler = logging.StreamHandler(sys.stdout)
    else:
        from logging.handlers import WatchedFileHandler

        handler = WatchedFileHandler(Path(target), encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.Logger("hubexport.access", logging.INFO)
    logger.addHandler(handler)
    return logger


def _safe(text: str) -> str:
    """On one line, and without ends of quotations."""
    return _ESCAPED.sub(lambda found: _bytes_of(found.group()), text)


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
