"""A version's manifest: what its archive is and holds, by size and SHA-256."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hubexport.errors import HubexportError

FORMAT = 1
MEDIA_TYPES = {"model.tar": "application/x-tar", "model.tar.gz": "application/gzip"}
"""Names that an archive may have."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_KNOWN_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".txt": "text/plain",
}
_BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Entry:
    """A file: its path with slashes, size, SHA-256 in hexadecimal, and media type."""

    path: str
    bytes: int
    sha256: str
    media_type: str


@dataclass(frozen=True)
class Manifest:
    """What a version consists of.

    Attributes:
      handle: `publisher/name/version`.
      kind: "encoder", "preprocessor" or "pipeline".
      description: a sentence for lists of models; may be empty.
      validated: whether the record says that these files passed.
      archive: the file that clients download.
      files: of the archive, in its order.
      beside: files beside the archive: the record, and the page's texts.
    """

    handle: str
    kind: str
    description: str
    validated: bool
    archive: Entry
    files: tuple[Entry, ...]
    beside: tuple[Entry, ...]

    @property
    def unpacked(self) -> int:
        """Bytes of all files of the archive."""
        return sum(file.bytes for file in self.files)

    def text(self) -> str:
        """As JSON; equal manifests give equal bytes."""
        fields = {"format": FORMAT, **asdict(self)}
        return json.dumps(fields, indent=2, ensure_ascii=False, sort_keys=True) + "\n"

    def sums(self) -> str:
        """The text of SHA256SUMS, as `sha256sum --check` reads it: all files of the version."""
        digest = hashlib.sha256(self.text().encode()).hexdigest()
        lines = {entry.path: entry.sha256 for entry in (self.archive, *self.beside)}
        lines["manifest.json"] = digest
        return "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))


def media_type(path: str) -> str:
    """What a file of an artifact is."""
    return _KNOWN_TYPES.get(PurePosixPath(path).suffix, _BINARY)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
      HubexportError: it cannot be read, or is not one.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise HubexportError(
            "the manifest cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "pass a directory that was published, or publish it again.",
        ) from error
    return parse_manifest(text, str(path))


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest in bytes of JSON; nothing in it is trusted: paths and digests are looked at.

    Args:
      text: UTF-8.
      where: for messages.

    Raises:
      HubexportError: it is not a manifest.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}; readable is {FORMAT}")
        manifest = Manifest(
            handle=_string(found, "handle"),
            kind=_string(found, "kind"),
            description=_string(found, "description"),
            validated=found["validated"] is True,
            archive=_entry(found["archive"]),
            files=_entries(found["files"]),
            beside=_entries(found["beside"]),
        )
        if MEDIA_TYPES.get(manifest.archive.path) != manifest.archive.media_type:
            raise ValueError(f"an archive called {manifest.archive.path!r}")
        if any("/" in each.path for each in manifest.beside):
            raise ValueError("a file beside the archive that is in a directory")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HubexportError(
            "the manifest is damaged",
            [("manifest", where), ("found", str(error)[:200])],
            "publish the version again, or fetch it from where it was published.",
        ) from error
    return manifest


def _entries(found: Sequence[Any]) -> tuple[Entry, ...]:
    if not isinstance(found, list):
        raise TypeError("files that are not a list")
    entries = tuple(_entry(each) for each in found)
    if len({entry.path for entry in entries}) != len(entries):
        raise ValueError("a file that is listed twice")
    return entries


def _entry(found: Mapping[str, Any]) -> Entry:
    path, size, digest = _string(found, "path"), found["bytes"], _string(found, "sha256")
    if not is_safe(path):
        raise ValueError(f"the path {path[:80]!r}")
    if type(size) is not int or not 0 <= size < 2**62:
        raise ValueError(f"{path}: {size!r} bytes")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{path}: the SHA-256 {digest[:80]!r}")
    return Entry(path, size, digest, _string(found, "media_type"))


def is_safe(path: str) -> bool:
    """Whether a path with slashes stays below the directory that it is taken from."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and not set(path) & set("\0\\\n\r")


def _string(found: Mapping[str, Any], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r}"[:80])
    return value
