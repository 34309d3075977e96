"""Where a published version can be read: a hub's server, or a hub's directory."""

from __future__ import annotations

import http.client
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from hubexport.errors import HubexportError, UsageError
from hubexport.publishing.handle import Handle, Model, parse_either, parse_model
from hubexport.publishing.manifest import Manifest, parse_manifest
from hubexport.publishing.tree import INDEX, MANIFEST, Tree, open_tree
from hubexport.version import __version__

_TIMEOUT = 30  # seconds without a byte
_LARGEST_TEXT = 64 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class UnreachableError(HubexportError):
    """A server does not answer, or stopped to: trying again may help."""


class Place(Protocol):
    """A version that can be read."""

    @property
    def address(self) -> str:
        """For people, and for tensorflow_hub where it is a URL."""
        ...

    def open(self, name: str, start: int = 0) -> Any:
        """A context with a file's bytes: `(where they begin, stream)`.

        Args:
          name: of a file of the version.
          start: how many bytes are there already; the server may begin earlier.

        Raises:
          HubexportError: it is not there, or cannot be read.
        """
        ...


def read_text(place: Place, name: str) -> bytes:
    """A small file.

    Raises:
      HubexportError: it is not there, cannot be read, or is not small.
    """
    with place.open(name) as (_, stream):
        data = stream.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise HubexportError(
            "a file is larger than any of its kind",
            [("file", f"{place.address}/{name}"), ("found", f"over {_LARGEST_TEXT:,} bytes")],
            "look at what is there.",
        )
    return bytes(data)


def manifest_of(place: Place) -> Manifest:
    """The manifest of a version, which must say that it is of this version.

    Raises:
      HubexportError: there is none, or it is damaged or another's.
    """
    manifest = parse_manifest(read_text(place, MANIFEST), f"{place.address}/{MANIFEST}")
    if not unquote(place.address).endswith(f"/{manifest.handle}"):
        raise HubexportError(
            "the manifest is of another version",
            [("looked at", place.address), ("found", manifest.handle)],
            "check the hub: `hubexport hub check ROOT`.",
        )
    return manifest


def locate(source: str, hub: str | None = None) -> Place:
    """The place of a version.

    Args:
      source: URL of a version or of a model, the directory of a version, or a handle of either on
        `hub`. Of a model the newest version is meant.
      hub: URL or directory.

    Raises:
      HubexportError: there is no such version, or it cannot be said which is the newest.
    """
    if is_url(source):
        parts = urlsplit(source)
        if parts.query or parts.fragment:
            raise UsageError(
                "a model's URL has neither a query nor a fragment",
                [("given", source)],
                "pass what stands before it.",
            )
        path = parts.path.strip("/")
        return _on_server(f"{parts.scheme}://{parts.netloc}", unquote(path))
    directory = directory_of(source)
    if (directory / MANIFEST).is_file():
        return _Directory(directory.resolve())
    if hub is None:
        raise UsageError(
            "a handle does not say where its hub is",
            [("given", source)],
            "pass the URL of the model, or the hub's URL or directory as --hub.",
        )
    if is_url(hub):
        return _on_server(hub.rstrip("/"), source)
    return _in_tree(open_tree(directory_of(hub)), source)


def directory_of(address: str) -> Path:
    """The directory that is meant by a path, or by a `file:` URL."""
    return Path(unquote(urlsplit(address).path) if address.startswith("file:") else address)


def is_url(text: str) -> bool:
    """Whether a server is meant."""
    return text.startswith(("http://", "https://"))


@dataclass(frozen=True)
class _Directory:
    """A version's directory."""

    path: Path

    @property
    def address(self) -> str:
        return self.path.as_posix()

    @contextmanager
    def open(self, name: str, start: int = 0) -> Iterator[tuple[int, IO[bytes]]]:
        try:
            with open(self.path / name, "rb") as file:
                file.seek(start)
                yield start, file
        except OSError as error:
            if error.filename != str(self.path / name):
                raise
            raise HubexportError(
                "a file of the version cannot be read",
                [("file", str(self.path / name)), ("system", error.strerror or str(error))],
                "publish the version again.",
            ) from error


