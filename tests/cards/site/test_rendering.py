"""The whole site: every page is there, whole, alike each time, and asks nothing of other hosts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Architecture, Author, Paper
from hubexport.cards.schema import Card
from hubexport.cards.site.paths import INDEX, SCRIPT, STYLE, page_path
from hubexport.cards.site.rendering import render_site
from tests.cards.material import ROOT
from tests.cards.rendering.exported import head_entry
from tests.cards.site import material
from tests.cards.site.reading import Page, is_elsewhere, target

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</title>&amp;"


def pages() -> dict[str, Page]:
    return {path: Page(text) for path, text in material.site().items() if path.endswith(".html")}


def page(card: Card) -> str:
    return material.site()[page_path(card)]


def small(layers: int, hidden: int) -> Card:
    return material.catalogue().encoders[material.small_handle(layers, hidden)]


def render(catalogue: Catalogue, records: Any = None, body: Any = material.body) -> dict[str, str]:
    return render_site(catalogue, records or {}, body, material.TEMPLATES)


def only(card: Any, **changes: Any) -> Catalogue:
    """A catalogue of one encoder, beside the preprocessors."""
    encoders = {card.handle: card}
    catalogue = dataclasses.replace(material.catalogue(), encoders=encoders, pipelines={})
    return dataclasses.replace(catalogue, **changes)


class TestWhole:
    def test_every_card_has_its_page(self) -> None:
        catalogue = material.catalogue()
        tables = (catalogue.encoders, catalogue.preprocessors, catalogue.pipelines)
        others = (catalogue.collections, catalogue.publishers)
        cards = [card for table in (*tables, *others) for card in table.values()]
        assert set(material.site()) == {INDEX, STYLE, SCRIPT, *map(page_path, cards)}
        for card in cards:
            assert f"<h1>{card.title}</h1>" in page(card).replace("&#39;", "'")

    def test_every_link_within_the_site_leads_somewhere(self) -> None:
        found = pages()
        files = material.site()
        for path, each in found.items():
            for link in [*each.links, *each.fetched]:
                if is_elsewhere(link):
                    continue
                file, anchor = target(path, link)
                assert file in files, f"{path}: {link}"
                assert not anchor or anchor in found[file].ids, f"{path}: {link}"

    def test_nothing_is_fetched_from_elsewhere(self) -> None:
        for path, each in pages().items():
            assert not [link for link in each.fetched if is_elsewhere(link)], path
            assert not [text for text in each.scripts if text.strip()], path
            assert not each.events, path
        assert not re.search(r"url\(|@import|https?:", material.site()[STYLE])
        assert not re.search(r"\bfetch\(|https?:|import\(", material.site()[SCRIPT])

    def test_ids_are_unique_and_labels_are_there(self) -> None:
        for path, each in pages().items():
            assert len(each.ids) == len(set(each.ids)), path
            for names in re.findall(r'aria-labelledby="([^"]+)"', material.site()[path]):
                assert set(names.split()) <= set(each.ids), path

    def test_nothing_stands_in_for_what_is_not_known(self) -> None:
        for path, each in pages().items():
            assert not re.search(r"\bNone\b|\bN/A\b|\bunknown\b|\bTBD\b|\bnan\b", each.text), path


class TestDeterminism:
    def test_another_process_gives_the_same_bytes(self) -> None:
        program = (
            "import hashlib, json; from tests.cards.site import material;"
            "print(hashlib.sha256(json.dumps(dict(material.site())).encode()).hexdigest())"
        )
        printed = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "UTC+2"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        expected = hashlib.sha256(json.dumps(dict(material.site())).encode()).hexdigest()
        assert printed.split()[-1] == expected

    def test_the_order_of_cards_and_records_does_not_matter(self) -> None:
        catalogue = material.catalogue()
        names = ("encoders", "preprocessors", "pipelines", "collections", "publishers")
        turned = {name: dict(reversed(getattr(catalogue, name).items())) for name in names}
        records = dict(reversed(material.records().items()))
        other = render(dataclasses.replace(catalogue, **turned), records)
        assert other == dict(material.site())


class TestSafety:
    def test_cards_cannot_inject_markup(self) -> None:
        paper = Paper(HOSTILE, (HOSTILE,), 2020, "javascript:alert(1)", HOSTILE)
        card = material.encoder(
            title=HOSTILE,
            description=HOSTILE,
            authors=(Author(HOSTILE, HOSTILE),),
            also_known_as=(HOSTILE,),
            languages=(HOSTILE,),
            casing=HOSTILE,
        )
        change = {"title": HOSTILE, "description": HOSTILE, "overview": (HOSTILE,)}
        catalogue = only(
            card,
            papers={**material.catalogue().papers, "turc2019": paper},
            collections={
                name: dataclasses.replace(each, **change)
                for name, each in material.catalogue().collections.items()
            },
            publishers={
                name: dataclasses.replace(each, **change, website="javascript:alert(1)")
                for name, each in material.catalogue().publishers.items()
            },
        )
        record = material.record(2, 128)
        record["heads"] = {HOSTILE: {**head_entry("mlm", 1, V=3), "title": HOSTILE}}
        record["validation"][0]["hardware"] = HOSTILE
        files = render(catalogue, {card.handle: record}, lambda _: f"## {HOSTILE}\n\n{HOSTILE}\n")
        assert HOSTILE in Page(files[page_path(card)]).text
        for path, text in files.items():
            if not path.endswith(".html"):
                continue
            found = Page(text)
            assert found.elements.count("script") == 1, path
            assert "img" not in found.elements, path
            assert not found.events, path
            assert not [link for link in found.links if "javascript" in link], path
            assert not [script for script in found.scripts if script.strip()], path

    def test_names_that_leave_the_directory_are_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot be the path of a page"):
            render(only(material.encoder(name="../../../x")))

    def test_two_cards_of_one_path_are_refused(self) -> None:
        with pytest.raises(ValueError, match="two pages"):
            render(only(material.encoder(name="collections/small_bert")))


class TestModels:
    def test_the_head_has_the_records_numbers(self) -> None:
        text = page(small(12, 512))
        assert "<dt>Parameters</dt><dd>53,719,040</dd>" in text
        assert "<dt>Layers (L)</dt><dd>12</dd>" in text
        assert "<dt>Hidden size (H)</dt><dd>512</dd>" in text
        assert "<dt>Heads</dt><dd>mlm, nsp</dd>" in text

    def test_stated_parameters_are_marked(self) -> None:
        text = page(material.catalogue().encoders["huggingface/gpt2"])
        assert "<dt>Parameters, stated</dt><dd>124 M</dd>" in text
        assert "<dt>Parameters</dt>" not in text

    def test_what_is_not_measured_is_not_shown(self) -> None:
        text = page(material.catalogue().encoders["huggingface/gpt2"])
        assert "<dt>Heads</dt>" not in text
        assert 'class="plot"' not in text
        assert "page.measured" not in text
        card = material.encoder(architecture=Architecture())
        assert "Parameters" not in render(only(card))[page_path(card)]

    def test_measured_errors_are_drawn_and_in_the_contents(self) -> None:
        text = page(small(2, 128))
        assert '<a href="#page.measured">' in text
        assert 'role="img"' in text
        assert '<th scope="row">encoder_outputs[1]</th>' in text

    def test_the_contents_are_the_bodys_headings(self) -> None:
        text = page(small(2, 128))
        for anchor in ("overview", "usage", "inputs", "outputs", "limitations", "citation"):
            assert f'<a href="#{anchor}">' in text

    def test_the_description_is_there_once(self) -> None:
        card = material.encoder()
        without = render(only(card))[page_path(card)]
        within = render(only(card), body=lambda each: f"## A\n\n{each.description}\n")
        for text in (without, within[page_path(card)]):
            assert Page(text).text.count(card.description) == 1

    def test_the_handle_has_its_version(self) -> None:
        card = material.encoder(version=7)
        assert f"{card.handle}/7" in Page(render(only(card))[page_path(card)]).text


class TestCollections:
    def test_the_grid_links_every_model_with_its_parameters(self) -> None:
        text = page(material.catalogue().collections[material.SMALL])
        table = text[text.index('<table class="grid">') : text.index("</table>")]
        rows = re.findall(r'<th scope="row">.*?</tr>', table, re.DOTALL)
        cells = [re.findall(r'href="([^"]+)".*?</span>\s*([^<]+)</a>', row) for row in rows]
        assert [len(row) for row in cells] == [4] * 6
        assert cells[0][0][1] == "4.37 M"
        assert cells[5][3][1] == "109 M"
        path = page_path(material.catalogue().collections[material.SMALL])
        for number, size in enumerate(material.sizes()):
            file, _ = target(path, cells[number // 4][number % 4][0])
            assert file == page_path(small(*size))

    def test_without_records_cells_are_named_by_their_sizes_or_stated(self) -> None:
        catalogue = material.catalogue()
        card = small(2, 128)
        stated = Architecture(num_hidden_layers=2, hidden_size=128, stated_parameters=4_400_000)
        encoders = {**catalogue.encoders}
        encoders[card.handle] = material.encoder(architecture=stated)
        text = render(dataclasses.replace(catalogue, encoders=encoders))[
            page_path(catalogue.collections[material.SMALL])
        ]
        assert "L-12 H-768</a>" in text
        assert "4.4 M <small>stated</small></a>" in text
        assert 'class="plot"' not in text

    def test_other_collections_list_all_members(self) -> None:
        catalogue = material.catalogue()
        for handle, card in catalogue.collections.items():
            links = {target(page_path(card), link)[0] for link in pages()[page_path(card)].links}
            assert {page_path(each) for each in catalogue.members(handle)} <= links

    def test_the_grid_is_drawn_where_it_was_measured(self) -> None:
        assert page(material.catalogue().collections[material.SMALL]).count('role="img"') == 2


def test_publishers_have_their_models_and_collections() -> None:
    catalogue = material.catalogue()
    for card in catalogue.publishers.values():
        links = {target(page_path(card), link)[0] for link in pages()[page_path(card)].links}
        own = [*catalogue.models, *catalogue.collections.values()]
        assert {page_path(each) for each in own if each.publisher == card.publisher} <= links


def test_the_index_lists_every_model_without_any_script() -> None:
    text = material.site()[INDEX]
    assert text.count("data-search=") == len(material.catalogue().models)
    assert not re.search(r'<li class="card"[^>]*\shidden[\s>]', text)
    assert re.search(r'<form class="search"[^>]*hidden>', text)
