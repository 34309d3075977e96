"""Pages of pipelines: by the platforms' rules, true of the artifact, and with programs that run."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hubexport.cards.lint import check_card, check_links, check_page, check_snippets
from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.rendering.formats import FORMATS, site
from hubexport.cards.rendering.job import render_page, render_tree
from hubexport.cards.rendering.platforms import HUB_URL
from hubexport.cards.schema import PipelineCard
from hubexport.errors import HubexportError
from hubexport.pipelines.registry import tasks
from hubexport.saved_model.record import RECORD_PATH
from tests.cards.rendering.exported import PIPELINES, Artifacts
from tests.cards.rendering.of_artifact import (
    HANDLE,
    PIPELINE,
    PREPROCESSOR,
    pipeline_cards,
    write_cards,
)
from tests.cards.rendering.pages import NOTHING, empty, lines_of_tables, markdown, validation
from tests.cards.rendering.programs import ADDRESSES, Runner, page_text, program_of
from tests.tiers import examples

QUICK = tuple(name for name in PIPELINES if "," not in name)
"""One of each task; `make test` looks at these."""
VARIANTS = examples(PIPELINES, QUICK)


@dataclasses.dataclass(frozen=True)
class Made:
    """A pipeline and the cards of it and its parts."""

    record: Mapping[str, Any]
    catalogue: Catalogue

    @property
    def card(self) -> PipelineCard:
        return self.catalogue.pipelines[PIPELINE]

    def page(self, form: str = "tfhub", record: Mapping[str, Any] | None = None) -> str:
        """The text of the page."""
        records = {PIPELINE: self.record if record is None else record}
        files = FORMATS[form].page(self.card, self.catalogue, records, ADDRESSES)
        return "\n".join(markdown(files))


@pytest.fixture(scope="module")
def make(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    def made(name: str) -> Made:
        record = artifacts[name].record
        directory = tmp_path_factory.mktemp("cards")
        write_cards(directory, *pipeline_cards(record))
        return Made(record, load_catalogue(directory))

    return made


def test_every_task_has_a_template_and_an_artifact() -> None:
    root = Path(__file__).parents[3] / "templates" / "pipeline"
    templates = {path.name.split(".")[0] for path in root.glob("task_*")}
    assert templates == {f"task_{name}" for name in tasks()}
    assert {name.split(",")[0] for name in PIPELINES} == {*tasks()}


@pytest.mark.parametrize("name", VARIANTS)
def test_checkers_find_nothing(name: str, make: Callable[[str], Made]) -> None:
    made = make(name)
    (page,) = (
        FORMATS["tfhub"]
        .page(made.card, made.catalogue, {PIPELINE: made.record}, ADDRESSES)
        .values()
    )
    found = check_page(page, "pipeline", f"{FORMATS['tfhub'].place(made.card)}/1.md")
    (card,) = (
        FORMATS["huggingface"]
        .page(made.card, made.catalogue, {PIPELINE: made.record}, ADDRESSES)
        .values()
    )
    found += check_card(card)
    for text in (page, card):
        found += [*check_links(text), *check_snippets(text)]
    assert not [each.render(name) for each in found]
    for text in (made.page("tfhub"), made.page("kaggle")):
        assert not list(empty(text))
        prose = re.sub(r"^```.*?^```", "code", text, flags=re.DOTALL | re.MULTILINE)
        assert not NOTHING.search(prose), NOTHING.search(prose)
        assert not re.search(r"\n\n\n| \n|\t|\n ", prose)
        looks, are = lines_of_tables(text)
        assert looks == are > 2


def handles(form: str) -> str:
    """What a program calls the pipeline."""
    names = {
        "tfhub": f"{HUB_URL}/{PIPELINE}/1",
        "kaggle": "https://www.kaggle.com/models/somebody/tiny-bert/TensorFlow2/pipeline/1",
        "huggingface": PIPELINE,
    }
    return names[form]


@pytest.mark.parametrize("name", VARIANTS)
def test_programs_run(
    name: str, make: Callable[[str], Made], artifacts: Artifacts, tmp_path: Path
) -> None:
    """All of a page's: none is left out. The platforms differ in how the model is loaded."""
    made = make(name)
    programs = [
        program_of(
            f"{name} for {form}",
            page_text(form, made.card, made.catalogue, made.record),
            {handles(form): artifacts[name]},
        )
        for form in (["tfhub"] if "," in name else ["huggingface"])
    ]
    assert all(len(each.snippets) >= 6 for each in programs)
    assert not [found for found in Runner(tmp_path).run(programs) if found]


