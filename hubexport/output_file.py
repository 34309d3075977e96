"""The file that a command is asked to write: whether it can, before long work."""

from __future__ import annotations

import os
from pathlib import Path

from hubexport.errors import ExportPathError


def check_output(path: Path, *, overwrite: bool) -> None:
    """Fails early where the file could not be written at the end.

    Raises:
      ExportPathError: something is there that must not be replaced, or no directory to write in.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise ExportPathError(
            "there is something at --output already",
            [("--output", str(path)), ("found", "a directory" if path.is_dir() else "a file")],
            "pass another path" + ("." if path.is_dir() else ", or --overwrite."),
        )
    above = next(each for each in path.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ExportPathError(
            "the file cannot be written",
            [("--output", str(path)), ("no writable directory", str(above))],
            "pass a path where you may write.",
        )
