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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, UsageError
from hubexport.files import replaced
from hubexport.saved_model.identity import RECORD
from hubexport.version import __version__

SCHEMA_VERSION = 2
RECORD_PATH = Path(RECORD)
"""Where an artifact keeps it; tfhub.dev and TensorFlow leave assets.extra/ alone."""

# Parts of a record that others rely on the form of.
_FORM = {
    "architecture": dict,
    "checkpoint": dict,
    "environment": dict,
    "conventions": dict,
    "family": dict,
    "saved_model": dict,
    "warnings": list,
}
KINDS = ("encoder", "preprocessor", "pipeline")
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


def replace_record(directory: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Writes a record that was read and changed; the file is the old one or the new, never a part.

    Raises:
      HubexportError: it cannot be written.
    """
    path = directory / RECORD_PATH
    try:
        with replaced(path) as partial:
            partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise HubexportError(
            "the record cannot be written",
            [("record", str(path)), ("system", error.strerror or str(error))],
            "look at its permissions.",
        ) from error
    return record


def load_record(saved_model: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of an artifact that hubexport made.

    Raises:
      HubexportError: there is none, or its schema is newer than this program.
    """
    path = Path(saved_model) / RECORD_PATH
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return parse_record(text, str(path))


def parse_record(text: bytes, where: str) -> dict[str, Any]:
    """The record in bytes of JSON; `where` is for messages.

    Raises:
      HubexportError: it is none, or its schema is newer than this program.
    """
    try:
        record: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise _unreadable(where, error) from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise HubexportError(
            "the record is of another version",
            [
                ("record", where),
                ("found", f"schema_version {version}"),
                ("readable", f"schema_version {SCHEMA_VERSION}"),
            ],
            "use the hubexport that wrote it, or a newer one.",
        )
    wrong = [
        name
        for name, kind in _FORM.items()
        if not isinstance(record.get(name, {} if kind is dict else []), kind)
    ]
    if record.get("kind") not in KINDS or wrong:
        raise HubexportError(
            "the record is damaged",
            [("record", where), ("not as documented", ", ".join(wrong) or "kind")],
            "export the artifact again.",
        )
    return record


def _unreadable(where: str, error: Exception) -> HubexportError:
    return HubexportError(
        "the SavedModel has no readable record",
        [("looked for", where), ("found", str(error))],
        "`hubexport inspect` also shows SavedModels without one.",
    )


def find_record(saved_model: Path | None) -> dict[str, Any] | None:
    """The record of an artifact, or None where there is none to read.

    Raises:
      HubexportError: as of `load_record`, where there is one.
    """
    if saved_model is None or not (saved_model / RECORD_PATH).exists():
        return None
    return load_record(saved_model)


def environment() -> dict[str, str]:
    """Versions of what an artifact was made with."""
    versions = {"hubexport": __version__, "python": platform.python_version()}
    return versions | {package: _version(package) for package in _PACKAGES}


def source_file(path: Path, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Name, size and SHA-256 of a file that went into an artifact.

    Args:
      stop: asked between pieces whether the digest is still wanted.

    Raises:
      HubexportError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            while (piece := file.read(1 << 20)) and not stop():
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise HubexportError(
            "a source file cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at its permissions.",
        ) from error
    return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def check_time() -> None:
    """Fails where SOURCE_DATE_EPOCH is not a time; for use before long work.

    Raises:
      UsageError: it is not a number of seconds that a calendar has.
    """
    _now()


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = (
            datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
            if epoch
            else datetime.datetime.now(datetime.timezone.utc)
        )
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            "SOURCE_DATE_EPOCH is not a time",
            [("SOURCE_DATE_EPOCH", str(epoch)), ("needed", "seconds since 1970, a whole number")],
            "set it right, or unset it.",
        ) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
