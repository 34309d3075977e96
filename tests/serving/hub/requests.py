"""Requests as they are written here, without a client that would make them better."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A response; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str, target: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        said = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, said, response.read())
    finally:
        connection.close()
