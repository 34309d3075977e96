"""Requests that nobody means well with: never an error of the server, never a foreign byte."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.hub.conftest import SECRET, Hub
from tests.serving.hub.requests import ask
from tests.serving.hub.servers import Served

SEGMENTS = st.sampled_from(
    rb"""
    .. . %2e%2e %2E. %252e%252e ..%2f %2f %5c \ ..\ %00 %0a %0d%0a % %zz %ff %c0%ae%c0%ae %u002e
    pub tar Nested gz.v2 gone linked out side 1 2 3 4 7 10 02 999999999999 secret hub.json
    manifest.json model.tar model.tar.gz index.html retracted.json newest.map .lock .3.partial
    api models index.json healthz ~ * tar;x tar:80 @
    """.split()
    + [b"", b"\x00", b"\xff", b"\xc3\xa4", b"a" * 300]
)
SIMPLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20).map(str.encode)
PATHS = st.lists(st.one_of(SEGMENTS, SEGMENTS, SIMPLE), max_size=7).map(
    lambda parts: b"/" + b"/".join(parts)
)
QUERIES = st.one_of(
    st.sampled_from(
        [b"", b"?tf-hub-format=compressed", b"?tf-hub-format=uncompressed", b"?tf-hub-format=",
         b"?tf-hub-format=%00", b"?q=%ff&cursor=%00", b"?q=" + b"a+" * 900, b"?" + b"&" * 500,
         b"?tf-hub-format=compressed&tf-hub-format=x", b"?cursor=~"]
    ),
    SIMPLE.map(lambda text: b"?" + text),
)  # fmt: skip
# What a parser accepts, for the most part, so that it comes to what is behind it.
NAMES = st.sampled_from(
    [b"Range", b"If-Range", b"If-None-Match", b"If-Match", b"If-Modified-Since", b"Accept-Encoding",
     b"If-Unmodified-Since", b"X-Other", b"Cookie", b"Content-Type", b"Content-Encoding"]
)  # fmt: skip
FRAMING = st.sampled_from(
    [(), (), (), ((b"Content-Length", b"0"),), ((b"Transfer-Encoding", b"chunked"),),
     ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")), ((b"Expect", b"100-continue"),)]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        [b"bytes=0-", b"bytes=-1", b"bytes=5-1", b"bytes=0-0,2-3", b"bytes=99999999999999999999-",
         b"lines=1-2", b"bytes=" + b"9" * 5000 + b"-", b"*", b'"x", W/"y"', b'"', b"gzip;q=0",
         b"Thu, 01 Jan 1970 00:00:00 GMT", b"-1", b"\xff\xfe", b"=?utf-8?q?x?=", b"deflate"]
    ),
    SIMPLE,
    st.binary(max_size=30).map(lambda text: bytes(b for b in text if b >= 0x20 and b != 0x7F)),
)  # fmt: skip
METHODS = st.sampled_from([b"GET"] * 9 + [b"HEAD", b"POST", b"OPTIONS", b"TRACE"])
Headers = Sequence[tuple[bytes, bytes]]
RELAXED = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def send(served: Served, request: bytes) -> bytes:
    """What comes back, until the server ends the connection, or waits for more of the request."""
    answer = b""
    with socket.create_connection(("127.0.0.1", served.port), 2) as connection:
        with contextlib.suppress(OSError):  # the server may have heard enough
            connection.sendall(request)
        with contextlib.suppress(OSError):
            answer = connection.recv(1 << 16)
            connection.settimeout(0.2)
            while piece := connection.recv(1 << 16):
                answer += piece
    return answer


def judge(answer: bytes) -> None:
    assert SECRET not in answer
    if answer.startswith(b"HTTP/"):
        status = int(answer.split(b" ", 2)[1])
        assert status < 500, answer[:300]


def test_the_secret_can_be_read_where_it_lies(hub: Hub) -> None:
    assert (hub.root / "secret").read_bytes() == SECRET
    assert SECRET in (hub.root / "pub/linked/3/model.tar").read_bytes()


@RELAXED
@given(
    method=METHODS, path=PATHS, query=QUERIES, framing=FRAMING,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=4),
)  # fmt: skip
def test_any_request(
    ours: Served, method: bytes, path: bytes, query: bytes, framing: Headers, headers: Headers
) -> None:
    lines = [b"%s: %s" % header for header in (*framing, *headers)]
    first = b"%s %s%s HTTP/1.1" % (method, path, query)
    answer = send(ours, b"\r\n".join([first, b"Host: h", *lines, b"Connection: close", b"", b""]))
    # Files that a link keeps from being sent are an error of the hub, and said as one.
    if b"/linked/" in path and b"is damaged" in answer:
        assert SECRET not in answer
    else:
        judge(answer)


@settings(RELAXED, max_examples=120)
@given(path=PATHS, query=QUERIES)
def test_any_address_at_nginx(nginx: Served, path: bytes, query: bytes) -> None:
    judge(send(nginx, b"GET %s%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % (path, query)))


@settings(RELAXED, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes(ours: Served, request: bytes) -> None:
    judge(send(ours, request + b"\r\n\r\n"))


@pytest.mark.parametrize(
    "target",
    [
        b"/../secret", b"/pub/../../secret", b"/%2e%2e/secret", b"/pub/tar/2/%2e%2e/%2e%2e/secret",
        b"/pub/tar/2/..%2f..%2f..%2fsecret", b"/pub/tar/2/..\\secret", b"/pub%5c..%5csecret",
        b"/secret%00.tar", b"/pub/tar/2/model.tar%00", b"/pub/tar/2/secret\x00", b"//secret",
        b"/pub/tar/2/%c0%ae%c0%ae/secret", b"/pub/tar/2/\xff", b"http://h/../secret",
        b"/out/side/1", b"/pub/tar/2/index.html.gz", b"/pub/.3.partial/3?tf-hub-format=compressed",
    ],
)  # fmt: skip
def test_ways_out(served: Served, target: bytes) -> None:
    request = b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % target
    answer = send(served, request)
    judge(answer)
    assert not answer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 100_000),
        b"GET /pub/tar/2?%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 100_000),
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: %s\r\n\r\n" % (b"a" * 20_000),
        b"GET /healthz HTTP/1.1\r\nHost: h\r\n%s\r\n" % (b"X: y\r\n" * 5_000),
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost h\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["address", "query", "header", "headers", "lengths", "smuggled", "colon", "tls"],
)
def test_too_much_or_malformed(ours: Served, request_: bytes) -> None:
    answer = send(ours, request_)
    judge(answer)
    assert not answer.startswith(b"HTTP/1.1 2")
    # And others are served; the log is not filled with what clients send.
    assert ask(ours.url, "/healthz").status == 200
    assert "Traceback" not in ours.errors


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as 2,000 connections take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip("needs 3,000 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_two_thousand_idle_connections_keep_nobody_out(ours: Served, hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(2000):
            connection = socket.create_connection(("127.0.0.1", ours.port), 30)
            stack.enter_context(connection)
            if number % 2:
                connection.sendall(b"GET /pub/tar/2 HTTP/1.1\r\nHost: h\r\n")  # and no more
        for _ in range(20):
            answer = ask(ours.url, "/pub/tar/10?tf-hub-format=compressed")
            assert (answer.status, answer.body) == (200, hub.content("pub/tar/10", "model.tar"))
    for _ in range(500):  # they end with their clients
        if len(os.listdir(f"/proc/{ours.process.pid}/fd")) < 100:
            return
        time.sleep(0.02)
    raise AssertionError("connections whose clients have gone are still there")
