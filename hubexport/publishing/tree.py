"""A hub's tree of files, as its readers see it; `docs/publishing.md` describes the format.

`ROOT/hub.json` says which format it is. A version is a directory `ROOT/PUBLISHER/NAME/VERSION` that
has a manifest; it appears by one rename and is never changed. A version that was retracted also has
`retracted.json`, and perhaps nothing else any more: its number is not given again. Names that begin
with a full stop are being written, and are nobody's to read.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, UsageError
from hubexport.publishing.handle import Handle, Model, parse_model

FORMAT = 1
HUB = "hub.json"
MANIFEST = "manifest.json"
RECORD = "hubexport.json"
PAGE = "README.md"
HTML = "index.html"
SUMS = "SHA256SUMS"
RETRACTED = "retracted.json"
INDEX = "index.json"
"""At the root: all models, in one file."""
NEWEST = "newest.map"
"""At the root: what nginx redirects models to."""
LOCK = ".lock"


@dataclass(frozen=True)
class Tree:
    """A hub's tree that is there; see `open_tree`."""

    root: Path

    def models(self) -> Iterator[Model]:
        """Every model with a version, retracted or not, in the order of their names."""
        for publisher in _directories(self.root):
            yield from self._below(publisher, "")

    def _below(self, publisher: str, name: str) -> Iterator[Model]:
        names = _directories(self.root / publisher / name)
        if name and any(_version(each) is not None for each in names):
            model = _model(publisher, name)
            if model is not None and any(self.all_versions(model)):
                yield model
        for each in names:
            if _version(each) is None:
                yield from self._below(publisher, f"{name}/{each}" if name else each)

    def all_versions(self, model: Model) -> list[int]:
        """Numbers that are taken, ascending: versions, and those that were retracted."""
        numbers = (_version(name) for name in _directories(self.place(model)))
        handles = (Handle(model, number) for number in numbers if number is not None)
        return sorted(
            handle.version
            for handle in handles
            if self.is_published(handle) or self.is_retracted(handle)
        )

    def versions(self, model: Model) -> list[int]:
        """Versions that can be had, ascending."""
        return [
            number
            for number in self.all_versions(model)
            if not self.is_retracted(Handle(model, number))
        ]

    def newest(self, model: Model) -> Handle | None:
        """The highest version that can be had."""
        versions = self.versions(model)
        return Handle(model, versions[-1]) if versions else None

    def place(self, name: Model | Handle) -> Path:
        """Where a model, or a version of it, lies or would lie."""
        if isinstance(name, Handle):
            return self.place(name.model) / str(name.version)
        return self.root.joinpath(name.publisher, *name.name.split("/"))

    def is_published(self, handle: Handle) -> bool:
        """Whether the version is there, as directories and a file, none of them a link."""
        return self.file(handle, MANIFEST) is not None

    def is_retracted(self, handle: Handle) -> bool:
        """Whether the version was there, and is not to be had any more."""
        return self.file(handle, RETRACTED) is not None

    def file(self, handle: Handle, name: str) -> Path | None:
        """A file of a version; None where there is none, or a link is on the way to it.

        Args:
          handle: of the version.
          name: of a file directly in it.
        """
        path = self.root
        for part in (handle.model.publisher, *handle.model.name.split("/"), str(handle.version)):
            path = path / part
            if not _is(path, stat.S_ISDIR):
                return None
        path = path / name
        return path if _is(path, stat.S_ISREG) else None

    def retraction(self, handle: Handle) -> str | None:
        """Why a version is not to be had any more; None where it is not retracted."""
        path = self.file(handle, RETRACTED)
        if path is None:
            return None
        try:
            return str(json.loads(path.read_text("utf-8"))["reason"])
        except (OSError, ValueError, TypeError, KeyError):
            return "no reason that can be read"


def open_tree(root: Path) -> Tree:
    """The tree of a hub.

    Raises:
      HubexportError: there is none, or it is of another format.
    """
    path = root / HUB
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HubexportError(
            "there is no hub",
            [("looked for", str(path)), ("found", str(error))],
            "pass the directory that `hubexport publish` writes to.",
        ) from error
    number = found.get("format") if isinstance(found, dict) else None
    if number != FORMAT:
        raise HubexportError(
            "the hub is of another format",
            [("hub", str(path)), ("found", f"format {number}"), ("readable", f"format {FORMAT}")],
            "use the hubexport that wrote it, or a newer one.",
        )
    return Tree(root)


def _directories(path: Path) -> list[str]:
    """Names of directories that may be read by all, in order; none where nothing is."""
    try:
        with os.scandir(path) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except OSError:
        return []


def _version(name: str) -> int | None:
    is_version = name.isascii() and name.isdecimal() and not name.startswith("0") and len(name) < 10
    return int(name) if is_version else None


def _model(publisher: str, name: str) -> Model | None:
    try:
        return parse_model(f"{publisher}/{name}")
    except UsageError:
        return None


def _is(path: Path, kind: Any) -> bool:
    try:
        return bool(kind(os.lstat(path).st_mode))
    except (OSError, ValueError):
        return False
