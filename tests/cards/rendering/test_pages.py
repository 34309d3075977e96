"""Pages of the whole catalogue: by the rules of their platforms, and whatever a card says."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubexport.cards.lint import (
    Finding,
    check_card,
    check_instance_metadata,
    check_links,
    check_model_metadata,
    check_page,
    check_snippets,
)
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.formats import FORMATS, Files
from hubexport.cards.schema import Card
from hubexport.errors import HubexportError
from tests.cards.material import MODEL_CARDS
from tests.cards.rendering.pages import (
    KINDS,
    NOTHING,
    cards,
    empty,
    licence_of,
    lines_of_tables,
    markdown,
    refused,
    rendered,
)
from tests.cards.rendering.programs import ADDRESSES

# Warnings that pages may have.
WARNINGS = ("the card has no license, by which people find models",)


def findings(name: str, card: Card, files: Files) -> Iterator[Finding]:
    for path, text in files.items():
        if name == "tfhub":
            place = f"{FORMATS[name].place(card)}/{path}"
            yield from check_page(text, card.kind, place)  # type: ignore[arg-type]
        elif name == "huggingface":
            yield from check_card(text)
        else:
            check = check_instance_metadata if "instance" in path else check_model_metadata
            yield from check(json.loads(text), text)
    for text in markdown(files):
        yield from (*check_links(text), *check_snippets(text))


EXPORTED = [True, pytest.param(False, marks=pytest.mark.exhaustive)]
Pages = Callable[[str, bool], list[tuple[Card, Files]]]


@pytest.fixture(scope="module")
def rendered_once(catalogue: Catalogue, records: Mapping[str, Any]) -> Pages:
    """All pages of a format, of models that were exported or of cards alone."""
    return functools.cache(
        lambda name, exported: list(rendered(name, catalogue, records if exported else {}))
    )


@pytest.mark.parametrize("exported", EXPORTED)
@pytest.mark.parametrize("name", FORMATS)
def test_checkers_find_nothing(
    name: str, exported: bool, rendered_once: Pages, catalogue: Catalogue
) -> None:
    pages = rendered_once(name, exported)
    assert len(pages) > 50
    for card, files in pages:
        for found in findings(name, card, files):
            allowed = found.severity == "warning" and found.message in WARNINGS
            unlicensed = licence_of(card, catalogue) is None
            known = found.severity == "note" or (allowed and unlicensed)
            assert known, (card.handle, found.render(name))


@pytest.mark.parametrize("exported", EXPORTED)
@pytest.mark.parametrize("name", FORMATS)
def test_nothing_stands_for_what_is_not_known(
    name: str, exported: bool, rendered_once: Pages
) -> None:
    for card, files in rendered_once(name, exported):
        for text in markdown(files):
            code = "".join(re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE))
            prose = re.sub(r"^```.*?^```", "code", text, flags=re.DOTALL | re.MULTILINE)
            assert not NOTHING.search(prose), (card.handle, NOTHING.search(prose))
            assert not re.search(r"[Uu]ndefined|\{\{.*\}\}|= None|None\]", code), card.handle
            assert not list(empty(text)), card.handle
            assert not re.search(r"\n\n\n| \n|\t", prose), card.handle


def test_empty_parts_are_found() -> None:
    good = "## a\n\n### b\n\n- c\n\n| | |\n|---|---|\n| a | b |\n"
    assert not list(empty(good))
    assert list(empty(good + "## c\n")) == ["heading c"]
    assert list(empty("## a\n\n## b\n\ntext\n")) == ["heading a"]
    assert list(empty("## a\n\n| a | b |\n|---|---|\n\n-\n")) == ["table", "item"]


@pytest.mark.parametrize("name", FORMATS)
def test_tables_are_tables(name: str, rendered_once: Pages) -> None:
    for card, files in rendered_once(name, True):
        for text in markdown(files):
            looks, are = lines_of_tables(text)
            assert looks == are, card.handle
            assert are > 2 or card.kind == "publisher" or name == "kaggle"


def test_licences_that_kaggle_does_not_know(
    catalogue: Catalogue, records: Mapping[str, Any]
) -> None:
    without = [card for card in cards(catalogue, KINDS) if refused("kaggle", card, catalogue)]
    assert without
    for card in without:
        with pytest.raises(HubexportError, match="licence"):
            FORMATS["kaggle"].page(card, catalogue, records, ADDRESSES)


_DIGEST = """
import hashlib, json, sys
from pathlib import Path
from hubexport.cards.loading import load_catalogue
from hubexport.cards.rendering.formats import FORMATS
from tests.cards.rendering.pages import rendered

catalogue, records = load_catalogue(Path(sys.argv[1])), json.load(sys.stdin)
pages = [list(files.items()) for name in FORMATS for _, files in rendered(name, catalogue, records)]
print(hashlib.sha256(json.dumps(pages).encode()).hexdigest())
"""


def test_pages_are_the_same_each_time(rendered_once: Pages, records: Mapping[str, Any]) -> None:
    """Also in another process, where hashes of texts are others."""
    pages = [list(files.items()) for name in FORMATS for _, files in rendered_once(name, True)]
    done = subprocess.run(
        [sys.executable, "-c", _DIGEST, str(MODEL_CARDS)],
        cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONHASHSEED": "1"},
        input=json.dumps(records), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == hashlib.sha256(json.dumps(pages).encode()).hexdigest()
