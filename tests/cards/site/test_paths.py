"""Where pages lie, and that links between them lead there."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

import pytest

from hubexport.cards.site.paths import INDEX, SCRIPT, STYLE, page_path, relative
from tests.cards.site import material


def test_a_models_page_is_below_its_handle() -> None:
    card = material.encoder(publisher="google", name="small/bert_L-2")
    assert page_path(card) == "google/small/bert_L-2/index.html"


def test_pages_of_collections_and_publishers() -> None:
    catalogue = material.catalogue()
    collection = catalogue.collections[material.SMALL]
    assert page_path(collection) == "tensorflow/collections/small_bert/index.html"
    assert page_path(catalogue.publishers["tensorflow"]) == "tensorflow/index.html"


@pytest.mark.parametrize("name", ["..", "../../etc", "a//b", "a/./b", "a/.."])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the path of a page"):
        page_path(material.encoder(name=name))


@pytest.mark.parametrize(
    ("source", "target", "link"),
    [
        (INDEX, "a/b/index.html", "a/b/index.html"),
        ("a/b/index.html", INDEX, "../../index.html"),
        ("a/b/index.html", "a/b/index.html", "index.html"),
        ("a/b/c/index.html", "a/collections/d/index.html", "../../collections/d/index.html"),
        ("a/index.html", STYLE, "../_site/style.css"),
        (INDEX, "a/é%20b:c/index.html", "a/%C3%A9%2520b%3Ac/index.html"),
    ],
)
def test_relative(source: str, target: str, link: str) -> None:
    assert relative(source, target) == link
    back = posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(link)))
    assert back == target


def test_no_publisher_has_the_directory_of_style_and_script() -> None:
    for path in (STYLE, SCRIPT):
        assert "_" in path.split("/")[0], "names of publishers have no underscore"
