"""Responses: what they say of what they carry, and how it is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping

from aiohttp import hdrs, web

from hubexport.publishing.catalogue import PAGE_POLICY
from hubexport.serving.conditions import Span, UnsatisfiableError, asked_span, names
from hubexport.serving.contents import Digest, Sendable
from hubexport.serving.sending import send_file

FOREVER = "public, max-age=31536000, immutable"
"""Cache-Control of versions, which never change."""
ASK_AGAIN = "no-cache"

_FIRST = 2**14
"""Bytes that go with the headers, so that a small file is one packet or two."""


class FileAnswer(web.StreamResponse):
    """A response whose body the system sends from a file; `sent` counts its bytes."""

    sent = 0

    def count(self, piece: int) -> None:
        self.sent += piece


def text(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A sentence or two for people."""
    said = {
        hdrs.CACHE_CONTROL: ASK_AGAIN,
        **_common("text/plain; charset=utf-8"),
        **(headers or {}),
    }
    return web.Response(status=status, body=f"{message}\n".encode(), headers=said)


def redirect(status: int, location: str) -> web.Response:
    """To another address, relative to the one that was asked."""
    return text(status, f"see {location}", {hdrs.LOCATION: location})


def document(
    request: web.BaseRequest, content: bytes, media_type: str, digest: Digest | None = None
) -> web.Response:
    """What was made just now, and may be otherwise the next time."""
    digest = digest or Digest.of(content)
    headers = {**_common(media_type), **_described(digest, ASK_AGAIN)}
    status = _refused(request, digest)
    if status:
        return _without_body(status, headers)
    return web.Response(body=content, headers=headers)


async def send(request: web.BaseRequest, sendable: Sendable) -> web.StreamResponse:
    """Sends a file, or the part of it that was asked for; closes it in any case."""
    with sendable.file:
        headers = {
            **_common(sendable.media_type),
            **_described(sendable.digest, FOREVER),
            hdrs.ACCEPT_RANGES: "bytes",
        }
        status = _refused(request, sendable.digest)
        if status:
            return _without_body(status, headers)
        try:
            span = _span(request, sendable)
        except UnsatisfiableError:
            content_range: dict[str, str] = {hdrs.CONTENT_RANGE: f"bytes */{sendable.size}"}
            return text(416, "no byte of the file is in this range", content_range)
        if span is not None:
            headers[hdrs.CONTENT_RANGE] = span.content_range(sendable.size)
        answer = FileAnswer(status=200 if span is None else 206, headers=headers)
        await _transmit(request, answer, sendable, span or Span(0, sendable.size))
        return answer


async def _transmit(
    request: web.BaseRequest, answer: FileAnswer, sendable: Sendable, span: Span
) -> None:
    answer.content_length = span.count
    try:
        await answer.prepare(request)
        if request.method == hdrs.METH_HEAD or not span.count:
            return
        descriptor = sendable.file.fileno()
        first = os.pread(descriptor, min(_FIRST, span.count), span.start)
        await answer.write(first)
        answer.count(len(first))
        rest = span.count - len(first)
        transport = request.transport
        if transport is None:
            return
        if first and rest:
            start = span.start + len(first)
            await send_file(transport, sendable.file, start, rest, answer.count)
        if answer.sent < span.count:
            # The file became shorter: the client must not take what there is for all of it.
            transport.abort()
    except OSError:  # the client has gone or takes nothing any more, or the disk fails
        if request.transport is not None:
            request.transport.abort()


def _span(request: web.BaseRequest, sendable: Sendable) -> Span | None:
    asked = request.headers.getall(hdrs.RANGE, [])
    if request.method != hdrs.METH_GET or len(asked) != 1:
        return None
    condition = request.headers.get(hdrs.IF_RANGE)
    # Dates are not compared: there is none that files of a hub are known by.
    if condition is not None and condition.strip() != sendable.digest.etag:
        return None
    return asked_span(asked[0], sendable.size)


def _refused(request: web.BaseRequest, digest: Digest) -> int | None:
    """304 or 412, where a condition says that nothing is to be sent."""
    wanted = request.headers.getall(hdrs.IF_MATCH, [])
    if wanted and not names(", ".join(wanted), digest.etag, weak=False):
        return 412
    known = request.headers.getall(hdrs.IF_NONE_MATCH, [])
    if known and names(", ".join(known), digest.etag, weak=True):
        return 304
    return None


def _without_body(status: int, headers: Mapping[str, str]) -> web.Response:
    if status == 412:
        return text(412, "what is there now is not what the request is for")
    kept = {k: v for k, v in headers.items() if k != hdrs.CONTENT_TYPE}
    return web.Response(status=status, headers=kept)


def _described(digest: Digest, cache_control: str) -> dict[str, str]:
    return {
        hdrs.ETAG: digest.etag,
        "Repr-Digest": digest.repr_digest,
        hdrs.CACHE_CONTROL: cache_control,
    }


def _common(media_type: str) -> dict[str, str]:
    headers = {
        hdrs.CONTENT_TYPE: media_type,
        "X-Content-Type-Options": "nosniff",
        hdrs.SERVER: "hubexport",
    }
    if media_type.startswith("text/html"):
        headers["Content-Security-Policy"] = PAGE_POLICY
        headers["Referrer-Policy"] = "no-referrer"
    return headers
