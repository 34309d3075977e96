"""A JSON object of Kaggle's under a check: its keys and their lines, types, slugs and texts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from hubexport.cards.lint.findings import Finding, Severity, one_of
from hubexport.cards.problems import nearest, shown

# Kaggle says no limit for models. That of its data sets and notebooks is safe for models too.
MAX_SLUG = 50

_TYPE_NAMES = {str: "text", bool: "true or false", int: "a whole number", list: "a list of texts"}


class CheckedObject:
    """An object under a check: its values, and the findings that are made about them."""

    def __init__(self, metadata: Any, text: str | None):
        self.values: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        self.lines = _key_lines(text) if text is not None else {}
        self.first = 1 if text is not None else 0
        self.findings: list[Finding] = []
        self.is_object = isinstance(metadata, dict)
        if not self.is_object:
            message = f"the metadata are {shown(metadata)}, not an object"
            self.findings.append(Finding(self.first, None, "kaggle-not-an-object", message))

    def add(
        self,
        key: str,
        rule: str,
        message: str,
        suggestion: str | None = None,
        severity: Severity = "error",
    ) -> None:
        line = self.lines.get(key, self.first)
        message = f"{str(key)[:80]} {message}"
        self.findings.append(Finding(line, None, rule, message, suggestion, severity))

    def text(self, key: str) -> str | None:
        """The value of a key where that is a text with something in it, else None."""
        value = self.values.get(key)
        return value if isinstance(value, str) and value else None

    def keys(self, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
        known = {**required, **optional}
        for key in required:
            if key not in self.values:
                self.add(key, "kaggle-missing", "is missing")
            elif self.values[key] == "":
                self.add(key, "kaggle-missing", "is empty")
        for key, value in self.values.items():
            if key not in known:
                proposal = nearest(str(key), tuple(known))
                self.add(key, "kaggle-unknown-key", "is not read", proposal, "warning")
            elif not _has_type(value, known[key]):
                message = f"is {shown(value)}, not {_TYPE_NAMES[known[key]]}"
                self.add(key, "kaggle-type", message)
            elif isinstance(value, str) and value.startswith("INSERT_"):
                self.add(key, "kaggle-placeholder", f"is still the template's {value}")

    def slug(self, key: str, pattern: re.Pattern[str], marks: str) -> None:
        slug = self.text(key)
        if slug is None or slug.startswith("INSERT_"):
            return
        if not pattern.fullmatch(slug):
            message = (
                f"is {shown(slug)}; it has lower case letters and digits, and single {marks} "
                "between them"
            )
            proposal = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")
            self.add(key, "kaggle-slug", message, proposal[:MAX_SLUG] or None)
        elif len(slug) > MAX_SLUG:
            message = f"has {len(slug)} characters; more than {MAX_SLUG} may be refused"
            self.add(key, "kaggle-slug-length", message, None, "warning")

    def named(self, key: str, rule: str, allowed: Collection[str]) -> str | None:
        """The allowed name that a value stands for as Kaggle's program reads it, or None."""
        name = self.text(key)
        if name is None or name.startswith("INSERT_"):
            return None
        found = {bare(known): known for known in allowed}.get(bare(name))
        if found is None:
            message = f"is {shown(name)}, not {one_of(allowed)}"
            self.add(key, rule, message, nearest(name, allowed))
        return found

    def markdown(self, key: str, variables: Collection[str] = ()) -> None:
        """Variables `${NAME}` of a text, and characters that do not survive the upload."""
        text = self.text(key) or ""
        for name in dict.fromkeys(re.findall(r"\$\{([^{}\n]*)\}", text)):
            if not variables:
                message = f"has ${{{name[:40]}}}, which is replaced in usage only"
                self.add(key, "kaggle-variable-place", message, None, "warning")
            elif name not in variables:
                message = f"has ${{{name[:40]}}}, which is not one of Kaggle's variables"
                self.add(key, "kaggle-variable", message, nearest(name, variables))
        found = re.search(r"[<>&]", text)
        if found:
            message = (
                f"has {found.group()!r}, which the command line program uploads as an entity: "
                "blocks of code show that"
            )
            self.add(key, "kaggle-escaped", message, None, "note")


def _has_type(value: Any, expected: type) -> bool:
    if expected is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected)


def bare(name: str) -> str:
    """A name without what Kaggle's program ignores in it: case and underscores."""
    return name.replace("_", "").lower()


def _key_lines(text: str) -> dict[str, int]:
    """The lines, counted from 1, of the keys of the object that `text` is.

    Of a key that is there twice it is the last, whose value Python's reader takes too. Text that is
    no JSON object, or breaks off, gives the keys before that place.
    """
    lines: dict[str, int] = {}
    decoder = json.JSONDecoder()
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        return lines
    position = _skip(text, position + 1)
    try:
        while text[position : position + 1] == '"':
            start = position
            key, position = scanstring(text, position + 1, True)
            position = _skip(text, position)
            if text[position : position + 1] != ":":
                break
            lines[key] = text.count("\n", 0, start) + 1
            _, position = decoder.raw_decode(text, _skip(text, position + 1))
            position = _skip(text, position)
            if text[position : position + 1] == ",":
                position = _skip(text, position + 1)
    except (ValueError, RecursionError):
        pass
    return lines


def _skip(text: str, position: int) -> int:
    """The next position that is not white space."""
    while text[position : position + 1] in (" ", "\t", "\r", "\n") and position < len(text):
        position += 1
    return position
