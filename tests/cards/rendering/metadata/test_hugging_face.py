"""The YAML of Hugging Face cards, read back by the checker and by the Hub's own package."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from hubexport.cards.lint.hugging_face import check_card
from hubexport.cards.parts import Derivation, Licence
from hubexport.cards.rendering.metadata.hugging_face import front_matter, repository
from hubexport.cards.schema import Card, CollectionCard, Model
from hubexport.errors import HubexportError
from tests.cards.rendering.metadata.material import (
    HOSTILE,
    HOSTILE_NAMES,
    MODIFIED_MIT,
    PREPROCESSOR,
    TINY,
    TUNED,
    UNLICENSED,
    cards,
    catalogue,
    edited,
    licence,
    models,
    one_of_each,
    record,
)


def block(card: Card, known: Any = None) -> str:
    return front_matter(card, known, catalogue())


def values(card: Card) -> dict[str, Any]:
    text = block(card)
    assert text.startswith("---\n") and text.endswith("\n---\n")
    found: dict[str, Any] = yaml.safe_load(text.removeprefix("---\n").removesuffix("---\n"))
    return found


def findings(card: Card, known: Any = None) -> list[tuple[str, str]]:
    """(severity, message) about a card with this block."""
    text = block(card, known) + "\n# Title\n\nText.\n"
    return [(found.severity, found.message) for found in check_card(text)]


@pytest.mark.parametrize("made", [lambda card: None, record], ids=["no record", "record"])
def test_every_model_is_as_the_hub_wants_it(made: Any) -> None:
    for card in models():
        missing = [("warning", "the card has no license, by which people find models")]
        wanted = [] if licence(card) else missing
        assert findings(card, made(card)) == wanted, card.handle


def test_other_cards_have_no_errors() -> None:
    for card in [*catalogue().collections.values(), *catalogue().publishers.values()]:
        assert not [found for found in findings(card) if found[0] == "error"], card.handle


def test_a_model() -> None:
    found = values(catalogue().encoders[TINY])
    index = found.pop("model-index")
    assert len(index[0]["results"]) == 12
    assert found == {
        "model_name": "Small BERT with 2 layers of 128 units, uncased, English",
        "language": ["en"],
        "license": "apache-2.0",
        "library_name": "tf-keras",
        "pipeline_tag": "fill-mask",
        "tags": ["bert", "small-bert", "tf-hub"],
        "datasets": ["wikipedia", "bookcorpus"],
        "base_model": "google/bert_uncased_L-2_H-128_A-2",
    }


def test_a_preprocessor() -> None:
    found = values(catalogue().preprocessors[PREPROCESSOR])
    assert found["pipeline_tag"] == "feature-extraction"
    assert found["tags"] == ["bert", "tokenizer", "tf-hub"]
    assert "model-index" not in found


def test_a_family_is_among_the_tags() -> None:
    tags = values(catalogue().encoders["huggingface/transfo-xl-wt103"])["tags"]
    assert tags[-1] == "transformer-xl" and len(set(tags)) == len(tags)


def test_a_licence_that_the_hub_has_no_name_for_is_named_and_linked() -> None:
    card = catalogue().encoders[MODIFIED_MIT]
    found = values(card)
    assert card.licence is not None
    assert (found["license"], found["license_name"]) == ("other", "modified-mit")
    assert found["license_link"] == card.licence.evidence
    assert not {"license_name", "license_link"} & set(values(catalogue().encoders[TINY]))


def test_what_is_not_known_is_not_there() -> None:
    card = edited(
        catalogue().encoders[UNLICENSED],
        hugging_face={"tags": (), "base_model": None},
        training_data=(),
        evaluation=(),
    )
    assert set(values(card)) == {"model_name", "language", "library_name", "pipeline_tag", "tags"}


def test_a_model_in_another_format_is_in_none_of_the_hubs_relations() -> None:
    for card in models():
        found = values(card)
        base_model = catalogue().source(card).hugging_face.base_model
        assert found.get("base_model") == base_model
        assert "base_model_relation" not in found


@pytest.mark.parametrize(
    ("how", "relation"), [("fine_tuned", "finetune"), ("distilled", None), ("converted", None)]
)
def test_without_a_repository_the_model_that_it_came_from_is_its_base(
    how: str, relation: str | None
) -> None:
    card = edited(catalogue().encoders[TUNED], hugging_face={"base_model": None})
    card = edited(card, derived_from=Derivation("huggingface/roberta-large", how))
    found = values(card)
    assert found["base_model"] == "FacebookAI/roberta-large"
    assert found.get("base_model_relation") == relation
    assert findings(card) == []


def test_a_base_that_is_nowhere_on_the_hub_is_left_out() -> None:
    card = edited(catalogue().encoders[TUNED], hugging_face={"base_model": None})
    card = edited(card, derived_from=Derivation(UNLICENSED, "fine_tuned"))
    assert not {"base_model", "base_model_relation"} & set(values(card))


def test_a_collection_has_what_its_members_share() -> None:
    assert values(catalogue().collections["huggingface/transformers_xlm"])["license"] == (
        "cc-by-nc-4.0"
    )
    mixed = values(catalogue().collections["huggingface/transformers_bert"])
    assert "license" not in mixed
    assert mixed["language"] == ["en", "multilingual", "zh", "de"]
    assert mixed["tags"] == ["bert", "tf-hub"]
    empty = CollectionCard("tensorflow", "none", "None", "There is nothing.")
    assert values(empty) == {"model_name": "None", "library_name": "tf-keras"}


def test_a_publisher_has_the_page_of_an_organisation() -> None:
    card = catalogue().publishers["tensorflow"]
    assert values(card) == {"title": "TensorFlow", "sdk": "static", "pinned": False}
    assert repository(card) == "tensorflow/README"


@pytest.mark.parametrize("card", one_of_each(), ids=lambda card: card.kind)
@pytest.mark.parametrize("title", [*HOSTILE, *HOSTILE_NAMES, "a\n---\nb: c", "\u2028 \x85"])
def test_a_title_survives_whatever_is_in_it(card: Card, title: str) -> None:
    found = values(edited(card, title=title))
    assert found.get("model_name", found.get("title")) == title
    assert found.keys() == values(card).keys()
    assert not [each for each in findings(edited(card, title=title)) if each[0] == "error"]


@pytest.mark.parametrize("title", ["1e3", "0o17", "1_000", "+1e3"])
def test_what_is_a_number_in_one_version_of_yaml_only_is_quoted(title: str) -> None:
    text = block(edited(catalogue().publishers["tensorflow"], title=title))
    assert f'title: "{title}"\n' in text


def test_languages_and_licences_survive() -> None:
    licence = Licence("LicenseRef-modified-MIT", "https://example.org/#a:b,'c'")
    found = values(edited(catalogue().encoders[TINY], languages=("no", "zh"), licence=licence))
    assert found["language"] == ["no", "zh"]
    assert found["license_link"] == licence.evidence


def test_long_texts_stay_on_their_lines() -> None:
    title = "word --- " * 60 + "end"
    text = block(edited(catalogue().encoders[TINY], title=title))
    assert f"model_name: {title}\n" in text


def test_repositories_are_distinct_and_flat() -> None:
    names = [repository(card) for card in models()]
    assert len(set(names)) == len(names)
    assert "tensorflow/small_bert-bert_en_uncased_L-2_H-128_A-2" in names
    assert all(name.count("/") == 1 for name in names)


@pytest.mark.parametrize("name", ["..", "a..b", "a--b", "a/-b", "-a", "a.", "ä", "a" * 90])
def test_names_that_the_hub_does_not_take_are_refused(name: str) -> None:
    card: Model = edited(catalogue().encoders[TINY], name=name)
    with pytest.raises(HubexportError) as caught:
        repository(card)
    assert card.handle in str(caught.value)


def test_the_same_card_gives_the_same_block() -> None:
    for card in cards():
        known = record(card)
        before = repr((card, known))
        assert block(card, known) == block(card, known)
        assert repr((card, known)) == before
