"""The site of a catalogue: every page as text, by the path that it is to be written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from hubexport.cards.loading import Catalogue
from hubexport.cards.schema import Card, CollectionCard, PublisherCard
from hubexport.cards.site import views
from hubexport.cards.site.paths import INDEX, SCRIPT, STYLE, page_path, relative
from hubexport.cards.site.summaries import Record, Summary, summarize


def render_site(
    catalogue: Catalogue,
    records: Mapping[str, Record],
    body: Callable[[Card], str],
    templates: Path,
) -> dict[str, str]:
    """All files of the site, relative path -> text; the same input gives the same bytes.

    Args:
      catalogue: what people say of the models.
      records: handle without version -> record of the exported artifact, where there is one.
      body: the text of a model's page as CommonMark with tables, from `##` headings on. Pages of
        collections and publishers are made of the catalogue alone.
      templates: the directory that has `html/`.

    Raises:
      HubexportError: a package is missing that drawings or colours of code need.
      ValueError: two pages would have the same path, or a name is not a path.
    """
    directory = templates / "html"
    site = _Site(catalogue, summarize(catalogue, records), body, views.environment(directory))
    files = {
        STYLE: (directory / "style.css").read_text(encoding="utf-8"),
        SCRIPT: (directory / "site.js").read_text(encoding="utf-8"),
    }
    for path, text in site.pages():
        if path in files:
            raise ValueError(f"two pages would be {path!r}")
        files[path] = text
    return dict(sorted(files.items()))


@dataclass(frozen=True)
class _Site:
    """What all pages are made of."""

    catalogue: Catalogue
    summaries: list[Summary]
    body: Callable[[Card], str]
    environment: jinja2.Environment

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and text of every page."""
        yield self._page("index.html", INDEX, views.index(self.catalogue, self.summaries))
        for summary in self.summaries:
            values = views.model(self.catalogue, summary, self.body(summary.card))
            yield self._page("model.html", summary.path, values)
        for collection in self.catalogue.collections.values():
            values = views.collection(self.catalogue, collection, self._members(collection))
            yield self._page("collection.html", page_path(collection), values)
        for publisher in self.catalogue.publishers.values():
            values = views.publisher(self.catalogue, publisher, self._published(publisher))
            yield self._page("publisher.html", page_path(publisher), values)

    def _page(self, template: str, path: str, values: Mapping[str, Any]) -> tuple[str, str]:
        shared = {"link": partial(relative, path), "index": INDEX, "style": STYLE, "script": SCRIPT}
        return path, self.environment.get_template(template).render(**shared, **values)

    def _members(self, collection: CollectionCard) -> list[Summary]:
        return [each for each in self.summaries if collection.handle in each.card.collections]

    def _published(self, publisher: PublisherCard) -> list[Summary]:
        return [each for each in self.summaries if each.card.publisher == publisher.handle]
