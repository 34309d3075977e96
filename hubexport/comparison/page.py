"""Pages of two artifacts, where both have one, as a unified diff."""

from __future__ import annotations

import difflib
from pathlib import Path

from hubexport.errors import HubexportError

PAGE = "README.md"
_CONTEXT = 1  # lines around a change


def find_page(directory: Path) -> str | None:
    """The page in an artifact's directory, or in its `assets.extra/`; None where there is none.

    Raises:
      HubexportError: it cannot be read.
    """
    places = (directory / PAGE, directory / "assets.extra" / PAGE)
    path = next((each for each in places if each.is_file()), None)
    if path is None:
        return None
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise HubexportError(
            "a page cannot be read",
            [("file", str(path)), ("system", error.strerror or str(error))],
            "look at its permissions.",
        ) from error


def page_changes(a: str | None, b: str | None) -> tuple[str, ...]:
    """Lines of a unified diff, without its head; none where pages are equal or one is missing."""
    if a is None or b is None:
        return ()
    lines = difflib.unified_diff(a.splitlines(), b.splitlines(), n=_CONTEXT, lineterm="")
    return tuple(lines)[2:]