def test_the_page_is_of_the_artifact(make: Callable[[str], Made]) -> None:
    made = make("classification")
    text, record = " ".join(made.page().split()), made.record
    assert (
        "at most 48 tokens at a time, special ones included; what is longer is cut" in text
        and "32 are computed at once" in text
    )
    assert "contradiction, neutral, entailment; `pipeline.labels`" in text
    for spec in (
        "`text` string [batch_size], `text_pair` string [batch_size]",
        "`labels` string [batch_size, 3], `scores` float32 [batch_size, 3]",
    ):
        assert spec in text
    for row, sentence in enumerate(record["example"]["inputs"]["text"]):
        best = record["example"]["outputs"]["labels"][row][0]
        score = record["example"]["outputs"]["scores"][row][0]
        assert f"| {sentence} | {best} ({score:.12g}), " in text
    for part in ("encoder", "preprocessor"):
        card = {"encoder": HANDLE, "preprocessor": PREPROCESSOR}[part]
        assert f"]({HUB_URL}/{card}/1)" in text
    for file in (
        *record["encoder"]["checkpoint"]["files"],
        *record["preprocessor"]["tokenizer"]["files"].values(),
    ):
        assert text.count(f"`{file['sha256']}`") == 1
    assert "## Licence Apache 2.0" in text and "sigmoid" not in text


def test_prompts(make: Callable[[str], Made]) -> None:
    text = " ".join(make("embedding, prompts").page().split())
    assert "a vector of 9 numbers, the first of 32" in text
    assert "scaled to length 1 before it is cut" in text
    assert "without one of them, it is that of `query`" in text
    assert '| `query` | `"query: "` |' in text and "| `passage` | nothing |" in text
    assert "and not pooled" in text
    usual = " ".join(make("embedding").page().split())
    assert "Prompts" not in usual and "the first of" not in usual


def test_a_pipeline_that_was_not_exported(make: Callable[[str], Made]) -> None:
    made = make("embedding")
    text = made.page(record={})
    assert "## Availability" in text and "## Usage" not in text
    assert not list(empty(text))


def test_what_the_encoder_was_measured_at_is_said_to_be_the_encoders(
    make: Callable[[str], Made],
) -> None:
    made = make("embedding")
    record = copy.deepcopy(dict(made.record))
    record["encoder"]["validation"] = [validation()]
    text = made.page(record=record)
    assert "What `hubexport validate` measured on its encoder." in text
    assert "Validation" not in made.page()


def test_stored_narrow(make: Callable[[str], Made]) -> None:
    made = make("classification")
    record = copy.deepcopy(dict(made.record))
    record["encoder"]["architecture"]["variable_dtype"] = "bfloat16"
    (page,) = (
        FORMATS["tfhub"].page(made.card, made.catalogue, {PIPELINE: record}, ADDRESSES).values()
    )
    assert "<!-- fine-tunable: false -->" in page
    assert "trainable=True" not in page and "GradientTape" not in page
    usual = made.page()
    assert "trainable=True" in usual and "GradientTape" in usual


