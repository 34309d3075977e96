"""Rendered files: under the rules of their platforms, written, or compared with what is there."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from hubexport.cards.lint import (
    Finding,
    check_card,
    check_instance_metadata,
    check_links,
    check_model_metadata,
    check_page,
    check_snippets,
)
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


_KINDS = {"# Collection": "collection", "# Publisher": "publisher"}
_PREPROCESSING = "<!-- task: text-preprocessing -->"


def findings(format: str, files: Mapping[str, str]) -> Iterator[tuple[str, Finding]]:
    """(file, finding) of all files, in order; of a site, nothing: it follows nobody's rules."""
    for name, text in files.items():
        if format in _CHECKS:
            for finding in _CHECKS[format](name, text):
                yield name, finding


def _tfhub(name: str, text: str) -> list[Finding]:
    module = "preprocessor" if _PREPROCESSING in text else "encoder"
    kind = next((kind for start, kind in _KINDS.items() if text.startswith(start)), module)
    return [*check_page(text, kind), *_text(text)]  # type: ignore[arg-type]  # one of its kinds


def _hugging_face(name: str, text: str) -> list[Finding]:
    return [*check_card(text), *_text(text)]


def _kaggle(name: str, text: str) -> list[Finding]:
    check = check_instance_metadata if "instance" in name else check_model_metadata
    return check(json.loads(text), text)


def _text(text: str) -> list[Finding]:
    return [*check_links(text), *check_snippets(text)]


_CHECKS = {"tfhub": _tfhub, "huggingface": _hugging_face, "kaggle": _kaggle}
