"""The Python programs on a page: where they are, and whether they compile."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from hubexport.cards.lint.findings import Finding, in_order
from hubexport.cards.lint.pages import Page

RULES = ("snippet-syntax", "snippet-warning", "snippet-empty")

LABELS = ("python", "py", "python3")


@dataclass(frozen=True)
class Snippet:
    """A fenced Python block.

    Attributes:
      line: the page's line that its first line of code is on, counted from 1.
      code: the program, without the indentation of a list that the block is in.
    """

    line: int
    code: str


def python_snippets(text: str) -> list[Snippet]:
    """The fenced blocks of a page that are labelled as Python, in order."""
    return _snippets(Page(text))


def check_snippets(text: str) -> list[Finding]:
    """All Python blocks that do not compile, or that Python warns of, with the page's lines."""
    page = Page(text)
    findings = list(page.findings)
    for snippet in _snippets(page):
        findings += _compile(snippet, page)
    return in_order(findings)


def _snippets(page: Page) -> list[Snippet]:
    return [
        Snippet(fence.line + 1, fence.code)
        for fence in page.fences
        if fence.label.lower() in LABELS
    ]


def _compile(snippet: Snippet, page: Page) -> list[Finding]:
    if not snippet.code.strip():
        return [Finding(snippet.line - 1, None, "snippet-empty", "an empty Python block")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            compile(snippet.code, "<page>", "exec", dont_inherit=True)
        except SyntaxError as error:
            return [_syntax(error, snippet, page)]
        except (ValueError, OverflowError, RecursionError, MemoryError) as error:
            # Null characters, and programs nested beyond what the compiler takes.
            message = f"the program cannot be compiled: {error or type(error).__name__}"
            return [Finding(snippet.line, None, "snippet-syntax", message)]
    return [
        Finding(
            snippet.line + found.lineno - 1,
            None,
            "snippet-warning",
            f"Python warns: {found.message}",
            None,
            "warning",
        )
        for found in caught
    ]


def _syntax(error: SyntaxError, snippet: Snippet, page: Page) -> Finding:
    code = snippet.code.split("\n")
    # Python counts beyond the end where a bracket stays open.
    row = min(max(error.lineno or 1, 1), max(len(code), 1))
    line = min(snippet.line + row - 1, len(page.lines))
    column = None
    if error.offset and page.lines[line - 1].endswith(code[row - 1]):
        column = len(page.lines[line - 1]) - len(code[row - 1]) + error.offset
    first = code[row - 1].lstrip()
    suggestion = None
    if first.startswith((">>>", "...")):
        suggestion = "label sessions with prompts as pycon, or take the prompts away"
    elif first.startswith(("!", "%", "$ ", "pip ")):
        suggestion = "put commands of a shell or a notebook into a block labelled sh"
    return Finding(line, column, "snippet-syntax", f"not Python: {error.msg}", suggestion)
