"""Every kind of page in a browser: keys, colours, narrow screens, paper, rules of accessibility."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cards.site import material
from tests.cards.site.browsing import NARROW, WIDE, Visit, pages

# What axe-core calls them; lesser ones are advice.
_GRAVE = ("serious", "critical")


class TestKeyboard:
    def test_the_first_stop_leads_to_the_content(self, visit: Visit) -> None:
        tab = visit("encoder")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to content"
        assert tab.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.tagName") == "MAIN"

    @pytest.mark.parametrize("page", ["index", "encoder", "collection", "publisher"])
    def test_every_stop_can_be_seen(self, visit: Visit, page: str) -> None:
        tab = visit(page)
        names = set()
        for _ in range(40):
            tab.keyboard.press("Tab")
            stop = tab.evaluate(
                """() => {
                  const at = document.activeElement;
                  const marked = [at, at.parentElement].some((each) =>
                    ["", "::after"].some((part) =>
                      getComputedStyle(each, part || null).outlineStyle !== "none"));
                  return [at.tagName, at.outerHTML.slice(0, 80), marked];
                }"""
            )
            if stop[0] == "BODY":
                break
            names.add(stop[1])
            assert stop[2], stop
        assert len(names) > 5


class TestColours:
    def ground(self, tab: Any) -> str:
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    def test_they_are_the_systems_until_chosen_and_stay_chosen(self, visit: Visit) -> None:
        light, dark = (self.ground(visit(scheme=scheme)) for scheme in ("light", "dark"))
        assert light != dark
        tab = visit(scheme="light")
        button = tab.get_by_role("button", name="Dark")
        assert button.get_attribute("aria-pressed") == "false"
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert self.ground(tab) == dark
        tab.locator(".card a").first.click()
        tab.wait_for_selector("article")
        assert self.ground(tab) == dark
        tab.get_by_role("button", name="Dark").click()
        assert self.ground(tab) == light
        assert tab.evaluate("localStorage.length") == 0

    def test_the_choice_is_there_before_anything_is_drawn(self, visit: Visit) -> None:
        tab = visit()
        tab.get_by_role("button", name="Dark").click()
        # Only a script that blocks the parser has run when there is a head and no body yet.
        tab.add_init_script(
            "new MutationObserver((_, watch) => { if (document.body) {"
            " window.early = document.documentElement.dataset.theme; watch.disconnect(); } })"
            ".observe(document, {childList: true, subtree: true});"
        )
        tab.reload()
        assert tab.evaluate("window.early") == "dark"

    def test_drawings_take_part(self, visit: Visit) -> None:
        script = "getComputedStyle(document.querySelector('.plot svg text')).fill"
        light, dark = (
            visit("collection", scheme=each).evaluate(script) for each in ("light", "dark")
        )
        assert light != dark


class TestCopying:
    def test_code_and_handles(self, visit: Visit) -> None:
        tab = visit("encoder", permissions=["clipboard-read", "clipboard-write"])
        tab.get_by_role("button", name="Copy handle").click()
        tab.get_by_text("Copied").first.wait_for()
        copied = tab.evaluate("navigator.clipboard.readText()")
        assert copied == material.small_handle(12, 512) + "/1"
        code = tab.get_by_role("button", name="Copy code").first
        code.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_function("document.getElementById('page.said').textContent === 'Copied'")
        assert tab.evaluate("navigator.clipboard.readText()").startswith("import tensorflow as tf")


class TestLayout:
    @pytest.mark.parametrize("page", list(pages()))
    def test_nothing_scrolls_sideways_on_a_phone(self, visit: Visit, page: str) -> None:
        tab = visit(page, NARROW)
        tab.evaluate(
            "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
        )
        assert tab.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
        beyond = tab.evaluate(
            """(width) => [...document.querySelectorAll("main *")].filter((each) =>
              !each.closest(".table, .code, svg, .unseen") &&
              each.getBoundingClientRect().right > width + 0.5).map((each) => each.outerHTML)"""
            "",
            NARROW[0],
        )
        assert beyond == []

    def test_filters_and_contents_are_closed_on_a_phone_and_open_elsewhere(
        self, visit: Visit
    ) -> None:
        for page, content in (("index", "fieldset"), ("encoder", ".contents li")):
            assert not visit(page, NARROW).locator(content).first.is_visible()
            tab = visit(page)
            assert tab.locator(content).first.is_visible()
            tab.set_viewport_size({"width": 360, "height": 700})
            tab.locator(content).first.wait_for(state="hidden")
            tab.set_viewport_size({"width": 1280, "height": 700})
            tab.locator(content).first.wait_for(state="visible")

    def test_paper_has_the_text_and_not_the_controls(self, visit: Visit) -> None:
        tab = visit("encoder", scheme="dark")
        tab.emulate_media(media="print", color_scheme="dark")
        assert not tab.locator("header.top").is_visible()
        assert not tab.locator(".copy").first.is_visible()
        assert tab.locator("article h2").first.is_visible()


def axe(tab: Any) -> dict[str, Any]:
    """What axe-core says of a page."""
    from axe_playwright_python.sync_playwright import Axe

    # It would fetch style sheets again, which browsers refuse for files.
    response: dict[str, Any] = Axe().run(tab, options={"preload": False}).response
    return response


@pytest.mark.parametrize("page", list(pages()))
@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(WIDE, "light", id="wide, light"),
        pytest.param(NARROW, "dark", id="narrow, dark"),
        pytest.param(WIDE, "dark", id="wide, dark", marks=pytest.mark.exhaustive),
        pytest.param(NARROW, "light", id="narrow, light", marks=pytest.mark.exhaustive),
    ],
)
def test_axe_finds_nothing_grave(
    visit: Visit, page: str, scheme: str, size: tuple[int, int]
) -> None:
    tab = visit(page, size, scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    result = axe(tab)
    assert result["passes"]
    grave = [
        (each["id"], node["html"], node["failureSummary"])
        for each in result["violations"]
        if each["impact"] in _GRAVE
        for node in each["nodes"]
    ]
    assert grave == []


def test_axe_sees_what_is_wrong(visit: Visit) -> None:
    """That the test above can fail."""
    tab = visit()
    tab.add_style_tag(content=".lead { color: #eee !important; background: #fff }")
    found = axe(tab)["violations"]
    assert "color-contrast" in [each["id"] for each in found if each["impact"] in _GRAVE]
