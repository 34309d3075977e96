"""Targets of requests are taken for names of a hub, or for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubexport.publishing.handle import Handle, Model
from hubexport.serving.addresses import FORMAT, File, read_name, read_target

MODEL = Model("pub", "name/part")
HANDLE = Handle(MODEL, 3)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pub/name/part", MODEL),
        ("pub/name/part/3", HANDLE),
        ("pub/name/part/3/model.tar", File(HANDLE, "model.tar")),
        ("pub/name/part/3/..", File(HANDLE, "..")),
        ("pub", None),
        ("", None),
        ("pub/", None),
        ("pub/3", None),
        ("pub/../name/3", None),
        ("pub/name/03", None),
        ("pub/name/0", None),
        ("pub/name//3", None),
        ("pub/.name/3", None),
        ("pub/name/3/variables/variables.index", None),
        ("api/models/1", None),
        ("Pub/name/3", None),
        ("pub/na me/3", None),
        ("pub/name\\..\\x/3", None),
        ("pub/name\0/3", None),
        ("pub/name\n/3", None),
        ("pub/" + "x" * 300 + "/3", None),
    ],
)
def test_names(path: str, name: object) -> None:
    assert read_name(path) == name


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a/b/1?x=1", "/a/b/1", "x=1"),
        ("/a%2Fb/1", "/a/b/1", ""),
        ("/a/%2e%2e/1", "/a/../1", ""),
        ("http://other.example/a/b?x", "/a/b", "x"),
        ("http://other.example", "/", ""),
        ("/a?x#fragment", "/a", "x"),
        ("/a#fragment?x", "/a", ""),
        ("//a/b", "//a/b", ""),
        ("/a%zz", "/a%zz", ""),
    ],
)
def test_targets(target: str, path: str, query: str) -> None:
    address = read_target(target)
    assert address is not None and (address.path, address.query) == (path, query)


@pytest.mark.parametrize("target", ["*", "a/b", "host:443", "", "/%ff", "/\udcff", "/%c0%ae"])
def test_targets_of_others(target: str) -> None:
    assert read_target(target) is None


def test_clients_append_their_field() -> None:
    address = read_target(f"/a/b?{FORMAT}=other&x=1&{FORMAT}=compressed")
    assert address is not None and address.fields[FORMAT] == "compressed"


@given(st.text(st.characters(exclude_categories=())))
def test_any_target_makes_headers_and_texts_that_can_be_sent(text: str) -> None:
    address = read_target(f"/pub/name?{text}")
    if address is not None:
        location = address.relative("name/3")
        assert location.isascii() and location.isprintable() and " " not in location
        for value in address.fields.values():
            value.encode()


@given(st.text())
def test_no_name_leads_out_of_the_tree(text: str) -> None:
    for path in (text, f"pub/{text}/3", f"pub/{text}", f"{text}/name/3"):
        found = read_name(path)
        model = found if isinstance(found, Model) else getattr(found, "model", None)
        if isinstance(found, File):
            model = found.handle.model
            assert "/" not in found.name
        if model is not None:
            parts = [model.publisher, *model.name.split("/")]
            assert all(part.strip(".") and "\0" not in part for part in parts)
