"""Markdown pages as the checkers read them: lines, blocks and headings with their places.

Pages are parsed with markdown-it-py as CommonMark with tables, which is what the hubs show. A block
of YAML between lines of `---` at the top is metadata and not part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from hubexport.cards.lint.findings import Finding

# Pages are read by people; what is longer is not a page, and would take long to parse.
MAX_CHARACTERS = 500_000

_NEWLINE = re.compile(r"\r\n|\r|\n")
_FRONT_MATTER_END = re.compile(r"---[ \t]*")
_CONTAINER_MARKERS = re.compile(r"^[\s>]*")


@dataclass(frozen=True)
class Fence:
    """A fenced block of code.

    Attributes:
      line: where it opens, counted from 1.
      label: the first word after the opening fence, "" if there is none.
      code: its text, without the indentation of a list that it is in.
      closed: whether a closing fence ends it; if not, it runs to the end of what it is in.
      end: its last line, counted from 1.
    """

    line: int
    label: str
    code: str
    closed: bool
    end: int


@dataclass(frozen=True)
class Heading:
    """A heading: its line counted from 1, its level 1..6, and its text without markup."""

    line: int
    level: int
    text: str


@dataclass
class Page:
    """A page's text, split and parsed.

    Attributes:
      lines: without line ends; what is not valid text is replaced by U+FFFD.
      findings: what is wrong with the text as such.
      front_matter: the number of lines that the YAML block at the top takes, 0 if there is none.
    """

    text: str
    lines: list[str] = field(init=False)
    findings: list[Finding] = field(init=False, default_factory=list)
    front_matter: int = field(init=False)

    def __post_init__(self) -> None:
        if len(self.text) > MAX_CHARACTERS:
            message = f"the page has {len(self.text):,} characters; at most {MAX_CHARACTERS:,}"
            self.findings.append(Finding(1, None, "page-size", message + " are checked"))
            self.text = self.text[:MAX_CHARACTERS]
        self.lines = _NEWLINE.split(self.text)
        for number, line in enumerate(self.lines, 1):
            bad = re.search("[\ud800-\udfff\x00]", line)
            if bad:
                message = "a character that UTF-8 or markdown does not have"
                self.findings.append(Finding(number, bad.start() + 1, "page-encoding", message))
                self.lines[number - 1] = re.sub("[\ud800-\udfff\x00]", "\ufffd", line)
        self.front_matter = _front_matter_lines(self.lines)

    @cached_property
    def _parsed(self) -> tuple[list[Token], dict[str, Any]]:
        markdown = MarkdownIt("commonmark", {"store_labels": True}).enable("table")
        # Links are kept as they were written and whatever their scheme is, to be judged here.
        markdown.normalizeLink = lambda url: url  # type: ignore[method-assign]
        markdown.validateLink = lambda url: True  # type: ignore[method-assign]
        environment: dict[str, Any] = {}
        body = [""] * self.front_matter + self.lines[self.front_matter :]
        return markdown.parse("\n".join(body), environment), environment

    @property
    def tokens(self) -> list[Token]:
        """markdown-it-py's blocks; their maps are lines counted from 0."""
        return self._parsed[0]

    @property
    def references(self) -> dict[str, dict[str, Any]]:
        """Definitions `[label]: url` by label, with "href" and "map"."""
        references: dict[str, dict[str, Any]] = self._parsed[1].get("references", {})
        return references

    @property
    def duplicate_references(self) -> list[dict[str, Any]]:
        """Definitions whose label was defined before, with "label", "href" and "map"."""
        duplicates: list[dict[str, Any]] = self._parsed[1].get("duplicate_refs", [])
        return duplicates

    @cached_property
    def fences(self) -> list[Fence]:
        """The fenced blocks in order."""
        return [self._fence(token) for token in self.tokens if token.type == "fence"]

    @cached_property
    def headings(self) -> list[Heading]:
        """The headings in order, both `# ...` and underlined ones."""
        tokens = self.tokens
        return [
            Heading(token.map[0] + 1, int(token.tag[1:]), _plain(tokens[index + 1]))
            for index, token in enumerate(tokens)
            if token.type == "heading_open" and token.map
        ]

    @cached_property
    def code_lines(self) -> set[int]:
        """The lines of fenced and indented code, counted from 1."""
        blocks = [token for token in self.tokens if token.type in ("fence", "code_block")]
        return {
            line
            for token in blocks
            if token.map
            for line in range(token.map[0] + 1, token.map[1] + 1)
        }

    def inlines(self) -> Iterator[tuple[Token, int, int]]:
        """Texts with inline markup: the token, its first line counted from 0, the line after it."""
        start, end = 0, 1
        for token in self.tokens:
            if token.map:
                start, end = token.map
            if token.type == "inline":
                yield token, start, end

    def _fence(self, token: Token) -> Fence:
        start, end = token.map or [0, 1]
        last = _CONTAINER_MARKERS.sub("", self.lines[min(end, len(self.lines)) - 1])
        mark, least = token.markup[0], len(token.markup)
        closed = end - start >= 2 and re.fullmatch(rf"{re.escape(mark)}{{{least},}}\s*", last)
        words = token.info.split()
        return Fence(start + 1, words[0] if words else "", token.content, bool(closed), end)


def _front_matter_lines(lines: list[str]) -> int:
    """How many lines the YAML block takes with its two fences, 0 without one."""
    if not _FRONT_MATTER_END.fullmatch(lines[0]):
        return 0
    for number, line in enumerate(lines[1:], 2):
        if _FRONT_MATTER_END.fullmatch(line):
            return number
    return 0


def _plain(inline: Token) -> str:
    """The text of inline markup as a reader sees it."""
    kept = ("text", "code_inline")
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in inline.children or []
        if child.type in (*kept, "softbreak", "hardbreak")
    )
