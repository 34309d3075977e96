"""Pages on disk: written whole, or compared with what is there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from hubexport.errors import HubexportError
from hubexport.files import replaced

_SHOWN = 6  # lines of a difference


def write(files: Mapping[str, str], directory: Path) -> None:
    """Writes files below a directory, each whole or not at all; others there stay.

    Raises:
      HubexportError: one cannot be written.
    """
    for name, text in files.items():
        path = directory / name
        try:
            with replaced(path) as partial:
                partial.write_text(text, "utf-8", newline="\n")
        except OSError as error:
            raise HubexportError(
                "a page cannot be written",
                [("page", str(path)), ("system", error.strerror or str(error))],
                "choose another --output.",
            ) from error


def stale(files: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Files that are not there as they would be written: name -> what differs, in a few lines."""
    found: dict[str, str] = {}
    for name, text in files.items():
        try:
            there = (directory / name).read_bytes().decode("utf-8", "replace")
        except OSError as error:
            found[name] = error.strerror or str(error)
            continue
        if there != text:
            lines = difflib.unified_diff(there.splitlines(), text.splitlines(), lineterm="", n=0)
            changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
            more = f"... {len(changed) - _SHOWN} more lines" if len(changed) > _SHOWN else ""
            found[name] = "\n".join(filter(None, [*changed[:_SHOWN], more])) or "line ends differ"
    return found
