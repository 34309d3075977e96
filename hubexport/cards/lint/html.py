"""HTML inside a markdown page: what may not be there, where it links to, which names it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubexport.cards.lint.findings import Finding

RULES = ("html-program",)

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAGS = "script|iframe|object|embed|applet|style|link|meta|base|form"
# Elements that run or load programs or change the page around them, and attributes that do.
_PROGRAM = re.compile(
    rf"<\s*(?P<tag>{_TAGS})(?=[\s/>]|\Z)"
    r"|<[a-z][^<>]*?\s(?P<event>on[a-z]+)\s*=",
    re.IGNORECASE,
)
_LINK = re.compile(r"<[a-z][^<>]*?\s(?:href|src)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
_NAME = re.compile(r"<[a-z][^<>]*?\s(?:id|name)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)


def html_findings(html: str, line: int) -> Iterator[Finding]:
    """Elements and attributes that run programs; `line` is the first line of `html`."""
    content = without_comments(html)
    for found in _PROGRAM.finditer(content):
        what = f"<{found['tag'].lower()}>" if found["tag"] else f"the attribute {found['event']}"
        here = line + content.count("\n", 0, found.start())
        message = f"{what} runs programs or changes the page around it; the hubs take it out"
        yield Finding(here, None, "html-program", message)


def html_links(html: str) -> list[tuple[int, str]]:
    """The addresses of links and images in HTML, each with the number of lines before it."""
    content = without_comments(html)
    return [
        (content.count("\n", 0, found.start(1)), found[1].strip("\"'").strip())
        for found in _LINK.finditer(content)
    ]


def anchor_names(html: str) -> list[str]:
    """The names that HTML gives to places of a page."""
    return [found[1].strip("\"'") for found in _NAME.finditer(without_comments(html))]


def without_comments(html: str) -> str:
    """HTML with its comments blanked out, line by line as before."""
    return _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), html)
