"""Pages of two artifacts, where both have one, as a unified diff."""

from __future__ import annotations

import difflib
from pathlib import Path

from hubexport.errors import HubexportError

PAGE = "README.md"
_CONTEXT = 1  # lines around a change


def find_page(directory: Path) -> Path | None:
    """The page in an artifact's directory, or in its `assets.extra/`."""
    places = (directory / PAGE, directory / "assets.extra" / PAGE)
    return next((path for path in places if path.is_file()), None)


def page_changes(a: Path | None, b: Path | None) -> tuple[str, ...]:
    """Lines of a unified diff, without its head; none where pages are equal or one is missing.

    Raises:
      HubexportError: a page cannot be read.
    """
    if a is None or b is None:
        return ()
    lines = difflib.unified_diff(_lines(a), _lines(b), n=_CONTEXT, lineterm="")
    return tuple(lines)[2:]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise HubexportError(
            "a page cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at its permissions.",
        ) from error
