"""A page's text as HTML: headings get anchors, code its colours, wide tables a box to scroll in."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from hubexport.packages import needed_by

_NOT_IN_SLUGS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Heading:
    """A heading of a page: its level 1..6, its anchor, and its text without markup."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True)
class Text:
    """A text as HTML, with its headings in their order."""

    html: Markup
    headings: tuple[Heading, ...]


def plain_code(code: str, language: str) -> str:
    """Code as it is."""
    return str(escape(code))


def coloured_code(code: str, language: str) -> str:
    """Code with its parts marked, for colours; as it is in languages that are not known.

    Raises:
      MissingPackageError: the package that marks them is not installed.
    """
    with needed_by("--format=html", "pygments"):
        from pygments import highlight
        from pygments.formatters.html import HtmlFormatter
        from pygments.lexers import get_lexer_by_name
        from pygments.util import ClassNotFound
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return plain_code(code, language)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def render_text(source: str, code: Callable[[str, str], str] = coloured_code) -> Text:
    """CommonMark with tables as HTML. HTML in it is shown as text.

    Args:
      source: the text.
      code: from a block of code and its language to HTML.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    env: dict[str, Any] = {"code": code}
    tokens = parser.parse(source, env)
    headings = _with_anchors(tokens)
    return Text(Markup(parser.renderer.render(tokens, parser.options, env)), tuple(headings))


def slug(text: str) -> str:
    """The anchor that links to a heading expect: letters and digits, joined by hyphens."""
    return _NOT_IN_SLUGS.sub("", text.strip().lower()).replace(" ", "-") or "section"


def _with_anchors(tokens: Sequence[Token]) -> list[Heading]:
    headings: list[Heading] = []
    taken: set[str] = set()
    for token, inline in itertools.pairwise(tokens):
        if token.type != "heading_open":
            continue
        text = _plain(inline)
        anchor = _free(slug(text), taken)
        taken.add(anchor)
        token.attrSet("id", anchor)
        headings.append(Heading(int(token.tag[1:]), anchor, text))
    return headings


def _plain(inline: Token) -> str:
    kept = ("text", "code_inline", "text_special")
    children = inline.children or []
    return "".join(
        " " if each.type in ("softbreak", "hardbreak") else each.content
        for each in children
        if each.type in (*kept, "softbreak", "hardbreak")
    )


def _free(anchor: str, taken: set[str]) -> str:
    found, number = anchor, 0
    while found in taken:
        number += 1
        found = f"{anchor}-{number}"
    return found


def _fence(self: RendererHTML, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
    token = tokens[idx]
    label = (token.info.split() or ["text"])[0]
    # Wide code scrolls in its own box, which the keyboard must reach.
    return (
        '<div class="code"><pre tabindex="0"><code>'
        f"{env['code'](token.content, label)}</code></pre></div>\n"
    )


def _table_open(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: Any, env: Any
) -> str:
    heads = []
    for token in tokens[idx:]:
        if token.type == "thead_close":
            break
        if token.type == "inline":
            heads.append(_plain(token))
    label = escape(", ".join(filter(None, ["Table", *heads])))
    return f'<div class="table" role="group" tabindex="0" aria-label="{label}"><table>\n'


def _table_close(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: Any, env: Any
) -> str:
    return "</table></div>\n"


def _image(self: RendererHTML, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
    token = tokens[idx]
    address = urlsplit(str(token.attrGet("src") or ""))
    if address.netloc or address.scheme not in ("", "data"):
        # A page asks nothing of other hosts: their images are replaced by what they show.
        return str(escape(token.content))
    return self.image(tokens, idx, options, env)


_RULES = {
    "fence": _fence,
    "code_block": _fence,
    "table_open": _table_open,
    "table_close": _table_close,
    "image": _image,
}
