"""The catalogue in a browser: searching works, models are found, and no request leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hubexport.publishing.html import render_html
from tests import browsers
from tests.serving import trees
from tests.serving.hub.conftest import Hub
from tests.serving.hub.servers import Served

GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    root = trees.make(tmp_path_factory.mktemp("hub"))
    for number in range(60):
        handle = f"pub/encoder-{number:02d}/1"
        manifest = trees.add(root, handle, description=f"Encoder {number}, <b>small</b>.")
        # Written as publications write it; its digest is not looked at here.
        page = render_html(
            "hub/model.html",
            handle=handle,
            kind="encoder",
            description="An encoder.",
            body=f"<h1>{handle}</h1><img src='https://elsewhere.example/x.png' alt='A plot'>",
            archive=manifest.archive,
            beside=("README.md",),
        )
        content = page.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").encode()
        (root / handle / "index.html").write_bytes(content)
        text = (root / handle / "manifest.json").read_text()
        old = next(entry for entry in manifest.beside if entry.path == "index.html")
        new = trees.entry("index.html", content)
        text = text.replace(old.sha256, new.sha256)
        text = text.replace(f'"bytes": {old.bytes},', f'"bytes": {new.bytes},')
        (root / handle / "manifest.json").write_text(text)
    return Hub(root, {})


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Any]:
    """A tab at the catalogue; at the end, nothing may have been asked of others."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15_000)
    gone: set[str] = set()
    wrong: list[str] = []
    page.on("request", lambda each: gone.add(each.url))
    # What the page's policy refuses has not left.
    page.on("requestfailed", lambda each: "csp" in each.failure and gone.discard(each.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{served.url}/")
    yield page
    context.close()
    assert gone and all(url.startswith((f"{served.url}/", "data:")) for url in gone)
    assert not wrong


def search(tab: Any, words: str) -> None:
    tab.get_by_role("searchbox", name="Search").fill(words)
    tab.keyboard.press("Enter")
    tab.wait_for_function(
        "document.getElementById('page.hits').textContent.startsWith('1 ')"
        " || document.getElementById('page.hits').textContent.startsWith('0 ')"
    )


def shown(tab: Any) -> list[str]:
    return list(tab.locator(".card:visible h3").all_inner_texts())


def test_searching(tab: Any) -> None:
    assert "60 models" in tab.get_by_role("status").inner_text()
    search(tab, "ENCODER 42,")
    assert shown(tab) == ["pub/encoder-42"]
    search(tab, "absent")
    assert shown(tab) == [] and tab.get_by_text("No models match").is_visible()


def test_a_model_is_found_and_its_page_asks_nobody(tab: Any) -> None:
    search(tab, "encoder-07")
    tab.get_by_role("link", name="pub/encoder-07").click()
    tab.wait_for_selector("h1:text('pub/encoder-07/1')")
    # Whatever a model's page embeds, the policy keeps browsers from asking for it.
    assert tab.locator("img").evaluate("each => each.naturalWidth") == 0
    tab.get_by_role("link", name="Model hub").click()
    tab.wait_for_selector("h1:text('Models')")


def test_descriptions_are_text(tab: Any) -> None:
    search(tab, "encoder-07")
    texts = tab.locator(".card:visible > p").all_inner_texts()
    assert texts == ["Encoder 7, <b>small</b>."]


def test_rules_of_accessibility(tab: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    search(tab, "encoder-07")
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        found = Axe().run(tab).response["violations"]
        assert not [each["id"] for each in found if each["impact"] in GRAVE]


def test_it_works_without_scripts(browser: Any, ours: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{ours.url}/")
    page.get_by_role("link", name="More models").click()
    page.wait_for_url("**cursor=**")
    assert page.locator(".card").count() == 10
    page.get_by_role("searchbox", name="Search").fill("encoder-33")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=encoder-33")
    assert shown(page) == ["pub/encoder-33"]
    context.close()


def test_nothing_is_wider_than_a_telephone(browser: Any, served: Served) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 600})
    page.goto(f"{served.url}/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.close()
