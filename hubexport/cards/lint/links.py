"""Links and images of a page: well-formed, and leading to something. HTML that runs programs.

Nothing is fetched. A link is to a page elsewhere (https), to a heading of this page (#name), or to
a file that is published with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it.token import Token

from hubexport.cards.lint.findings import Finding, in_order
from hubexport.cards.lint.html import RULES as HTML_RULES
from hubexport.cards.lint.html import anchor_names, html_findings, html_links
from hubexport.cards.lint.pages import Page
from hubexport.cards.problems import nearest, shown

RULES = (
    *HTML_RULES,
    "link-empty",
    "link-malformed",
    "link-http",
    "link-scheme",
    "link-target",
    "link-anchor",
    "link-space",
    "reference-undefined",
    "reference-twice",
    "image-text",
)

# Lines of a paragraph that are looked through for the place of a link.
_REACH = 40
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = re.compile(r"(?=.{1,253}$)[^\W_](?:[\w-]*\w)?(?:\.[^\W_](?:[\w-]*\w)?)*\.?")
# A link in brackets that CommonMark took for text, because there is a space in its URL.
_SPACED = re.compile(r"\]\(\s*(?:https?://|[./#\w])[^()<>\"']*?\s[^()]*\)")
_UNDEFINED = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")


def check_links(text: str, known: Collection[str] = ()) -> list[Finding]:
    """All findings about the links, images and HTML of a page.

    Args:
      text: the page.
      known: paths, relative to the page, of the files that are published with it.
    """
    page = Page(text)
    checker = _Checker(page, set(known))
    return in_order([*page.findings, *checker.findings()])


class _Checker:
    def __init__(self, page: Page, known: set[str]):
        self.page = page
        self.known = {path.removeprefix("./") for path in known}
        self.anchors = set(heading_anchors([heading.text for heading in page.headings]))
        for _, content in _html(page):
            self.anchors.update(anchor_names(content))

    def findings(self) -> Iterator[Finding]:
        for line, content in _html(self.page):
            yield from html_findings(content, line)
            for offset, url in html_links(content):
                yield from self.url(url, line + offset, None)
        for definition in self.page.references.values():
            yield from self.url(definition["href"], definition["map"][0] + 1, None)
        for definition in self.page.duplicate_references:
            message = f"[{definition['label'].lower()[:60]}] is defined a second time"
            line = definition["map"][0] + 1
            yield Finding(line, None, "reference-twice", message, None, "warning")
        for token, start, end in self.page.inlines():
            yield from self.inline(token.children or [], start, end)

    def inline(self, children: list[Token], start: int, end: int) -> Iterator[Finding]:
        """Findings about the links of one paragraph, heading or cell on lines start..end - 1."""
        row, column, breaks = start, 0, 0
        text = ""
        for child in children:
            text += child.content if child.type == "text" else "\n" if _breaks(child) else "\0"
            url = child.attrs.get("href" if child.type == "link_open" else "src")
            breaks += _breaks(child)
            if child.type not in ("link_open", "image") or "label" in child.meta:
                if child.type == "image":
                    yield from self.image(child, row + 1)
                continue
            address = str(url or "")
            if start + breaks > row:
                row, column = start + breaks, 0
            row, column = self.place(address, row, column, end)
            yield from self.url(address, row + 1, column or None)
            if child.type == "image":
                yield from self.image(child, row + 1)
                breaks += sum(map(_breaks, child.children or []))
        yield from self.left_over(text, start, end)

    def image(self, token: Token, line: int) -> Iterator[Finding]:
        if not token.content.strip():
            message = "an image without a text for those who do not see it"
            yield Finding(line, None, "image-text", message, "![what it shows](...)", "warning")

    def left_over(self, text: str, start: int, end: int) -> Iterator[Finding]:
        """What looks like a link and was left as text."""
        for pattern, rule in ((_SPACED, "link-space"), (_UNDEFINED, "reference-undefined")):
            for found in pattern.finditer(text):
                if "\0" in found.group():
                    continue
                row, column = self.place(found.group().split("\n")[0], start, 0, end)
                if rule == "link-space":
                    message = f"a space in the URL of a link: {shown(found.group()[1:])}"
                    yield Finding(row + 1, column or None, rule, message, "write it as %20")
                else:
                    label = " ".join((found[2] or found[1]).split())[:60]
                    message = f"[{label}] is not defined on this page"
                    yield Finding(row + 1, column or None, rule, message, f"[{label}]: https://...")

    def place(self, needle: str, row: int, column: int, end: int) -> tuple[int, int]:
        """The first place from `row`, after `column`, that has `needle`: row from 0, column from 1.

        (row, 0) where it is not there as such, because of escapes or entities in it.
        """
        lines = self.page.lines[row : min(end, row + _REACH)] if needle else []
        for before in ("](", "](<", "<", ""):
            for number, line in enumerate(lines, row):
                found = line.find(before + needle, column if number == row else 0)
                if found >= 0:
                    return number, found + len(before) + 1
        return row, 0

    def url(self, url: str, line: int, column: int | None) -> Iterator[Finding]:
        """Findings about one address."""
        if not url:
            yield Finding(line, column, "link-empty", "a link to nothing")
        elif re.search(r"[\s\x00-\x1f<>]", url):
            message = f"a space or < > in the URL {shown(url)}"
            yield Finding(line, column, "link-space", message, "write it as %20")
        elif url.startswith("#"):
            yield from self.anchor(url[1:], line, column)
        elif _SCHEME.match(url) or url.startswith("//"):
            yield from _absolute(url, line, column)
        else:
            path = unquote(re.split(r"[?#]", url)[0]).removeprefix("./")
            if path not in self.known:
                message = f"{shown(url)} is not among the files published with this page"
                proposal = nearest(path, self.known) or "write the whole https URL"
                yield Finding(line, column, "link-target", message, proposal)

    def anchor(self, name: str, line: int, column: int | None) -> Iterator[Finding]:
        if unquote(name) not in self.anchors:
            message = f"no heading of this page has the name #{name[:60]}"
            yield Finding(line, column, "link-anchor", message, nearest(name, self.anchors))


def heading_anchors(headings: list[str]) -> list[str]:
    """The names that a page's headings have in links, in order, as GitHub makes them."""
    last: dict[str, int] = {}  # the number that a name was last given; 0 for a name without one
    for heading in headings:
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        unique = name
        while unique in last:
            last[name] += 1
            unique = f"{name}-{last[name]}"
        last[unique] = 0
    return list(last)


