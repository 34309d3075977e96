"""Which artifact a report speaks of: digests of its files, the record and pages left out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from hubexport.errors import HubexportError

RECORD = "assets.extra/hubexport.json"
"""The one file of an artifact that changes after it was validated."""

_PIECE = 1 << 20


def artifact_identity(directory: Path) -> dict[str, str]:
    """SHA-256 digests, in hexadecimal, of what a SavedModel computes with.

    - `program`: of `saved_model.pb`.
    - `variables`: of the files of `variables/`, one after the other in the order of their names:
      `cat variables/variables.* | sha256sum`. Absent where there are none.
    - `assets`: of the list of the digests of `assets/`'s files:
      `(cd assets && sha256sum *) | sha256sum`. Absent where there are none.

    Raises:
      HubexportError: there is no SavedModel, or a file of it cannot be read.
    """
    program = directory / "saved_model.pb"
    if not program.is_file():
        raise HubexportError(
            "there is no SavedModel",
            [("looked for", str(program))],
            "pass a directory that holds saved_model.pb.",
        )
    identity = {"program": _digest([program])}
    # Data files come before the index by their names.
    if variables := sorted((directory / "variables").glob("variables.*")):
        identity["variables"] = _digest(variables)
    if assets := _files(directory / "assets"):
        lines = (f"{_digest([path])}  {path.name}\n" for path in assets)
        identity["assets"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return identity


def file_digests(directory: Path) -> dict[str, str]:
    """Path with slashes -> SHA-256 in hexadecimal, of all files but the record, by their paths.

    Raises:
      HubexportError: a file cannot be read.
    """
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix(): path for path in paths}
    return {name: _digest([path]) for name, path in sorted(names.items()) if name != RECORD}


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.is_file())


def _digest(paths: Sequence[Path]) -> str:
    """Of the files' bytes, joined."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise HubexportError(
                "a file of the SavedModel cannot be read",
                [("file", str(path)), ("system", error.strerror or str(error))],
                "look at its permissions.",
            ) from error
    return digest.hexdigest()
