"""The record: what an artifact is and what it was made of, kept inside it.

`docs/record.md` documents the schema. Everything in it is determined by the inputs and the
environment, except the time stamp.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from hubexport import __version__
from hubexport.errors import HubexportError

SCHEMA_VERSION = 1
RECORD_PATH = Path("assets.extra", "hubexport.json")
"""Where an artifact keeps it; tfhub.dev and TensorFlow leave assets.extra/ alone."""

_PACKAGES = ("tensorflow", "tensorflow-text", "numpy", "protobuf")


def write_record(directory: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Writes a SavedModel's record; adds schema version and time; gives what was written.

    The time is SOURCE_DATE_EPOCH's where that is set (reproducible-builds.org/specs).
    """
    complete = {"schema_version": SCHEMA_VERSION, "created": _now(), **record}
    path = directory / RECORD_PATH
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(complete, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return complete


def load_record(saved_model: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of an artifact that hubexport made.

    Raises:
      HubexportError: there is none, or its schema is newer than this program.
    """
    path = Path(saved_model) / RECORD_PATH
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HubexportError(
            "the SavedModel has no readable record",
            [("looked for", str(path)), ("found", str(error))],
        ) from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise HubexportError(
            "the record is of another version",
            [
                ("record", str(path)),
                ("found", f"schema_version {version}"),
                ("readable", f"schema_version {SCHEMA_VERSION}"),
            ],
            "use the hubexport that wrote it, or a newer one.",
        )
    return record


def environment() -> dict[str, str]:
    """Versions of what an artifact was made with."""
    versions = {"hubexport": __version__, "python": platform.python_version()}
    return versions | {package: _version(package) for package in _PACKAGES}


def source_file(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file that went into an artifact.

    Raises:
      HubexportError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise HubexportError(
            "a source file cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
        ) from error
    return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = (
        datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
        if epoch
        else datetime.datetime.now(datetime.timezone.utc)
    )
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
