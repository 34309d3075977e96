"""Where the pages of the site lie, and how they link to each other."""

from __future__ import annotations

import posixpath
from urllib.parse import quote

from hubexport.cards.schema import Card, CollectionCard, PublisherCard

INDEX = "index.html"
# No publisher's name has an underscore.
STYLE = "_site/style.css"
SCRIPT = "_site/site.js"


def page_path(card: Card) -> str:
    """The file of a card's page, relative to the site's directory.

    Raises:
      ValueError: the card's name has parts that would lead elsewhere, such as `..`.
    """
    parts = [card.publisher, *_below_publisher(card), "index.html"]
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{card.handle!r} cannot be the path of a page")
    return "/".join(parts)


def relative(source: str, target: str) -> str:
    """The link from one file of the site to another, escaped; it works from file:// as well."""
    return quote(posixpath.relpath(target, posixpath.dirname(source) or "."))


def _below_publisher(card: Card) -> list[str]:
    if isinstance(card, PublisherCard):
        return []
    if isinstance(card, CollectionCard):
        return ["collections", *card.name.split("/")]
    return card.name.split("/")
