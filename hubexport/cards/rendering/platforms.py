"""Where pages are published: how they name other models, and how a program loads one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubexport.cards.rendering.filters import quoted
from hubexport.cards.rendering.metadata.hugging_face import repository
from hubexport.cards.schema import Card, CollectionCard, Model

HUB_URL = "https://tfhub.dev"


@dataclass(frozen=True)
class Addresses:
    """Where a publisher's own servers are.

    Attributes:
      hub_url: what stands before handles on tfhub.dev's kind of pages.
      asset_url: what stands before `HANDLE/VERSION.tar.gz`; None: pages do not say where the
        archives are.
    """

    hub_url: str = HUB_URL
    asset_url: str | None = None


@dataclass(frozen=True)
class Platform:
    """Addresses of one platform.

    Attributes:
      page: card -> URL of its page.
      load: model -> the Python expression that hub.load and hub.KerasLayer take.
      imports: lines of Python that the expression needs.
    """

    page: Callable[[Card], str]
    load: Callable[[Model], str]
    imports: tuple[str, ...] = ()


def tfhub(hub_url: str = HUB_URL) -> Platform:
    """tfhub.dev, or another server of its protocol."""

    def page(card: Card) -> str:
        if isinstance(card, CollectionCard):
            return f"{hub_url}/{card.publisher}/collections/{card.name}/1"
        version = f"/{card.version}" if isinstance(card, Model) else ""
        return f"{hub_url}/{card.handle}{version}"

    return Platform(page, lambda card: quoted(page(card)))


def kaggle() -> Platform:
    """Kaggle Models; it has no pages for collections of the kind that cards describe."""

    def page(card: Card) -> str:
        if isinstance(card, Model):
            k = card.kaggle
            framework = k.framework[0].upper() + k.framework[1:]
            path = f"models/{card.publisher}/{k.model}/{framework}/{k.variation}/{card.version}"
            return f"https://www.kaggle.com/{path}"
        return f"https://www.kaggle.com/organizations/{card.publisher}/models"

    return Platform(page, lambda card: quoted(page(card)))


def hugging_face() -> Platform:
    """The Hugging Face Hub: a repository for each model, loaded from its snapshot."""

    def page(card: Card) -> str:
        name = repository(card) if isinstance(card, Model) else card.publisher
        return f"https://huggingface.co/{name}"

    return Platform(
        page,
        lambda card: f"snapshot_download({quoted(repository(card))})",
        ("from huggingface_hub import snapshot_download",),
    )
