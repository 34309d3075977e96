"""What the templates of each kind of page read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2

from hubexport.cards.loading import Catalogue
from hubexport.cards.phrases import TOKENIZERS, family_name
from hubexport.cards.rendering.templates import new_environment
from hubexport.cards.schema import CollectionCard, PublisherCard
from hubexport.cards.site.facets import facets_of, language_name, values_as_json, words
from hubexport.cards.site.layer_errors import error_plot
from hubexport.cards.site.markdown import Heading, render_text
from hubexport.cards.site.paths import page_path
from hubexport.cards.site.summaries import Summary, grid_of, millions
from hubexport.cards.site.throughput import throughput_plots

# The pages' own ids have a full stop: no heading's anchor has one.
_MEASURED = Heading(2, "page.measured", "Measured error by layer")


def environment(directory: Path) -> jinja2.Environment:
    """Jinja for pages of HTML: everything is escaped, and names that are not there are errors."""
    made = new_environment(directory, autoescape=True)
    made.filters.update(
        count="{:,}".format,
        family_name=family_name,
        language_name=language_name,
        millions=millions,
        page_path=page_path,
        task_name=words,
        tokenizer_name=lambda kind: TOKENIZERS.get(kind, kind),
        values_as_json=values_as_json,
        web_address=web_address,
    )
    return made


def web_address(text: str | None) -> str:
    """An address that a page may link to; empty where it is none."""
    return text if text and urlsplit(text).scheme in ("https", "http") else ""


def index(catalogue: Catalogue, summaries: Sequence[Summary]) -> dict[str, Any]:
    """The page that all models are found from."""
    return {
        "summaries": summaries,
        "facets": facets_of(summaries),
        "collections": _with_sizes(catalogue, catalogue.collections.values()),
        "publishers": sorted(catalogue.publishers.values(), key=_title),
    }


def model(catalogue: Catalogue, summary: Summary, body: str) -> dict[str, Any]:
    """The page of a model; `body` is its text as CommonMark."""
    plot = error_plot(summary.record)
    text = render_text(body)
    headings = [each for each in text.headings if each.level in (2, 3)]
    card = summary.card
    source = summary.source
    preprocessor = catalogue.preprocessors.get(getattr(source, "preprocessor", ""))
    return {
        "summary": summary,
        "card": card,
        # Not twice on a page whose text begins with it.
        "lead": "" if card.description in body else card.description,
        "publisher": catalogue.publishers[card.publisher],
        "collections": [catalogue.collections[handle] for handle in card.collections],
        "source": source,
        "encoder": None if source is card else source,
        "preprocessor": preprocessor,
        "body": text.html,
        "headings": [*headings, _MEASURED] if plot else headings,
        "plot": plot,
        "measured": _MEASURED,
    }


def collection(
    catalogue: Catalogue, card: CollectionCard, members: Sequence[Summary]
) -> dict[str, Any]:
    """The page of a collection; `members` are its models."""
    grid = grid_of(members)
    listed = [each for each in members if not grid or each.card.kind != "encoder"]
    return {
        "card": card,
        "publisher": catalogue.publishers[card.publisher],
        "members": members,
        "grid": grid,
        "listed": listed,
        "plots": throughput_plots(grid) if grid else [],
        "papers": [catalogue.papers[name] for name in card.papers],
    }


def publisher(
    catalogue: Catalogue, card: PublisherCard, published: Sequence[Summary]
) -> dict[str, Any]:
    """The page of a publisher; `published` are its models."""
    own = [each for each in catalogue.collections.values() if each.publisher == card.publisher]
    return {
        "card": card,
        "published": published,
        "collections": _with_sizes(catalogue, own),
    }


def _with_sizes(
    catalogue: Catalogue, collections: Iterable[CollectionCard]
) -> list[tuple[CollectionCard, int]]:
    """Collections and the numbers of their models."""
    return [(each, len(catalogue.members(each.handle))) for each in sorted(collections, key=_title)]


def _title(card: CollectionCard | PublisherCard) -> tuple[str, str]:
    return (card.title.lower(), card.handle)
