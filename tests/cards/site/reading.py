"""Pages as browsers read them: ids, links, and what is fetched."""

from __future__ import annotations

import posixpath
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

_FETCHED = {("link", "href"), ("script", "src"), ("img", "src"), ("use", "href"), ("image", "href")}


class Page(HTMLParser):
    """What stands in a page.

    Attributes:
      ids: of all elements, in their order.
      links: targets of `a`.
      fetched: what a browser loads along with the page.
      scripts: texts of scripts in the page itself.
      events: names of attributes that run programs.
      elements: names of all elements.
      text: all text outside of scripts.
    """

    def __init__(self, html: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.scripts: list[str] = []
        self.events: list[str] = []
        self.elements: list[str] = []
        self.text = ""
        self._in_script = False
        self.feed(str(html))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self._in_script = tag == "script"
        for name, value in attrs:
            key = name.removeprefix("xlink:")
            if key == "id":
                self.ids.append(value or "")
            if (tag, key) == ("a", "href"):
                self.links.append(value or "")
            if (tag, key) in _FETCHED:
                self.fetched.append(value or "")
            if name.startswith("on"):
                self.events.append(name)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)
        else:
            self.text += data


def target(source: str, link: str) -> tuple[str, str]:
    """File and anchor that a link of a page leads to."""
    parts = urlsplit(link)
    directory = posixpath.dirname(source)
    path = posixpath.normpath(posixpath.join(directory, unquote(parts.path)))
    return (path if parts.path else source), unquote(parts.fragment)


def is_elsewhere(link: str) -> bool:
    """Whether a link leads out of the site."""
    parts = urlsplit(link)
    return bool(parts.scheme or parts.netloc)
