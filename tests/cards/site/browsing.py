"""What the tests in a browser share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hubexport.cards.site.paths import INDEX, page_path
from tests.cards.site import material

WIDE, NARROW = (1280, 900), (360, 780)
Visit: TypeAlias = Callable[..., Any]
"""Opens a page by its kind; the result is Playwright's page."""


def pages() -> dict[str, str]:
    catalogue = material.catalogue()
    return {
        "index": INDEX,
        "encoder": page_path(catalogue.encoders[material.small_handle(12, 512)]),
        "preprocessor": page_path(catalogue.preprocessors["tensorflow/bert_en_cased_preprocess"]),
        "collection": page_path(catalogue.collections[material.SMALL]),
        "publisher": page_path(catalogue.publishers["tensorflow"]),
    }
