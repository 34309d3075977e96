"""Pages in the form of tfhub.dev: title, short description, metadata, and then the text.

The form is that of the validator which tfhub.dev ran on every page before publishing it. What that
validator refuses is an error here, and so are carriage returns, values of fine-tunable other than
true and false, archives whose path is no URL, and icons outside publishers' pages. What it takes
and a reader would not, such as a tree of headings with gaps, gives warnings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hubexport.cards.handles import NAME, PUBLISHER
from hubexport.cards.lint.findings import Finding, in_order
from hubexport.cards.lint.layout import check_layout
from hubexport.cards.lint.pages import Page
from hubexport.cards.lint.tfhub_metadata import (
    KEYS,
    METADATA_LINE,
    Entry,
    Kind,
    check_metadata,
)
from hubexport.cards.problems import shown

RULES = (
    "handle",
    "path",
    "line-ends",
    "description",
    "description-markup",
    "metadata-form",
    "metadata-late",
    "head-line",
    "no-heading",
    "model-link",
)

_PUBLISHER, _NAME = f"(?P<publisher>{PUBLISHER})", f"(?P<name>{NAME})"
_MODULE = (
    re.compile(rf"# Module {_PUBLISHER}/{_NAME}/(?P<version>\d+)"),
    "# Module publisher/name/version",
)
# What the first line matches, and how a message writes it.
_TITLES: dict[Kind, tuple[re.Pattern[str], str]] = {
    "encoder": _MODULE,
    "preprocessor": _MODULE,
    "pipeline": _MODULE,
    "collection": (
        re.compile(rf"# Collection {_PUBLISHER}/(?P<name>[\w/&;.-]+)/(?P<version>\d+)"),
        "# Collection publisher/name/1",
    ),
    "publisher": (re.compile(rf"# Publisher {_PUBLISHER}"), "# Publisher publisher"),
}
_MODEL_URL = re.compile(
    r"https://tfhub\.dev/[a-z\d-]+/(?:(?:tfjs|lite|coral)-model/)?[\w.-]+(?:/[\w.-]+)*"
)
_ICON = "[![Icon URL]]"


@dataclass
class _Head:
    """What stands before the text of a page.

    `end` is the number of lines of title, description and metadata.
    """

    description: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    end: int = 1


def check_page(text: str, kind: Kind, path: str | None = None) -> list[Finding]:
    """All findings about a page in the form of tfhub.dev.

    Args:
      text: the page.
      kind: what the page is about.
      path: where the page is to be stored, relative to the directory of all pages, with slashes;
        None leaves that unchecked.

    Raises:
      ValueError: `kind` is none of these.
    """
    if kind not in KEYS:
        raise ValueError(f"kind is {kind!r}, not one of {', '.join(KEYS)}")
    page = Page(text)
    head = _read_head(page, kind)
    findings = [*page.findings, *head.findings, *_line_ends(text), *_title(page, kind, path)]
    findings += check_metadata(head.entries, kind, min(head.end + 1, len(page.lines)))
    findings += _late_metadata(page, head, kind)
    if kind == "collection" and not any(_MODEL_URL.search(line) for line in page.lines[head.end :]):
        message = "a collection links to at least one model"
        form = "https://tfhub.dev/publisher/name/version"
        findings.append(Finding(len(page.lines), None, "model-link", message, form))
    return in_order([*findings, *check_layout(page)])


def _line_ends(text: str) -> list[Finding]:
    before, found, _ = text.partition("\r")
    if not found:
        return []
    message = "a line ends with a carriage return, which the validator takes for part of the line"
    return [Finding(before.count("\n") + 1, None, "line-ends", message, "end lines with \\n alone")]


def _title(page: Page, kind: Kind, path: str | None) -> list[Finding]:
    pattern, form = _TITLES[kind]
    # Names that a browser would take for a link are written with this entity.
    first = page.lines[0].replace("&zwnj;", "")
    found = pattern.fullmatch(first)
    if not found:
        lowered = re.sub(r"^# \w+ [^/]*", _lower_publisher, first)
        good = pattern.fullmatch(lowered)
        suggestion = "a publisher's name has lower case letters, digits and -" if good else None
        message = f"the first line is {shown(page.lines[0])}, not of the form {form!r}"
        return [Finding(1, None, "handle", message, suggestion)]
    publisher, *rest = found.groupdict().values()
    if kind == "publisher":
        allowed = [f"{publisher}/{publisher}.md"]
    elif kind == "collection":
        name, version = rest
        allowed = [f"{publisher}/collections/{name}/1.md"]
        if version != "1":
            message = f"a collection has the version 1 only; found {version}"
            return [Finding(1, None, "handle", message, form)]
    else:
        name, version = rest
        allowed = [f"{publisher}/{part}{name}/{version}.md" for part in ("models/", "")]
    if path is None or path in allowed:
        return []
    message = f"the page is stored as {shown(path)}, but its title belongs to {allowed[0]}"
    return [Finding(1, None, "path", message)]


def _lower_publisher(match: re.Match[str]) -> str:
    mark, word, publisher = match.group().split(" ", 2)
    return f"{mark} {word} {publisher.lower().replace('_', '-')}"


def _read_head(page: Page, kind: Kind) -> _Head:
    """Title, description and metadata, up to the first line of the text, which starts with #."""
    head, lines = _Head(), page.lines
    if head.end < len(lines) and not lines[head.end]:
        head.end += 1
    start = head.end
    while head.end < len(lines) and lines[head.end] and not lines[head.end].startswith("<!--"):
        head.description.append(lines[head.end])
        head.end += 1
    head.findings += _description(head.description, start, len(lines))
    if head.description and head.end == len(lines):
        message = "the short description runs to the end of the page: a blank line ends it"
        head.findings.append(Finding(head.end, None, "description", message))
    while head.end < len(lines) and not lines[head.end].startswith("#"):
        head.end += 1
        _read_head_line(head, lines[head.end - 1], kind)
    if head.end == len(lines):
        message = "there is no text under a heading after the metadata"
        head.findings.append(
            Finding(len(lines), None, "no-heading", message, "## Overview", "warning")
        )
    return head


