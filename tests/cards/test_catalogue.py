"""The catalogue of model_cards: complete, and true as far as it can be told here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from hubexport.cards import allowed
from hubexport.cards.lint.findings import load_list
from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.schema import Card, EncoderCard
from hubexport.families.registry import families
from hubexport.pipelines.registry import tasks
from tests.cards.material import MODEL_CARDS

SIZES = [(layers, hidden) for layers in (2, 4, 6, 8, 10, 12) for hidden in (128, 256, 512, 768)]
BERT = {
    "bert_en_uncased_L-12_H-768_A-12": (12, 768, 12, "uncased", "word_piece", 30522),
    "bert_en_cased_L-12_H-768_A-12": (12, 768, 12, "cased", "word_piece", 28996),
    "bert_en_uncased_L-24_H-1024_A-16": (24, 1024, 16, "uncased", "word_piece", 30522),
    "bert_en_cased_L-24_H-1024_A-16": (24, 1024, 16, "cased", "word_piece", 28996),
    "bert_en_wwm_uncased_L-24_H-1024_A-16": (24, 1024, 16, "uncased", "whole_word", 30522),
    "bert_en_wwm_cased_L-24_H-1024_A-16": (24, 1024, 16, "cased", "whole_word", 28996),
    "bert_multi_cased_L-12_H-768_A-12": (12, 768, 12, "cased", "word_piece", 119547),
    "bert_zh_L-12_H-768_A-12": (12, 768, 12, "uncased", "word_piece", 21128),
}
VARIANTS = (
    "talkheads_ggelu_bert_en_base",
    "talkheads_ggelu_bert_en_large",
    "lambert_en_uncased_L-24_H-1024_A-16",
)
# Shortcut names of the transformers library: layers, hidden size, heads; None where unsettled.
TRANSFORMERS = {
    "bert-base-uncased": (12, 768, 12),
    "bert-large-uncased": (24, 1024, 16),
    "bert-base-cased": (12, 768, 12),
    "bert-large-cased": (24, 1024, 16),
    "bert-base-multilingual-uncased": (12, 768, 12),
    "bert-base-multilingual-cased": (12, 768, 12),
    "bert-base-chinese": (12, 768, 12),
    "bert-base-german-cased": (12, 768, 12),
    "bert-large-uncased-whole-word-masking": (24, 1024, 16),
    "bert-large-cased-whole-word-masking": (24, 1024, 16),
    "bert-large-uncased-whole-word-masking-finetuned-squad": (24, 1024, 16),
    "bert-large-cased-whole-word-masking-finetuned-squad": (24, 1024, 16),
    "bert-base-cased-finetuned-mrpc": (12, 768, 12),
    "bert-base-german-dbmdz-cased": (12, 768, 12),
    "bert-base-german-dbmdz-uncased": (12, 768, 12),
    "openai-gpt": (12, 768, 12),
    "gpt2": (12, 768, 12),
    "gpt2-medium": (24, 1024, 16),
    "gpt2-large": (36, 1280, 20),
    "transfo-xl-wt103": (18, 1024, 16),
    "xlnet-base-cased": (12, 768, 12),
    "xlnet-large-cased": (24, 1024, 16),
    "xlm-mlm-en-2048": (12, 2048, 16),
    "xlm-mlm-ende-1024": (6, 1024, 8),
    "xlm-mlm-enfr-1024": (6, 1024, 8),
    "xlm-mlm-enro-1024": (6, 1024, 8),
    "xlm-mlm-xnli15-1024": (12, 1024, 8),
    "xlm-mlm-tlm-xnli15-1024": (12, 1024, 8),
    "xlm-clm-enfr-1024": (6, 1024, 8),
    "xlm-clm-ende-1024": (6, 1024, 8),
    "roberta-base": (12, 768, 12),
    "roberta-large": (24, 1024, 16),
    "roberta-large-mnli": (24, 1024, 16),
    "xlm-roberta-base": (12, 768, 12),
    "xlm-roberta-large": (24, 1024, 16),
    "distilbert-base-uncased": (6, 768, 12),
    "distilbert-base-uncased-distilled-squad": (6, 768, 12),
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(MODEL_CARDS)


def cards(catalogue: Catalogue) -> list[Card]:
    rest = [*catalogue.collections.values(), *catalogue.publishers.values()]
    return [*catalogue.models, *rest]


def texts(value: object) -> Iterator[str]:
    """All strings in a card."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts(each)


def size(card: EncoderCard) -> tuple[int | None, int | None, int | None]:
    built = card.architecture
    return built.num_hidden_layers, built.hidden_size, built.num_attention_heads


