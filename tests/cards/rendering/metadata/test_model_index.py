"""Results in the YAML of Hugging Face cards: complete, with their sources, and readable."""

from __future__ import annotations

from typing import Any

import pytest

from hubexport.cards.parts import Evaluation
from hubexport.cards.rendering.metadata.model_index import model_index
from hubexport.cards.schema import EncoderCard
from tests.cards.rendering.metadata.material import TINY, catalogue, edited


def index(card: EncoderCard) -> list[dict[str, Any]]:
    return model_index(card.title, card.evaluation, catalogue().datasets)


def results(card: EncoderCard) -> list[dict[str, Any]]:
    (model,) = index(card)
    assert model["name"] == card.title
    found: list[dict[str, Any]] = model["results"]
    return found


def test_all_results_are_there_with_their_sources() -> None:
    for card in catalogue().encoders.values():
        if not card.evaluation:
            assert index(card) == []
            continue
        written = [
            (result["source"]["url"], metric["value"])
            for result in results(card)
            for metric in result["metrics"]
        ]
        said = [(each.source, each.value) for each in card.evaluation]
        assert sorted(written) == sorted(said), card.handle
        assert all(result["task"]["type"] != "other" for result in results(card)), card.handle


def test_results_of_the_same_data_are_one() -> None:
    (mrpc,) = [r for r in results(catalogue().encoders[TINY]) if r["dataset"]["name"] == "MRPC"]
    assert mrpc == {
        "task": {"type": "text-classification"},
        "dataset": {"type": "glue", "name": "MRPC", "config": "mrpc", "split": "test"},
        "metrics": [
            {"type": "f1", "value": 81.1, "name": "F1"},
            {"type": "accuracy", "value": 71.1, "name": "accuracy"},
        ],
        "source": {"url": "https://github.com/google-research/bert"},
    }


def test_subsets_and_settings_are_told_apart() -> None:
    found = results(catalogue().encoders["tensorflow/bert_multi_cased_L-12_H-768_A-12"])
    names = [(r["dataset"]["name"], m["name"]) for r in found for m in r["metrics"]]
    assert len(set(names)) == len(names) == 6
    assert all("XNLI (" in name and "(fine-tuned on " in metric for name, metric in names)


def test_results_of_two_sources_keep_theirs() -> None:
    one, two = "https://example.org/1", "https://example.org/2"
    said = (Evaluation("mrpc", "F1", 80.0, one), Evaluation("mrpc", "accuracy", 70.0, two))
    found = results(edited(catalogue().encoders[TINY], evaluation=said))
    assert [(r["source"]["url"], r["metrics"][0]["value"]) for r in found] == [
        (one, 80.0),
        (two, 70.0),
    ]


def test_a_result_on_data_that_nobody_knows() -> None:
    source = "https://example.org"
    result = Evaluation("stories", "some Score", 0.0, source, split="dev")
    (found,) = results(edited(catalogue().encoders[TINY], evaluation=(result,)))
    assert found == {
        "task": {"type": "other"},
        "dataset": {"type": "stories", "name": "Stories", "split": "validation"},
        "metrics": [{"type": "some_score", "value": 0.0, "name": "some Score"}],
        "source": {"url": source},
    }


def test_the_hubs_package_reads_the_results() -> None:
    repocard = pytest.importorskip("huggingface_hub.repocard_data")
    for card in catalogue().encoders.values():
        if card.evaluation:
            name, read = repocard.model_index_to_eval_results(index(card))
            assert name == card.title
            assert len(read) == len(card.evaluation)
            assert {each.source_url for each in read} == {each.source for each in card.evaluation}