def _description(description: list[str], start: int, total: int) -> list[Finding]:
    if not description:
        message = "under the title, at most one blank line apart, there is no short description"
        return [Finding(min(start + 1, total), None, "description", message)]
    return [
        Finding(
            start + number,
            None,
            "description-markup",
            "a heading or a fence in the short description, which is shown as one plain sentence",
            "put one sentence under the title",
            "warning",
        )
        for number, line in enumerate(description, 1)
        if re.match(r"#{1,6} |```|~~~", line)
    ]


def _read_head_line(head: _Head, line: str, kind: Kind) -> None:
    if not line or (kind == "publisher" and line.startswith(_ICON)):
        return
    found = METADATA_LINE.fullmatch(line)
    if found:
        head.entries.append(Entry(head.end, found["key"].strip(), found["value"].strip()))
    elif line.lstrip().startswith("<!--"):
        message = f"a metadata line is '<!-- key: value -->' and nothing else; found {shown(line)}"
        head.findings.append(Finding(head.end, None, "metadata-form", message))
    else:
        message = f"before the first heading there are metadata only; found {shown(line)}"
        head.findings.append(
            Finding(head.end, None, "head-line", message, "move the text under a heading")
        )


def _late_metadata(page: Page, head: _Head, kind: Kind) -> list[Finding]:
    """Metadata lines in the text, where nobody reads them; in blocks of code they are examples."""
    keys = KEYS[kind].required + KEYS[kind].optional
    findings = []
    for number, line in enumerate(page.lines[head.end :], head.end + 1):
        found = METADATA_LINE.fullmatch(line)
        if found and found["key"].strip() in keys and number not in page.code_lines:
            message = (
                f"{found['key'].strip()} stands after the first heading, where it has no effect"
            )
            findings.append(
                Finding(
                    number,
                    None,
                    "metadata-late",
                    message,
                    "move it above the first heading",
                    "warning",
                )
            )
    return findings