def test_every_model_has_a_card(catalogue: Catalogue) -> None:
    small = {f"small_bert/bert_en_uncased_L-{x}_H-{h}_A-{h // 64}" for x, h in SIZES}
    assert len(small) == 24
    wanted = {f"tensorflow/{name}" for name in {*BERT, *VARIANTS, *small}}
    wanted |= {f"huggingface/{name}" for name in TRANSFORMERS}
    assert set(catalogue.encoders) == wanted | {"sentence-transformers/all-MiniLM-L6-v2-encoder"}


def test_every_encoder_that_was_made_for_a_task_has_its_pipeline(catalogue: Catalogue) -> None:
    """And its platforms' names are those of the task."""
    made = {(card.encoder, card.task) for card in catalogue.pipelines.values()}
    for card in catalogue.encoders.values():
        tag = card.hugging_face.pipeline_tag
        if card.derived_from is not None and card.derived_from.how == "fine_tuned":
            of = {name for name, task in tasks().items() if tag in task.pipeline_tags}
            assert {(card.handle, name) for name in of} <= made, card.handle
    for pipeline in catalogue.pipelines.values():
        task = tasks()[pipeline.task]
        assert pipeline.hugging_face.pipeline_tag in task.pipeline_tags
        assert {*pipeline.tfhub.tasks} <= {*task.tfhub_tasks}


