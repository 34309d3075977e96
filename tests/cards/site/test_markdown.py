"""Texts of pages as HTML."""

from __future__ import annotations

import sys

import pytest

from hubexport.cards.site.markdown import render_text, slug
from hubexport.errors import HubexportError
from tests.cards.site.reading import Page


class TestHeadings:
    def test_they_get_the_anchors_that_links_expect(self) -> None:
        text = render_text("## What it's *not* for\n\n### `mlm` head: A-1\n")
        assert [(each.level, each.anchor, each.text) for each in text.headings] == [
            (2, "what-its-not-for", "What it's not for"),
            (3, "mlm-head-a-1", "mlm head: A-1"),
        ]
        assert Page(text.html).ids == ["what-its-not-for", "mlm-head-a-1"]

    def test_the_same_heading_twice_has_two_anchors(self) -> None:
        text = render_text("## A\n\n## A\n\n## A-1\n")
        assert [each.anchor for each in text.headings] == ["a", "a-1", "a-1-1"]

    def test_no_anchor_is_an_id_of_the_page_itself(self) -> None:
        assert slug("page.main") == "pagemain"
        assert slug("!?") == "section"


class TestSafety:
    def test_html_is_shown_and_not_obeyed(self) -> None:
        text = render_text('<script>alert(1)</script>\n\nA <b onclick="x()">word</b>.\n')
        page = Page(text.html)
        assert set(page.elements) == {"p"}
        assert not page.events
        assert "<script>alert(1)</script>" in page.text

    @pytest.mark.parametrize(
        "address",
        [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "&#106;avascript:alert(1)",
            "vbscript:x",
            "data:text/html,x",
            "file:///etc/passwd",
        ],
    )
    def test_addresses_that_run_programs_are_no_links(self, address: str) -> None:
        page = Page(render_text(f"[word]({address}) ![picture]({address})").html)
        assert not page.links
        assert not page.fetched

    def test_images_of_other_hosts_are_replaced_by_their_text(self) -> None:
        source = "![one](https://example.org/a.png) ![two](//example.org/b.png) ![three](c.png)"
        page = Page(render_text(source).html)
        assert page.fetched == ["c.png"]
        assert "one" in page.text and "two" in page.text

    def test_languages_and_heads_of_tables_cannot_inject(self) -> None:
        source = '```"><script>\n<script>\n```\n\n| "><img src=x> |\n|---|\n| a |\n'
        page = Page(render_text(source).html)
        assert "script" not in page.elements
        assert "img" not in page.elements


class TestCode:
    def test_known_languages_get_classes_and_keep_their_text(self) -> None:
        code = '\n\nx = "<a>"  # 1\n\n'
        html = render_text(f"```python\n{code}```\n").html
        assert '<span class="s2">' in html
        assert Page(html).text.rstrip() == code.rstrip()
        assert Page(html).text.startswith("\n\nx")

    def test_unknown_languages_are_plain(self) -> None:
        assert "a &lt; b" in render_text("```no-such-language\na < b\n```\n").html

    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pygments", None)
        with pytest.raises(HubexportError, match=r"hubexport\[site\]"):
            render_text("```python\nx\n```\n")


def test_boxes_that_scroll_can_be_reached_by_keyboard() -> None:
    html = render_text("| a | b |\n|---|---|\n| 1 | 2 |\n\n```text\nx\n```\n").html
    assert '<div class="table" role="group" tabindex="0" aria-label="Table, a, b">' in html
    assert '<pre tabindex="0">' in html
