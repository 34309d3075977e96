"""What models may be called."""

from __future__ import annotations

import pytest

from hubexport.errors import UsageError
from hubexport.publishing.handle import (
    Handle,
    Model,
    parse_either,
    parse_handle,
    parse_model,
    parse_target,
)

BERT = Model("tensorflow", "small_bert/bert_en_uncased_L-2_H-128_A-2")


def test_parts() -> None:
    assert parse_handle(f"{BERT}/12") == Handle(BERT, 12)
    assert str(Handle(BERT, 12)) == f"{BERT}/12"
    assert parse_either(str(BERT)) == (BERT, None)
    assert parse_target(f"{BERT}/next") == (BERT, None)
    assert parse_target(f"{BERT}/3") == (BERT, 3)


@pytest.mark.parametrize("text", [
    "", "bert", "/bert", "example/", "Example/bert", "example//bert", "example/bert/", "exämple/a",
    "example/bért", "example/../bert", "example/./bert", "example/.bert", "example/a b",
    "example/a\n", "example/a\0", "example/a\\b", "example/a%2e", "example/1/bert", "api/models",
    "example/" + "a" * 300, "example/a?b", "../example/bert", "example/a;b", 'example/a"b',
])  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="refused"):
        parse_model(text)
    with pytest.raises(UsageError):
        parse_handle(f"{text}/1")


@pytest.mark.parametrize("version", ["", "0", "01", "-1", "1.0", "1234567890", "x", "next", "²"])
def test_versions_refused(version: str) -> None:
    with pytest.raises(UsageError):
        parse_handle(f"example/bert/{version}")


@pytest.mark.parametrize("found", [0, -1, True, "1", 1.0, 10**9, None])
def test_numbers_in_files(found: object) -> None:
    assert Handle.number(7) == 7
    with pytest.raises(TypeError):
        Handle.number(found)
