"""Metadata of tfhub.dev pages: which keys a kind of page has, and what their values may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

from hubexport.cards.lint.findings import Finding, load_list, one_of
from hubexport.cards.problems import nearest, shown

Kind = Literal["encoder", "preprocessor", "pipeline", "collection", "publisher"]

RULES = (
    "metadata-key",
    "metadata-missing",
    "metadata-repeated",
    "metadata-twice",
    "metadata-value",
    "metadata-task",
    "asset-path",
)

# `<!-- key: value -->`: the key has no colon, so that values may.
METADATA_LINE = re.compile(r"<!--(?P<key>[\w\s-]+):(?P<value>.+)-->")
REPEATABLE = ("dataset", "language", "network-architecture", "task")
FORMATS = ("hub", "saved_model", "saved_model_2")
TASK_DOMAINS = ("image-", "text-", "audio-", "video-")


@dataclass(frozen=True)
class Entry:
    """One metadata line: its line counted from 1, key and value without spaces around them."""

    line: int
    key: str
    value: str


@dataclass(frozen=True)
class Keys:
    """The keys that a kind of page must and may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


_MODULE = Keys(
    ("asset-path", "task", "fine-tunable", "format"),
    ("network-architecture", "colab", "dataset", "language", "license", "interactive-visualizer"),
)
KEYS: dict[Kind, Keys] = {
    "encoder": _MODULE,
    "preprocessor": _MODULE,
    "pipeline": _MODULE,
    "collection": Keys(("task",), ("dataset", "language", "network-architecture")),
    "publisher": Keys((), ()),
}


def check_metadata(entries: list[Entry], kind: Kind, line: int) -> list[Finding]:
    """All findings about a page's metadata; `line` is where missing keys are reported."""
    keys = KEYS[kind]
    allowed = keys.required + keys.optional
    findings = [
        Finding(line, None, "metadata-missing", f"the metadata lack {key}", f"<!-- {key}: ... -->")
        for key in keys.required
        if key not in {entry.key for entry in entries}
    ]
    for entry in entries:
        if entry.key not in allowed:
            message = (
                f"{entry.key} is not a key of a {kind} page; it has {', '.join(allowed) or 'none'}"
            )
            findings.append(
                Finding(entry.line, None, "metadata-key", message, nearest(entry.key, allowed))
            )
    for key in allowed:
        same = [entry for entry in entries if entry.key == key]
        findings += _repetitions(same)
        for entry in same:
            findings += _value(entry, kind)
    return findings


def _repetitions(entries: list[Entry]) -> Iterable[Finding]:
    """Findings about lines of one key after its first."""
    for position, entry in enumerate(entries[1:], 1):
        before = [earlier.value for earlier in entries[:position]]
        if entry.value in before:
            message = f"{entry.key}: {entry.value} stands here a second time"
            yield Finding(entry.line, None, "metadata-twice", message, None, "warning")
        elif entry.key not in REPEATABLE:
            message = f"{entry.key} has one value, and that was {shown(before[0])}"
            yield Finding(entry.line, None, "metadata-repeated", message)


def _value(entry: Entry, kind: Kind) -> list[Finding]:
    key, value = entry.key, entry.value
    lists = _lists()
    allowed: Iterable[str] = lists["values"].get(key, ())
    if key == "format":
        allowed = FORMATS
    elif key == "fine-tunable":
        allowed = ("true", "false")
    if allowed:
        if value in allowed:
            return _task(entry, kind) if key == "task" else []
        known = tuple(allowed)
        message = f"{key} is {shown(value)}, which is not {one_of(known)}"
        return [Finding(entry.line, None, "metadata-value", message, nearest(value, known))]
    if key in lists["domains"]:
        return _url(entry, lists["domains"][key])
    return _asset_path(entry)


def _task(entry: Entry, kind: Kind) -> list[Finding]:
    if not entry.value.startswith(TASK_DOMAINS):
        message = f"a task starts with {', '.join(TASK_DOMAINS)}; found {shown(entry.value)}"
        return [Finding(entry.line, None, "metadata-task", message)]
    is_model = KEYS[kind] is _MODULE
    if is_model and (kind == "preprocessor") != (entry.value == "text-preprocessing"):
        message = f"the page of a text {kind} has the task {shown(entry.value)}"
        usual = "text-preprocessing" if kind == "preprocessor" else "text-embedding"
        return [Finding(entry.line, None, "metadata-task", message, f"usual is {usual}", "warning")]
    return []


def _url(entry: Entry, domain: str | None) -> list[Finding]:
    try:
        parts = urlsplit(entry.value)
    except ValueError:
        return [
            Finding(
                entry.line,
                None,
                "metadata-value",
                f"{entry.key} is not a URL: {shown(entry.value)}",
            )
        ]
    if parts.scheme == "https" and parts.netloc and domain in (None, parts.netloc):
        return []
    message = f"{entry.key} is {shown(entry.value)}, not an https URL"
    return [
        Finding(entry.line, None, "metadata-value", message + (f" on {domain}" if domain else ""))
    ]


def _asset_path(entry: Entry) -> list[Finding]:
    """Findings about where the artifact's archive is: one .tar.gz that a robot may fetch."""
    problems = []
    if not entry.value.endswith(".tar.gz"):
        problems.append("does not end in .tar.gz")
    if re.match(r"https?://github\.com/", entry.value):
        problems.append("is on github.com, which robots may not fetch from")
    if not re.match(r"https?://\w|gs://\w", entry.value) or re.search(r"\s", entry.value):
        problems.append("is not a URL")
    if not problems:
        return []
    message = f"asset-path {' and '.join(problems)}: {shown(entry.value)}"
    return [Finding(entry.line, None, "asset-path", message)]


@cache
def _lists() -> dict[str, Any]:
    return load_list("tfhub_tags")