class TestPlatforms:
    def front_matter(self, made: Made) -> dict[str, Any]:
        (text,) = (
            FORMATS["huggingface"]
            .page(made.card, made.catalogue, {PIPELINE: made.record}, ADDRESSES)
            .values()
        )
        found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
        return found

    def test_hugging_face(self, make: Callable[[str], Made]) -> None:
        made = make("classification")
        found = self.front_matter(made)
        assert found["pipeline_tag"] == "text-classification"
        assert found["library_name"] == "tf-keras" and found["license"] == "apache-2.0"
        assert found["language"] == ["en"]
        example = made.record["example"]
        for entry, text, labels, scores in zip(
            found["widget"], example["inputs"]["text"], example["outputs"]["labels"],
            example["outputs"]["scores"], strict=True,
        ):  # fmt: skip
            assert entry["text"] == text
            assert [each["label"] for each in entry["output"]] == labels
            assert [each["score"] for each in entry["output"]] == scores

    def test_sentences_are_compared_or_turned_into_features(
        self, make: Callable[[str], Made]
    ) -> None:
        made = make("embedding")
        first, *others = made.record["example"]["inputs"]["text"]
        compared = [{"source_sentence": first, "sentences": others}]
        assert self.front_matter(made)["widget"] == compared
        tags = dataclasses.replace(made.card.hugging_face, pipeline_tag="feature-extraction")
        card = dataclasses.replace(made.card, hugging_face=tags)
        changed = dataclasses.replace(made.catalogue, pipelines={PIPELINE: card})
        texts = [{"text": text} for text in (first, *others)]
        assert self.front_matter(Made(made.record, changed))["widget"] == texts

    def test_a_task_that_the_hub_has_no_widget_for(self, make: Callable[[str], Made]) -> None:
        assert "widget" not in self.front_matter(make("perplexity"))

    def test_masks(self, make: Callable[[str], Made]) -> None:
        """Of the example's texts one has a mask, and the other two."""
        made = make("fill-mask")
        example = made.record["example"]
        (found,) = self.front_matter(made)["widget"]
        assert found["text"] == example["inputs"]["text"][0] and "[MASK]" in found["text"]
        assert [each["label"] for each in found["output"]] == example["outputs"]["tokens"][0][0]
        assert example["outputs"]["num_masks"] == [1, 2]

    def test_answers(self, make: Callable[[str], Made]) -> None:
        made = make("question-answering")
        example = made.record["example"]
        for row, found in enumerate(self.front_matter(made)["widget"]):
            assert found["text"] == example["inputs"]["question"][row]
            assert found["context"] == example["inputs"]["context"][row]
            answer = found["output"]["answer"]
            assert answer == example["outputs"]["answers"][row][0] and answer in found["context"]

    def test_entities(self, make: Callable[[str], Made]) -> None:
        made = make("token-classification")
        texts = made.record["example"]["inputs"]["text"]
        assert self.front_matter(made)["widget"] == [{"text": text} for text in texts]

    def test_kaggle(self, make: Callable[[str], Made]) -> None:
        made = make("embedding")
        files = FORMATS["kaggle"].page(
            made.card, made.catalogue, {PIPELINE: made.record}, ADDRESSES
        )
        instance = json.loads(files["model-instance-metadata.json"])
        assert instance["licenseName"] == "Apache 2.0" and instance["fineTunable"] is True
        assert instance["instanceSlug"] == "pipeline"
        assert instance["overview"].startswith("## Overview")
        assert instance["usage"].startswith("## Usage")