@pytest.mark.parametrize(("layers", "hidden"), SIZES)
def test_small_bert(catalogue: Catalogue, layers: int, hidden: int) -> None:
    name = f"small_bert/bert_en_uncased_L-{layers}_H-{hidden}_A-{hidden // 64}"
    card = catalogue.encoders[f"tensorflow/{name}"]
    assert size(card) == (layers, hidden, hidden // 64)
    (url,) = card.origin.checkpoints
    assert url.endswith(f"/uncased_L-{layers}_H-{hidden}_A-{hidden // 64}.zip")
    assert card.kaggle.variation == name.split("/")[1].lower().replace("_", "-")
    measured = {(2, 128): 64.2, (4, 256): 65.8, (4, 512): 71.2, (8, 512): 73.5}
    scores = [e.value for e in card.evaluation if e.dataset == "glue"]
    assert scores == ([measured[layers, hidden]] if (layers, hidden) in measured else [])
    assert len(card.evaluation) in (0, 15)


def test_the_small_bert_of_12_layers_and_512_units(catalogue: Catalogue) -> None:
    """What its published page tells is in the card, or in an artifact's record."""
    card = catalogue.encoders["tensorflow/small_bert/bert_en_uncased_L-12_H-512_A-8"]
    assert (card.version, card.changelog[0].version) == (1, 1)
    assert (card.tfhub.tasks, card.tfhub.network_architecture) == (
        ("text-embedding",),
        "transformer",
    )
    assert (card.tfhub.datasets, card.tfhub.languages) == (("wikipedia-and-bookscorpus",), ("en",))
    assert card.tfhub.colab is not None
    assert card.tfhub.colab.endswith("solve_glue_tasks_using_bert_on_tpu.ipynb")
    paper = catalogue.papers[card.papers[0]]
    assert (paper.url, paper.year) == ("https://arxiv.org/abs/1908.08962", 2019)
    assert paper.bibtex.startswith("@article{turc2019,")
    assert card.origin.implementation is not None
    assert card.origin.implementation.startswith("https://github.com/tensorflow/models")
    assert card.origin.weights == "unchanged" and card.origin.layout == "tf1"
    assert [use.dataset for use in card.training_data] == ["wikipedia_en", "bookscorpus"]
    assert card.casing == "uncased"
    assert card.masking is not None and card.masking.unit == "word_piece"
    assert card.preprocessor == "tensorflow/bert_en_uncased_preprocess"
    assert catalogue.preprocessors[card.preprocessor].version == 3
    assert "tensorflow/bert" in card.collections
    assert any("distillation" in use for use in card.intended_use)
    assert card.fine_tuning is not None and "all parameters" in card.fine_tuning.advice[0]


@pytest.mark.parametrize("name", BERT)
def test_bert(catalogue: Catalogue, name: str) -> None:
    card = catalogue.encoders[f"tensorflow/{name}"]
    *numbers, casing, masking, vocab_size = BERT[name]
    assert list(size(card)) == numbers
    assert (card.casing, card.architecture.vocab_size) == (casing, vocab_size)
    assert card.masking is not None and card.masking.unit == masking
    wanted = "bert_" + re.sub("wwm_|_?L-.*", "", name.removeprefix("bert_")) + "_preprocess"
    assert card.preprocessor == f"tensorflow/{wanted}"


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(catalogue: Catalogue, name: str) -> None:
    card = catalogue.encoders[f"huggingface/{name}"]
    assert size(card) == TRANSFORMERS[name]
    assert card.origin.layout == "hugging_face"
    if "uncased" in name or "cased" in name:
        assert card.casing == ("uncased" if "uncased" in name else "cased")
    if "finetuned" in name or "distilled" in name or name.endswith("-mnli"):
        assert card.derived_from is not None and card.derived_from.how == "fine_tuned"


def test_encoder_and_preprocessor_go_together(catalogue: Catalogue) -> None:
    for card in catalogue.encoders.values():
        preprocessor = catalogue.preprocessors[card.preprocessor]
        assert preprocessor.casing == card.casing, card.handle
        assert preprocessor.languages == card.languages, card.handle
        if card.architecture.vocab_size and preprocessor.vocab_size:
            assert preprocessor.vocab_size == card.architecture.vocab_size, card.handle
    for preprocessor in catalogue.preprocessors.values():
        assert catalogue.encoders_of(preprocessor.handle), preprocessor.handle


def test_what_a_model_came_from_is_of_its_size(catalogue: Catalogue) -> None:
    for card in catalogue.encoders.values():
        if card.derived_from is not None:
            parent = catalogue.encoders[card.derived_from.handle]
            assert parent is not card
            if card.derived_from.how != "distilled":
                assert size(parent) == size(card), card.handle


def test_heads_divide_the_hidden_size(catalogue: Catalogue) -> None:
    for card in catalogue.encoders.values():
        _, hidden, heads = size(card)
        assert hidden is not None and heads is not None and hidden % heads == 0, card.handle


def test_tables_have_nothing_that_no_card_uses(catalogue: Catalogue) -> None:
    papers = {paper for card in cards(catalogue) for paper in getattr(card, "papers", ())}
    assert papers == set(catalogue.papers)
    used = {
        u.dataset for c in catalogue.encoders.values() for u in (*c.training_data, *c.evaluation)
    }
    used |= {u.dataset for c in catalogue.preprocessors.values() for u in c.vocabulary_data}
    assert used == set(catalogue.datasets)
    for collection in catalogue.collections:
        assert catalogue.members(collection), collection
    assert {card.publisher for card in catalogue.models} == set(catalogue.publishers)


def test_kaggle_handles_are_distinct(catalogue: Catalogue) -> None:
    handles = [(c.publisher, c.kaggle.model, c.kaggle.variation) for c in catalogue.models]
    assert len(set(handles)) == len(handles)


def test_texts_are_of_a_length_to_read(catalogue: Catalogue) -> None:
    descriptions = [card.description for card in cards(catalogue)]
    assert all(25 <= len(text) <= 120 for text in descriptions)
    assert len(set(descriptions)) == len(descriptions)
    for card in catalogue.encoders.values():
        assert 1 <= len(card.overview) <= 4, card.handle
        assert all(80 <= len(paragraph) <= 600 for paragraph in card.overview), card.handle
        assert card.intended_use and card.out_of_scope and card.limitations and card.biases


def test_nothing_is_filled_in(catalogue: Catalogue) -> None:
    filler = re.compile(
        r"\b(TBD|TODO|N/A|unknown\.|to be (done|added)|more information)\b|[{}]", re.I
    )
    for card in cards(catalogue):
        for text in texts(dataclasses.asdict(card)):
            assert not filler.search(text), (card.handle, text)


def test_results_are_shares_in_percent(catalogue: Catalogue) -> None:
    for card in catalogue.encoders.values():
        seen = [(e.dataset, e.subset, e.metric, e.split, e.setting) for e in card.evaluation]
        assert len(set(seen)) == len(seen), card.handle
        assert all(0 <= result.value <= 100 for result in card.evaluation), card.handle


def test_families_are_those_of_the_exporter_and_more(catalogue: Catalogue) -> None:
    assert set(families()) <= set(allowed.FAMILIES)
    supported = {c.family for c in catalogue.encoders.values() if allowed.is_supported(c.family)}
    assert supported >= {"bert", "distilbert", "lambert", "roberta", "talking_heads"}
    assert not allowed.is_supported("no_such_family")


def test_licences_have_the_platforms_names() -> None:
    tfhub = load_list("tfhub_tags")["values"]["license"]
    kaggle, hugging_face = (load_list(name)["licenses"] for name in ("kaggle", "hugging_face"))
    for spdx, names in allowed.LICENCES.items():
        assert names.tfhub in tfhub, spdx
        assert names.kaggle is None or names.kaggle in kaggle, spdx
        assert names.hugging_face in hugging_face, spdx


def test_papers_are_cited_as_they_are_called(catalogue: Catalogue) -> None:
    def plain(text: str) -> str:
        return re.sub(r"\W+", " ", text).lower()

    for name, paper in catalogue.papers.items():
        assert plain(paper.title) in plain(paper.bibtex), name
        assert f"year={{{paper.year}}}" in paper.bibtex.replace(" ", ""), name
        assert all(author.split()[-1] in paper.bibtex for author in paper.authors), name
