"""Pages in the forms of the platforms: text files by the paths that each platform wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering import pages, platforms
from hubexport.cards.rendering.filters import plain
from hubexport.cards.rendering.metadata import hugging_face, kaggle, tfhub
from hubexport.cards.rendering.pages import Records
from hubexport.cards.rendering.platforms import Addresses
from hubexport.cards.rendering.templates import template_directory
from hubexport.cards.schema import Card, CollectionCard, Model, PublisherCard

Files = dict[str, str]
"""Path with slashes -> text."""


@dataclass(frozen=True)
class Format:
    """One way to publish pages.

    Attributes:
      page: card -> its files, by paths inside the page's own place.
      place: card -> that place, below the directory of all pages.
      kinds: of cards that have pages there.
      single: whether a page is one file.
    """

    page: Callable[[Card, Catalogue, Records, Addresses], Files]
    place: Callable[[Card], str]
    kinds: tuple[str, ...]
    single: bool


def _tfhub_page(card: Card, catalogue: Catalogue, records: Records, addresses: Addresses) -> Files:
    text = pages.body(card, catalogue, records, platforms.tfhub(addresses.hub_url))
    asset_path = None
    if addresses.asset_url is not None and isinstance(card, Model):
        asset_path = f"{addresses.asset_url}/{card.handle}/{card.version}.tar.gz"
    head = tfhub.head(card, records.get(card.handle), catalogue, asset_path)
    return {_tfhub_file(card): f"{head.rstrip()}\n\n{text}"}


def _tfhub_file(card: Card) -> str:
    if isinstance(card, PublisherCard):
        return f"{card.publisher}.md"
    return f"{1 if isinstance(card, CollectionCard) else card.version}.md"


def _tfhub_place(card: Card) -> str:
    if isinstance(card, PublisherCard):
        return card.publisher
    kind = "collections" if isinstance(card, CollectionCard) else "models"
    return f"{card.publisher}/{kind}/{card.name}"


def _kaggle_page(card: Card, catalogue: Catalogue, records: Records, _: Addresses) -> Files:
    assert isinstance(card, Model)
    page = pages.facts(card, catalogue, records, platforms.kaggle())
    overview = pages.section("overview", page)
    whole = pages.body(card, catalogue, records, platforms.kaggle())
    usage = whole.removeprefix(overview).lstrip("\n")
    instance = kaggle.instance_metadata(
        card, records.get(card.handle), catalogue, overview=overview, usage=usage
    )
    return {
        "model-metadata.json": kaggle.dumps(kaggle.model_metadata(card, catalogue, overview)),
        "model-instance-metadata.json": kaggle.dumps(instance),
    }


def _hugging_face_page(card: Card, catalogue: Catalogue, records: Records, _: Addresses) -> Files:
    assert isinstance(card, Model)
    text = pages.body(card, catalogue, records, platforms.hugging_face())
    block = hugging_face.front_matter(card, records.get(card.handle), catalogue)
    return {"README.md": f"{block.rstrip()}\n\n# {plain(card.title)}\n\n{text}"}


_MODELS = ("encoder", "preprocessor", "pipeline")
FORMATS: Mapping[str, Format] = {
    "tfhub": Format(_tfhub_page, _tfhub_place, (*_MODELS, "collection", "publisher"), single=True),
    "kaggle": Format(
        _kaggle_page, lambda card: f"{card.handle}/{_version(card)}", _MODELS, single=False
    ),
    "huggingface": Format(
        _hugging_face_page, lambda card: hugging_face.repository(card), _MODELS, single=True
    ),
}
"""--format -> how its pages are written; `html` is a site, not pages: see `site`."""


def _version(card: Card) -> int:
    assert isinstance(card, Model)
    return card.version


def tree(
    name: str,
    cards: Iterable[Card],
    catalogue: Catalogue,
    records: Records,
    addresses: Addresses,
) -> Files:
    """The pages of many cards, each in its place.

    Models that were not exported are left out, and collections and publishers without any model.
    """
    form = FORMATS[name]
    exported = [card for card in cards if card.handle in records]
    publishers = {card.publisher for card in exported}
    collections = {handle for card in exported for handle in getattr(card, "collections", ())}
    files: Files = {}
    for card in cards:
        wanted = card in exported or card.handle in collections | publishers
        if wanted and card.kind in form.kinds:
            for path, text in form.page(card, catalogue, records, addresses).items():
                files[f"{form.place(card)}/{path}"] = text
    return files


def site(catalogue: Catalogue, records: Records, hub_url: str) -> Files:
    """The catalogue as a static site: every card, exported or not."""
    from hubexport.cards.site.paths import page_path, relative
    from hubexport.cards.site.rendering import render_site

    hub = platforms.tfhub(hub_url)

    def body(card: Card) -> str:
        here = page_path(card)
        platform = platforms.Platform(lambda other: relative(here, page_path(other)), hub.load)
        return pages.body(card, catalogue, records, platform)

    return render_site(catalogue, records, body, template_directory())
