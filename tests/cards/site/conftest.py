"""A browser for the site's tests. It opens the site from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import browsers
from tests.cards.site import material
from tests.cards.site.browsing import WIDE, Visit, pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.write(material.site(), tmp_path_factory.mktemp("site"))


@pytest.fixture
def visit(browser: Any, directory: Path) -> Iterator[Visit]:
    """Opens a page of the site; at the end, nothing may have gone wrong or out of the directory."""
    contexts, wrong = [], []

    def opened(
        page: str = "index", size: tuple[int, int] = WIDE, scheme: str = "light", **more: Any
    ) -> Any:
        width, height = size
        viewport = {"width": width, "height": height}
        anchor = more.pop("anchor", "")
        context = browser.new_context(viewport=viewport, color_scheme=scheme, **more)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(15_000)
        root = directory.as_uri() + "/"
        tab.on("request", lambda each: each.url.startswith(root) or wrong.append(each.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        tab.goto(f"{root}{pages()[page]}{anchor}")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert not wrong
