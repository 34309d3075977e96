"""Rendered pages under the rules of the platforms that they are for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from hubexport.cards.checking import (
    Finding,
    check_card,
    check_instance_metadata,
    check_links,
    check_model_metadata,
    check_page,
    check_snippets,
)

_KINDS = {"# Collection": "collection", "# Publisher": "publisher"}
_PREPROCESSING = "<!-- task: text-preprocessing -->"


def findings(format: str, files: Mapping[str, str]) -> Iterator[tuple[str, Finding]]:
    """(file, finding) of all files, in order; of a site, nothing: it follows nobody's rules."""
    for name, text in files.items():
        for finding in _CHECKS.get(format, lambda name, text: [])(name, text):
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