@dataclass(frozen=True)
class _Server:
    """A version's URL."""

    address: str

    @contextmanager
    def open(self, name: str, start: int = 0) -> Iterator[tuple[int, Any]]:
        with _get(f"{self.address}/{quote(name)}", start) as response:
            begin = 0
            if start and response.status == http.client.PARTIAL_CONTENT:
                match = _RANGE.match(response.headers.get("Content-Range", ""))
                begin = int(match[1]) if match else 0
            yield begin, _Stream(response, self.address)


class _Stream(io.RawIOBase):
    """A response's body; what goes wrong is said in the house's way."""

    def __init__(self, response: Any, address: str):
        self._response, self._address = response, address

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._response.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                "the server stopped while a file was read",
                [("from", self._address), ("system", str(error) or type(error).__name__)],
                "run the same command again: it goes on where it stopped.",
            ) from error
        return data


@contextmanager
def _get(url: str, start: int = 0) -> Iterator[Any]:
    headers = {"User-Agent": f"hubexport/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            "the server does not answer",
            [("asked for", url), ("system", str(reason))],
            "check the address, and that the hub is served.",
        ) from error
    with response:
        yield response


def _refused(url: str, error: urllib.error.HTTPError) -> HubexportError:
    said = error.read(2000).decode("utf-8", "replace").strip()
    found = f"{error.code} {error.reason}"
    if error.code == http.client.GONE:
        return HubexportError(
            "the version was retracted",
            [("asked for", url), ("reason", said)],
            "use another version.",
        )
    return HubexportError(
        "the server does not have the file",
        [("asked for", url), ("answer", found)],
        "check the handle and its version.",
    )


def _on_server(base: str, path: str) -> Place:
    model, version = parse_either(path)
    if version is None:
        version = _newest(base, model)
    return _Server(f"{base}/{quote(str(Handle(model, version)))}")


def index_of_server(base: str) -> dict[Model, list[int]]:
    """Models of a served hub, and their versions that can be had, ascending.

    By the index: it is where a hub is served, whatever serves it.

    Raises:
      HubexportError: there is none, or it is damaged.
    """
    url = f"{base}/{INDEX}"
    with _get(url) as response:
        text = response.read(_LARGEST_TEXT)
    try:
        return {
            parse_model(entry["handle"]): [Handle.number(each) for each in entry["versions"]]
            for entry in json.loads(text)["models"]
        }
    except (ValueError, TypeError, KeyError, UsageError) as error:
        raise HubexportError(
            "the hub's index is damaged",
            [("index", url), ("found", str(error)[:200])],
            "pass the version, or make the index again: `hubexport hub index ROOT`.",
        ) from error


def _newest(base: str, model: Model) -> int:
    versions = index_of_server(base).get(model)
    if not versions:
        raise HubexportError(
            "the hub has no such model",
            [("index", f"{base}/{INDEX}"), ("looked for", str(model))],
            "check the name.",
        )
    return max(versions)


def _in_tree(tree: Tree, text: str) -> Place:
    model, version = parse_either(text)
    handle = tree.newest(model) if version is None else Handle(model, version)
    if handle is None or not (tree.is_published(handle) or tree.is_retracted(handle)):
        raise HubexportError(
            "the hub has no such version",
            [
                ("hub", str(tree.root)),
                ("looked for", text),
                ("versions", ", ".join(map(str, tree.versions(model))) or "none"),
            ],
            "check the handle and its version.",
        )
    reason = tree.retraction(handle)
    if reason is not None:
        raise HubexportError(
            "the version was retracted",
            [("version", str(handle)), ("reason", reason)],
            "use another version.",
        )
    return _Directory(tree.place(handle).resolve())