WRONG: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "task": (
        "pipeline", {"task": "classification"},
        "task: the card says classification, the record says embedding",
    ),
    "tfhub.tasks": (
        "pipeline", {"tfhub": {"tasks": ["text-embedding", "text-generation"]}},
        "tfhub.tasks: the card says text-generation, the record says the task is embedding",
    ),
    "hugging_face.pipeline_tag": (
        "pipeline", {"hugging_face": {"pipeline_tag": "fill-mask"}},
        "hugging_face.pipeline_tag: the card says fill-mask, the record says the task is embedding",
    ),
    "kaggle.framework": (
        "pipeline",
        {"kaggle": {"model": "tiny-bert", "variation": "x", "framework": "pyTorch"}},
        "kaggle.framework: the card says pyTorch, the record says a SavedModel of",
    ),
    "encoder": (
        "encoder", {"architecture": {"num_hidden_layers": 3}},
        "encoder: architecture.num_hidden_layers: the card says somebody/tiny_bert, 3, the record "
        "says 2",
    ),
    "preprocessor": (
        "preprocessor", {"vocab_size": 7},
        "preprocessor: vocab_size: the card says somebody/tiny_preprocess, 7, the record says",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_a_card_that_contradicts_the_record(key: str, artifacts: Artifacts, tmp_path: Path) -> None:
    artifact, (kind, changes, said) = artifacts["embedding"], WRONG[key]
    cards = [
        card | changes if card["kind"] == kind else card for card in pipeline_cards(artifact.record)
    ]
    file = write_cards(tmp_path, *cards)
    with pytest.raises(HubexportError) as caught:
        render_page(card=file, saved_model=artifact.path)
    message = " ".join(str(caught.value).split())
    assert f"differs: {said}" in message and message.count("differs: ") == 1
    assert PIPELINE in message


def test_the_only_card_that_fits_is_found(artifacts: Artifacts, tmp_path: Path) -> None:
    """Of several pipelines, by the task and by what is said of the encoder."""
    artifact = artifacts["classification"]
    pipeline, encoder, text = pipeline_cards(artifact.record)
    names = {"one": {}, "two": {"task": "embedding"}, "three": {"encoder": "somebody/other"}}
    more = [
        pipeline | {"name": name, "kaggle": {**pipeline["kaggle"], "variation": name}} | change
        for name, change in names.items()
    ]
    other = encoder | {"name": "other", "architecture": {"num_hidden_layers": 7}}
    for number, card in enumerate((*more, other, encoder, text)):
        write_cards(tmp_path / str(number), card)
        (tmp_path / str(number) / "publishers.yaml").unlink()
    write_cards(tmp_path, encoder)
    (tmp_path / "encoder.yaml").unlink()
    place = tmp_path / "models" / "some" / RECORD_PATH
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(artifact.record), "utf-8")
    files = render_tree(cards=tmp_path, saved_models=tmp_path / "models")
    assert {*files} == {"somebody/models/one/1.md", "somebody/somebody.md"}


def test_pages_are_linked_both_ways(make: Callable[[str], Made]) -> None:
    made = make("embedding")
    link = f"]({HUB_URL}/{PIPELINE}/1)"
    records = {HANDLE: made.record["encoder"], PREPROCESSOR: made.record["preprocessor"]}
    for card in (made.catalogue.encoders[HANDLE], made.catalogue.preprocessors[PREPROCESSOR]):
        (text,) = FORMATS["tfhub"].page(card, made.catalogue, records, ADDRESSES).values()
        assert link in text
    publisher = made.catalogue.publishers["somebody"]
    (text,) = FORMATS["tfhub"].page(publisher, made.catalogue, records, ADDRESSES).values()
    assert "## Pipelines" in text and link in text


def test_the_site_has_them(make: Callable[[str], Made]) -> None:
    pytest.importorskip("pygments")
    made = make("embedding")
    files = site(made.catalogue, {PIPELINE: made.record}, HUB_URL)
    page = files["somebody/tiny_pipeline/index.html"]
    assert '<a href="../tiny_bert/index.html">' in page
    assert '<a href="../tiny_preprocess/index.html">' in page
    assert "<dt>Task</dt><dd>Embedding</dd>" in page
    index = files["index.html"]
    assert "and 1 pipelines" not in index and 'name="task" value="embedding"' in index
    assert "tiny_pipeline/index.html" in index
