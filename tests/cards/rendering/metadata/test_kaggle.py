"""Kaggle's metadata files: as its checker wants them, and the same for all cards of a model."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from hubexport.cards.allowed import LICENCES
from hubexport.cards.lint.findings import Finding
from hubexport.cards.lint.kaggle import check_instance_metadata, check_model_metadata
from hubexport.cards.rendering.metadata.kaggle import (
    MAX_SUBTITLE,
    dumps,
    instance_metadata,
    model_metadata,
)
from hubexport.cards.schema import Model
from hubexport.errors import HubexportError
from tests.cards.rendering.metadata.material import (
    HOSTILE,
    MODIFIED_MIT,
    PREPROCESSOR,
    TINY,
    TUNED,
    UNLICENSED,
    catalogue,
    edited,
    licence,
    models,
    record,
    with_encoder,
)

DESCRIPTION = "# Model Summary\n\nAn encoder.\n"
OVERVIEW = "Two layers"
USAGE = '```python\nhub.load("${PATH}")\n```\n'


def model(card: Model) -> dict[str, Any]:
    return model_metadata(card, catalogue(), DESCRIPTION)


def instance(card: Model, known: Any = None) -> dict[str, Any]:
    return instance_metadata(card, known, catalogue(), overview=OVERVIEW, usage=USAGE)


def has_name(card: Model) -> bool:
    stated = licence(card)
    return stated is not None and LICENCES[stated.spdx].kaggle is not None


LICENSED = [card for card in models() if has_name(card)]
REFUSED = [card for card in models() if not has_name(card)]


def written(findings_of: Any, metadata: dict[str, Any]) -> list[Finding]:
    """Findings about the file, without notes."""
    text = dumps(metadata)
    return [found for found in findings_of(json.loads(text), text) if found.severity != "note"]


def test_every_model_is_as_kaggle_wants_it() -> None:
    for card in models():
        assert written(check_model_metadata, model(card)) == [], card.handle


@pytest.mark.parametrize("made", [lambda card: None, record], ids=["no record", "record"])
def test_every_instance_is_as_kaggle_wants_it(made: Any) -> None:
    assert len(LICENSED) > 50
    for card in LICENSED:
        assert written(check_instance_metadata, instance(card, made(card))) == [], card.handle


def test_cards_whose_licence_kaggle_cannot_name_are_refused() -> None:
    assert {UNLICENSED, MODIFIED_MIT} <= {card.handle for card in REFUSED}
    for card in REFUSED:
        with pytest.raises(HubexportError) as caught:
            instance(card)
        found = licence(card)
        stated = ["spdx"] if found is None else [found.spdx, found.evidence]
        assert all(text in str(caught.value) for text in (card.handle, *stated))
        assert caught.value.hint
        assert model(card)["slug"] == card.kaggle.model


def test_all_variations_of_a_model_say_the_same_of_it() -> None:
    seen = defaultdict(list)
    for card in models():
        seen[card.publisher, card.kaggle.model].append(model(card))
    assert len(seen) == 13
    for said in seen.values():
        assert all(each == said[0] for each in said)
    titles = [(owner, said[0]["title"]) for (owner, _), said in seen.items()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("handle", "title"),
    [
        (TINY, "BERT"),
        (TUNED, "RoBERTa"),
        (UNLICENSED, "LAMBERT-large, uncased, English"),
        ("huggingface/openai-gpt", "GPT, English"),
    ],
)
def test_a_model_has_the_title_of_what_all_its_variations_are(handle: str, title: str) -> None:
    assert model(catalogue().encoders[handle])["title"] == title


def test_a_model_of_preprocessors_only_has_the_title_of_one() -> None:
    card = edited(catalogue().preprocessors[PREPROCESSOR], kaggle={"model": "alone"})
    assert (model(card)["title"], model(card)["slug"]) == (card.title, "alone")


def test_a_model_is_private_and_has_its_sources() -> None:
    found = model(catalogue().encoders["huggingface/bert-base-german-cased"])
    assert found["isPrivate"] is True
    assert found["description"] == DESCRIPTION
    sources = found["provenanceSources"].splitlines()
    assert "https://www.deepset.ai/german-bert" in sources
    assert len(set(sources)) == len(sources) > 3


def test_a_subtitle_is_short_or_absent() -> None:
    seen = [model(card).get("subtitle") for card in models()]
    assert None in seen and any(seen)
    assert all(len(text) <= MAX_SUBTITLE for text in seen if text is not None)


def test_a_model_is_as_old_as_its_first_release_if_all_are_dated() -> None:
    assert model(catalogue().encoders["huggingface/xlnet-large-cased"])["publishTime"] == (
        "2019-06-19"
    )
    assert catalogue().encoders[TINY].origin.released_on is not None
    assert "publishTime" not in model(catalogue().encoders[TINY])


def test_an_instance() -> None:
    assert instance(catalogue().encoders[TUNED]) == {
        "ownerSlug": "huggingface",
        "modelSlug": "transformers-roberta",
        "instanceSlug": "roberta-large-mnli",
        "framework": "tensorFlow2",
        "overview": OVERVIEW,
        "usage": USAGE,
        "licenseName": "MIT",
        "fineTunable": True,
        "trainingData": [
            "BooksCorpus",
            "English Wikipedia",
            "CC-News",
            "OpenWebText",
            "Stories",
            "MultiNLI",
        ],
        "modelInstanceType": "ExternalVariant",
        "externalBaseModelUrl": "https://huggingface.co/FacebookAI/roberta-large",
    }


def test_what_an_instance_was_made_of() -> None:
    assert instance(catalogue().encoders[TINY])["modelInstanceType"] == "BaseModel"
    assert "modelInstanceType" not in instance(catalogue().preprocessors[PREPROCESSOR])
    parent = edited(catalogue().encoders["huggingface/roberta-large"], origin={"checkpoints": ()})
    found = instance_metadata(
        catalogue().encoders[TUNED], None, with_encoder(parent), overview="", usage=""
    )
    assert found["externalBaseModelUrl"] == parent.origin.release


def test_whether_an_instance_can_be_fine_tuned() -> None:
    encoder = catalogue().encoders[TINY]
    preprocessor = catalogue().preprocessors[PREPROCESSOR]
    assert instance(encoder, record(encoder))["fineTunable"] is True
    assert instance(encoder, record(encoder, trainable=0))["fineTunable"] is False
    assert instance(preprocessor)["fineTunable"] is False
    assert instance(preprocessor, record(preprocessor))["fineTunable"] is False


def test_what_is_not_known_is_not_there() -> None:
    card = edited(catalogue().preprocessors[PREPROCESSOR], vocabulary_data=())
    found = instance_metadata(card, None, catalogue(), overview="", usage="")
    assert not {"overview", "usage", "trainingData", "modelInstanceType"} & set(found)
    assert not {None, "", "Unspecified"} & {value for value in found.values() if value != []}


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_read_as_they_were_written(text: str) -> None:
    card = edited(
        catalogue().encoders[UNLICENSED], kaggle={"model": "alone"}, title=text, description=text
    )
    found = model_metadata(card, with_encoder(card), text)
    assert json.loads(dumps(found)) == found
    assert found["title"] == found["subtitle"] == found["description"] == text
    assert written(check_model_metadata, found) == []


def test_the_form_of_the_file() -> None:
    assert dumps({"a": "ä", "b": ["c"]}) == '{\n  "a": "ä",\n  "b": [\n    "c"\n  ]\n}\n'


def test_the_same_card_gives_the_same_files() -> None:
    for card in LICENSED:
        assert dumps(model(card)) == dumps(model(card))
        assert dumps(instance(card, record(card))) == dumps(instance(card, record(card)))
