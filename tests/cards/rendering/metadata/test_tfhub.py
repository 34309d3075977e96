"""Heads of pages in the form of tfhub.dev, read back as its validator and a browser read them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

from hubexport.cards.lint.tfhub_page import check_page
from hubexport.cards.rendering.metadata.tfhub import head
from hubexport.cards.schema import Card
from hubexport.errors import HubexportError
from tests.cards.rendering.metadata.material import (
    ARCHIVE,
    BODY,
    HOSTILE,
    MODIFIED_MIT,
    PIPELINE,
    PREPROCESSOR,
    TINY,
    UNLICENSED,
    cards,
    catalogue,
    edited,
    models,
    one_of_each,
    record,
)


def page(card: Card, known: Any = None, archive: str | None = ARCHIVE) -> str:
    return head(card, known, catalogue(), archive) + BODY


def metadata(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^<!-- ([a-z-]+): (.*) -->$", text, re.M)


def shown(text: str) -> str:
    """The text under the title as a browser shows it, which must be one paragraph."""
    tokens = MarkdownIt("commonmark").parse(text)
    assert [token.type for token in tokens[3:6]] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[4].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)


@pytest.mark.parametrize("made", [lambda card: None, record], ids=["no record", "record"])
def test_every_head_is_as_tfhub_wants_it(made: Any) -> None:
    for card in cards():
        assert check_page(page(card, made(card)), card.kind) == [], card.handle


def test_head_of_an_encoder() -> None:
    assert head(catalogue().encoders[TINY], None, catalogue(), ARCHIVE) == (
        "# Module tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2/1\n"
        "A small BERT with 2 layers, 128 units and 2 heads, for lower-cased English text.\n"
        "\n"
        f"<!-- asset-path: {ARCHIVE} -->\n"
        "<!-- task: text-embedding -->\n"
        "<!-- fine-tunable: true -->\n"
        "<!-- format: saved_model_2 -->\n"
        "<!-- network-architecture: transformer -->\n"
        "<!-- dataset: wikipedia-and-bookscorpus -->\n"
        "<!-- language: en -->\n"
        "<!-- license: apache-2.0 -->\n"
        "<!-- colab: https://colab.research.google.com/github/tensorflow/docs/blob/master/site/en/"
        "tutorials/text/solve_glue_tasks_using_bert_on_tpu.ipynb -->\n"
        "\n"
    )


@pytest.mark.parametrize(
    ("card", "known", "expected"),
    [
        (catalogue().encoders[TINY], None, "true"),
        (catalogue().encoders[TINY], {}, "true"),
        (catalogue().encoders[TINY], record(catalogue().encoders[TINY]), "true"),
        (catalogue().encoders[TINY], record(catalogue().encoders[TINY], trainable=0), "false"),
        (catalogue().pipelines[PIPELINE], record(catalogue().pipelines[PIPELINE]), "true"),
        (
            catalogue().pipelines[PIPELINE],
            {"encoder": {"architecture": {"variable_dtype": "bfloat16"}}},
            "false",
        ),
        (catalogue().preprocessors[PREPROCESSOR], None, "false"),
        (
            catalogue().preprocessors[PREPROCESSOR],
            record(catalogue().preprocessors[PREPROCESSOR]),
            "false",
        ),
    ],
)
def test_fine_tunable(card: Card, known: Any, expected: str) -> None:
    assert dict(metadata(page(card, known)))["fine-tunable"] == expected


def test_without_an_archive_only_its_line_is_missing() -> None:
    for card in models():
        draft = page(card, archive=None)
        assert draft == page(card).replace(f"<!-- asset-path: {ARCHIVE} -->\n", "")
        (found,) = check_page(draft, card.kind)
        assert (found.rule, found.severity) == ("metadata-missing", "error")
        assert "asset-path" in found.message


@pytest.mark.parametrize("card", one_of_each()[3:], ids=lambda card: card.kind)
def test_only_models_have_archives(card: Card) -> None:
    assert page(card) == page(card, archive=None)


@pytest.mark.parametrize(
    "address",
    [
        "legacy",
        "",
        "https://example.org/a.zip",
        "https://github.com/someone/a.tar.gz",
        "/models/a.tar.gz",
        "https://example.org/a b.tar.gz",
        "https://example.org/-->.tar.gz",
        "https://example.org/a -->\n<!-- task: audio-embedding\n.tar.gz",
        "https://example.org/ä.tar.gz",
    ],
)
def test_addresses_that_cannot_stand_on_a_page_are_refused(address: str) -> None:
    with pytest.raises(HubexportError) as caught:
        page(catalogue().encoders[TINY], archive=address)
    assert TINY in str(caught.value) and "asset-path" in str(caught.value)


@pytest.mark.parametrize("address", ["gs://bucket/a.tar.gz", "https://example.org/a%20(1).tar.gz"])
def test_other_addresses_are_taken(address: str) -> None:
    text = page(catalogue().encoders[TINY], archive=address)
    assert ("asset-path", address) in metadata(text)
    assert check_page(text, "encoder") == []


def test_a_licence_that_tfhub_has_no_name_for_is_custom() -> None:
    assert ("license", "custom") in metadata(page(catalogue().encoders[MODIFIED_MIT]))


def test_what_is_not_known_is_not_there() -> None:
    card = edited(
        catalogue().encoders[UNLICENSED],
        tfhub={"network_architecture": None, "datasets": (), "languages": (), "colab": None},
    )
    keys = [key for key, _ in metadata(page(card))]
    assert keys == ["asset-path", "task", "fine-tunable", "format"]


def test_a_collection_has_what_its_members_have() -> None:
    text = page(catalogue().collections["huggingface/transformers_gpt"])
    assert text.startswith("# Collection huggingface/transformers_gpt/1\n")
    assert metadata(text) == [
        ("task", "text-embedding"),
        ("task", "text-language-model"),
        ("task", "text-preprocessing"),
        ("network-architecture", "transformer"),
        ("dataset", "bookscorpus"),
        ("dataset", "other"),
        ("language", "en"),
    ]


def test_a_collection_without_members_is_refused() -> None:
    card = edited(catalogue().collections["tensorflow/bert"], name="nothing")
    with pytest.raises(HubexportError, match="tensorflow/nothing"):
        head(card, None, catalogue(), None)


def test_a_publisher_may_have_an_icon() -> None:
    card = edited(catalogue().publishers["tensorflow"], icon="https://example.org/a_(1).png")
    text = page(card)
    assert check_page(text, "publisher") == []
    (image,) = re.findall(r"^\[!\[Icon URL\]\]\((.*)\)$", text, re.M)
    assert image == "https://example.org/a_%281%29.png"
    assert "Icon" not in page(catalogue().publishers["tensorflow"])


@pytest.mark.parametrize("card", one_of_each(), ids=lambda card: card.kind)
@pytest.mark.parametrize("description", HOSTILE)
def test_a_description_is_text_whatever_is_in_it(card: Card, description: str) -> None:
    text = page(dataclasses.replace(card, description=description))
    assert check_page(text, card.kind) == []
    assert metadata(text) == metadata(page(card))
    assert shown(text) == description


def test_descriptions_of_the_catalogue_stay_as_they_are() -> None:
    for card in cards():
        assert page(card).splitlines()[1] == card.description


def test_the_same_card_gives_the_same_head() -> None:
    for card in cards():
        known = record(card)
        before = repr((card, known))
        assert page(card, known) == page(card, known)
        assert repr((card, known)) == before
