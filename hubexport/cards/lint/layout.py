"""Rules for the text of any page: headings form a tree, code blocks end and have a language."""

from __future__ import annotations

from hubexport.cards.lint.findings import Finding
from hubexport.cards.lint.pages import Page

RULES = ("heading-step", "heading-top", "fence-open", "fence-label", "line-length")

MAX_LINE = 1000  # characters; published pages stay below, with their widest tables


def check_layout(page: Page) -> list[Finding]:
    """All findings about a page's headings, code blocks and lines."""
    return [*_headings(page), *_fences(page), *_lines(page)]


def _headings(page: Page) -> list[Finding]:
    findings = []
    level = 0
    for position, heading in enumerate(page.headings):
        if heading.level == 1 and position > 0:
            message = "a page has one heading of level 1, its title"
            findings.append(
                Finding(heading.line, None, "heading-top", message, "use ##", "warning")
            )
        elif heading.level > level + 1 and level:
            message = f"a heading of level {heading.level} follows one of level {level}"
            findings.append(
                Finding(
                    heading.line,
                    None,
                    "heading-step",
                    message,
                    f"use {'#' * (level + 1)}",
                    "warning",
                )
            )
        level = heading.level
    return findings


def _fences(page: Page) -> list[Finding]:
    findings = []
    for fence in page.fences:
        if not fence.closed:
            message = "a code block is never closed: all that follows is shown as code"
            findings.append(Finding(fence.line, None, "fence-open", message))
        if not fence.label:
            message = "a code block without its language"
            findings.append(
                Finding(
                    fence.line,
                    None,
                    "fence-label",
                    message,
                    "write ```python or ```text",
                    "warning",
                )
            )
    return findings


def _lines(page: Page) -> list[Finding]:
    return [
        Finding(
            number,
            MAX_LINE + 1,
            "line-length",
            f"a line of {len(line):,} characters; at most {MAX_LINE:,}",
            None,
            "warning",
        )
        for number, line in enumerate(page.lines, 1)
        if len(line) > MAX_LINE
    ]
