"""The index, the page and the map of a tree say what its manifests say, and nothing else."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from hubexport.publishing.catalogue import (
    PAGE_SIZE,
    catalogue_html,
    find,
    index_of,
    index_text,
    newest_map,
)
from hubexport.publishing.tree import Tree, open_tree
from tests.serving import trees


def many(number: int) -> dict:
    """An index of so many models."""
    models = [
        {
            "handle": f"pub/model-{each:04d}",
            "kind": "encoder",
            "description": f"Number {each}.",
            "versions": [1],
            "newest": 1,
            "bytes": 1000,
            "sha256": "0" * 64,
        }
        for each in range(number)
    ]
    return {"format": 1, "models": models}


class TestIndex:
    def test_it_says_what_manifests_say(self, tmp_path: Path) -> None:
        trees.make(tmp_path)
        made = trees.add(tmp_path, "b/two/parts/3", description="Two parts.", kind="pipeline")
        trees.add(tmp_path, "b/two/parts/12")
        newest = trees.add(tmp_path, "b/two/parts/20", description="Newest.")
        trees.add(tmp_path, "a/one/1", description="One.")
        index = index_of(open_tree(tmp_path))
        assert [model["handle"] for model in index["models"]] == ["a/one", "b/two/parts"]
        assert index["models"][1] == {
            "handle": "b/two/parts",
            "kind": newest.kind,
            "description": "Newest.",
            "versions": [3, 12, 20],
            "newest": 20,
            "bytes": newest.archive.bytes,
            "sha256": newest.archive.sha256,
        }
        assert newest.archive.sha256 != made.archive.sha256

    def test_its_text_is_the_same_again(self, tmp_path: Path) -> None:
        texts = []
        for name, order in (("x", ("a/one/1", "b/two/1")), ("y", ("b/two/1", "a/one/1"))):
            trees.make(tmp_path / name)
            for handle in order:
                trees.add(tmp_path / name, handle)
            texts.append(index_text(index_of(Tree(tmp_path / name))))
        assert texts[0] == texts[1]
        assert json.loads(texts[0])["format"] == 1

    def test_what_was_retracted_is_not_in_it(self, tmp_path: Path) -> None:
        trees.make(tmp_path)
        for handle in ("a/gone/1", "a/older/1", "a/older/2"):
            trees.add(tmp_path, handle)
        trees.retract(tmp_path, "a/gone/1", "wrong weights")
        trees.retract(tmp_path, "a/older/2", "wrong weights")
        (model,) = index_of(Tree(tmp_path))["models"]
        assert (model["handle"], model["versions"], model["newest"]) == ("a/older", [1], 1)

    def test_damaged_and_misplaced_manifests_hide_their_model_alone(self, tmp_path: Path) -> None:
        trees.make(tmp_path)
        for handle in ("a/cut/1", "a/moved/1", "a/whole/1"):
            trees.add(tmp_path, handle)
        manifest = tmp_path / "a/cut/1/manifest.json"
        manifest.write_text(manifest.read_text()[:100])
        (tmp_path / "a/moved/1").rename(tmp_path / "a/moved/2")
        assert [model["handle"] for model in index_of(Tree(tmp_path))["models"]] == ["a/whole"]


class TestFind:
    def test_all_words_are_looked_for_in_any_case(self) -> None:
        index = many(3)
        index["models"][1]["description"] = "Größe of a Large encoder."
        handles = [
            [model["handle"] for model in find(index, query).models]
            for query in ("LARGE  größe", "large missing", "model-0002", "")
        ]
        everything = [model["handle"] for model in index["models"]]
        assert handles == [[everything[1]], [], [everything[2]], everything]

    def test_parts_make_up_the_whole(self) -> None:
        index = many(2 * PAGE_SIZE + 1)
        seen, cursor, sizes = [], "", []
        while True:
            found = find(index, "number", cursor)
            assert found.total == 2 * PAGE_SIZE + 1
            seen += [model["handle"] for model in found.models]
            sizes.append(len(found.models))
            if found.next is None:
                break
            cursor = found.next
        assert seen == [model["handle"] for model in index["models"]]
        assert sizes == [PAGE_SIZE, PAGE_SIZE, 1]

    def test_a_full_last_part_has_no_next(self) -> None:
        assert find(many(PAGE_SIZE)).next is None

    def test_a_cursor_outlives_its_model(self) -> None:
        index = many(PAGE_SIZE + 5)
        cursor = find(index).next
        index["models"] = [m for m in index["models"] if m["handle"] != cursor]
        assert len(find(index, cursor=cursor).models) == 5


class TestPage:
    def test_texts_of_people_are_escaped(self) -> None:
        index = many(1)
        index["models"][0]["description"] = evil = '<script>alert("1")</script>'
        for found in (None, find(index, evil), find(index, '"><script>alert(1)</script>')):
            page = catalogue_html(index, found)
            assert "<script>alert" not in page
        assert html.escape(evil, quote=False).replace('"', "&#34;") in catalogue_html(index)

    def test_a_file_by_itself_has_everything_and_links_to_files(self) -> None:
        page = catalogue_html(many(PAGE_SIZE + 5))
        links = re.findall(r'<h3><a href="([^"]*)"', page)
        assert len(links) == PAGE_SIZE + 5
        assert links[0] == "pub/model-0000/1/index.html"

    def test_a_served_page_has_a_part_and_leads_to_the_next(self) -> None:
        index = many(PAGE_SIZE + 5)
        page = catalogue_html(index, find(index, "number"))
        assert len(re.findall(r"<h3><a ", page)) == PAGE_SIZE
        assert 'href="./?q=number&amp;cursor=pub/model-0049"' in page
        assert "<script" not in page

    def test_it_asks_for_nothing_else(self) -> None:
        index = many(3)
        for page in (catalogue_html(index), catalogue_html(index, find(index))):
            assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", page)


class TestMap:
    def test_each_model_has_a_line(self) -> None:
        index = many(2)
        index["models"][1]["newest"] = 12
        assert newest_map(index) == '"/pub/model-0000" 1;\n"/pub/model-0001" 12;\n'

    def test_names_that_differ_in_case_alone_are_told_apart(self) -> None:
        index = many(3)
        index["models"][0]["handle"] = "pub/A.b"
        index["models"][1]["handle"] = "pub/a.b"
        assert newest_map(index).splitlines() == [
            r'"~^/pub/A\.b$" 1;',
            r'"~^/pub/a\.b$" 1;',
            '"/pub/model-0002" 1;',
        ]
