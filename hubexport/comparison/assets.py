"""Files of two SavedModels beside graph and variables: sizes and SHA-256."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubexport.comparison.changes import ADDED, CHANGED, REMOVED, Change
from hubexport.comparison.page import PAGE
from hubexport.saved_model.reading import PB
from hubexport.saved_model.record import RECORD_PATH, source_file

_COMPARED_ELSEWHERE = (PB, PAGE, f"assets.extra/{PAGE}", RECORD_PATH.as_posix())
# What TensorFlow's fingerprint is made of is compared itself.
_FINGERPRINT = "fingerprint.pb"
_VARIABLES = "variables/variables."


def asset_changes(a: Path, b: Path) -> tuple[Change, ...]:
    """Files that differ, by their paths within the directories.

    Raises:
      HubexportError: one cannot be read.
    """
    ours, theirs = _files(a), _files(b)
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = _described(ours.get(name)), _described(theirs.get(name))
        if one != other:
            status = ADDED if one is None else REMOVED if other is None else CHANGED
            found.append(Change(name, status, one, other))
    return tuple(found)


def _files(directory: Path) -> dict[str, Path]:
    paths = {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob("*")
        if path.is_file()
    }
    return {
        name: path
        for name, path in paths.items()
        if name not in (*_COMPARED_ELSEWHERE, _FINGERPRINT) and not name.startswith(_VARIABLES)
    }


def _described(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    file = source_file(path)
    return {"bytes": file["bytes"], "sha256": file["sha256"]}