def _absolute(url: str, line: int, column: int | None) -> Iterator[Finding]:
    scheme = url.partition(":")[0].lower()
    if scheme == "mailto":
        if not re.fullmatch(r"mailto:[^@\s]+@[^@\s]+\.[^@\s]+", url, re.IGNORECASE):
            yield Finding(line, column, "link-malformed", f"{shown(url)} has no mail address")
        return
    if scheme not in ("http", "https"):
        message = f"{shown(url)} is neither https nor a path"
        yield Finding(line, column, "link-scheme", message)
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        message = f"{shown(url)} is not a URL: {error}"
        yield Finding(line, column, "link-malformed", message)
        return
    if not _HOST.fullmatch(host) and not re.fullmatch(r"[0-9a-f:.]+", host):
        yield Finding(line, column, "link-malformed", f"{shown(url)} has no host")
    elif scheme == "http":
        message = f"{shown(url)} is not https"
        yield Finding(line, column, "link-http", message, None, "warning")


def _html(page: Page) -> Iterator[tuple[int, str]]:
    """The pieces of HTML of a page, each with its first line counted from 1."""
    for token in page.tokens:
        if token.type == "html_block" and token.map:
            yield token.map[0] + 1, token.content
    for token, start, _ in page.inlines():
        row = start
        for child in token.children or []:
            if child.type == "html_inline":
                yield row + 1, child.content
            row += child.content.count("\n") + _breaks(child)


def _breaks(token: Any) -> bool:
    return token.type in ("softbreak", "hardbreak")
