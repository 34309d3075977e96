"""Search and filters of the index, in a browser."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cards.site import material
from tests.cards.site.browsing import Visit


def shown(tab: Any) -> list[str]:
    """Handles of the models in the list, as far as they can be seen."""
    return tab.locator(".card:visible .handle").all_inner_texts()


def hits(tab: Any) -> int:
    """What the live region says."""
    said = tab.get_by_role("status").inner_text()
    return int(re.match(r"\d+", said)[0])  # type: ignore[index]


def everything() -> int:
    return len(material.catalogue().models)


class TestSearch:
    def test_words_narrow_the_list_and_the_number_is_said(self, visit: Visit) -> None:
        tab = visit()
        assert len(shown(tab)) == hits(tab) == everything()
        tab.get_by_role("searchbox").fill("turc 512")
        found = shown(tab)
        assert len(found) == hits(tab) == 6  # the author wrote 24, of which 6 have this width
        assert all("H-512" in handle for handle in found)

    def test_accents_and_capitals_do_not_matter(self, visit: Visit) -> None:
        tab = visit()
        tab.get_by_role("searchbox").fill("BÉRT-TINY")
        assert shown(tab) == [material.small_handle(2, 128)]

    def test_without_hits_it_says_so(self, visit: Visit) -> None:
        tab = visit()
        nothing = tab.get_by_text("No models match")
        assert not nothing.is_visible()
        tab.get_by_role("searchbox").fill("no such model")
        assert (shown(tab), hits(tab)) == ([], 0)
        assert nothing.is_visible()

    @pytest.mark.parametrize(
        ("facet", "value"),
        [
            ("kind", "preprocessor"),
            ("family", "xlm"),
            ("language", "de"),
            ("parameters", "up to 10 M"),
            ("layers", "12"),
            ("hidden", "768"),
            ("casing", "cased"),
            ("heads", "mlm"),
        ],
    )
    def test_each_filter(self, visit: Visit, facet: str, value: str) -> None:
        tab = visit()
        box = tab.locator(f'input[name="{facet}"][value="{value}"]')
        number = box.locator("xpath=..").locator(".number")
        announced = int(number.inner_text())
        box.check()
        assert 0 < announced == len(shown(tab)) == hits(tab) < everything()
        assert tab.locator(".card:visible").evaluate_all(
            "(cards, [facet, value]) => cards.every("
            "card => JSON.parse(card.dataset.facets)[facet].includes(value))",
            [facet, value],
        )
        box.uncheck()
        assert hits(tab) == everything()

    def test_values_of_a_facet_add_up_and_facets_narrow_each_other(self, visit: Visit) -> None:
        tab = visit()
        tab.locator('input[name="layers"][value="2"]').check()
        two = hits(tab)
        tab.locator('input[name="layers"][value="4"]').check()
        assert hits(tab) > two
        small = tab.locator('input[name="hidden"][value="128"]')
        announced = int(small.locator("xpath=..").locator(".number").inner_text())
        small.check()
        assert hits(tab) == announced == 2
        assert set(shown(tab)) == {material.small_handle(n, 128) for n in (2, 4)}

    def test_a_search_can_be_shared(self, visit: Visit) -> None:
        first = visit()
        first.get_by_role("searchbox").fill("german")
        first.locator('input[name="kind"][value="encoder"]').check()
        anchor = first.evaluate("location.hash")
        second = visit(anchor=anchor)
        assert shown(second) == shown(first)
        assert 0 < hits(second) < everything()
        assert second.get_by_role("searchbox").input_value() == "german"
        assert second.locator("input:checked").count() == 1

    def test_it_is_there_again_when_one_comes_back(self, visit: Visit) -> None:
        tab = visit()
        tab.get_by_role("searchbox").fill("german")
        before = shown(tab)
        tab.locator(".card:visible a").first.click()
        tab.wait_for_selector("h1")
        assert tab.url.endswith(f"{before[0]}/index.html")
        tab.go_back()
        assert shown(tab) == before

    def test_clearing_shows_all(self, visit: Visit) -> None:
        tab = visit(anchor="#q=german&kind=encoder")
        assert hits(tab) < everything()
        tab.get_by_role("button", name="Clear").click()
        tab.wait_for_function("!location.hash")
        assert hits(tab) == everything()
        assert tab.locator("input:checked").count() == 0
        assert not tab.get_by_role("button", name="Clear").is_visible()

    def test_without_scripts_all_models_are_listed(self, visit: Visit) -> None:
        tab = visit(java_script_enabled=False)
        assert tab.locator(".card:visible").count() == everything()
        assert not tab.locator("form").is_visible()
        assert not tab.locator("header button").is_visible()

    def test_hostile_addresses_are_only_text(self, visit: Visit) -> None:
        tab = visit(anchor="#q=<img src=x onerror=alert(1)>&family=%22><b>")
        assert tab.locator("main img").count() == 0
        assert hits(tab) == 0

    def test_by_keys_alone(self, visit: Visit) -> None:
        tab = visit()
        tab.get_by_role("searchbox").focus()
        tab.keyboard.type("german")
        some = hits(tab)
        tab.keyboard.press("Tab")
        tab.keyboard.press("Space")
        assert tab.evaluate("document.activeElement.checked")
        assert 0 < hits(tab) < some
        handle = shown(tab)[0]
        tab.locator(".card:visible a").first.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_url(f"**/{handle}/index.html")
