"""Parts of pages that are there only where something is known, and what validation found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hubexport.cards.lint import check_snippets
from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.rendering.formats import FORMATS
from hubexport.errors import HubexportError
from tests.cards.material import (
    COLLECTION,
    DATASETS,
    ENCODER,
    PAPERS,
    PREPROCESSOR,
    PUBLISHER,
    write,
)
from tests.cards.rendering.exported import enlarged
from tests.cards.rendering.pages import NOTHING, empty, markdown, validation
from tests.cards.rendering.programs import ADDRESSES

BERT = "tensorflow/bert_en_uncased_L-12_H-768_A-12"

OPTIONAL = (
    "Licence", "Evaluation", "cite", "Authors", "Also known", "Limitations", "Biases", "Training",
    "described in", "See also", "Validation", "was trained on", "pooler was", "masked,",
    "vocabulary was made", "warned",
)  # fmt: skip


@pytest.fixture(scope="module")
def least(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Cards with the required keys only."""
    directory = tmp_path_factory.mktemp("least")
    files = (ENCODER, PREPROCESSOR, PUBLISHER, COLLECTION, PAPERS, DATASETS)
    for number, text in enumerate(files):
        write(directory / f"{number}.yaml", text)
    return load_catalogue(directory)


@pytest.mark.parametrize("name", ["tfhub", "huggingface"])
def test_required_keys_are_enough(name: str, least: Catalogue, basic: Mapping[str, Any]) -> None:
    models = [*least.encoders.values(), *least.preprocessors.values()]
    found = {card.handle: enlarged(basic[card.kind], card) for card in models}
    for card in least.encoders.values():
        pieces = least.preprocessors[card.preprocessor].vocab_size
        for part in ("architecture", "tokenizer"):
            found[card.handle][part]["vocab_size"] = pieces
    bare = {
        handle: {
            **{k: v for k, v in record.items() if k in BARE},
            "tokenizer": None if record["kind"] == "encoder" else record["tokenizer"],
            "saved_model": {**record["saved_model"], "signatures": BARE_SIGNATURES},
        }
        for handle, record in found.items()
    }
    for records in (found, bare, {}):
        for card in models:
            files = FORMATS[name].page(card, least, records, ADDRESSES)
            (text,) = markdown(files)
            validated = "Validation" if records is found else "-"
            said = [word for word in OPTIONAL if word in text and word != validated]
            assert not said, (card.handle, said)
            assert not list(empty(text)), card.handle
            assert not NOTHING.search(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
            assert not check_snippets(text)


BARE = (
    "schema_version", "created", "kind", "family", "architecture", "warnings", "saved_model",
    "truncation", "default_seq_length",
)  # fmt: skip
BARE_SIGNATURES = {"serving_default": {"inputs": {}, "outputs": {"default": {}}}}


class TestValidation:
    @pytest.fixture
    def page(self, catalogue: Catalogue, basic: Mapping[str, Any]) -> Callable[..., str]:
        def render(*entries: Mapping[str, Any]) -> str:
            card = catalogue.encoders[BERT]
            record = {**enlarged(basic["encoder"], card), "validation": list(entries)}
            files = FORMATS["tfhub"].page(card, catalogue, {BERT: record}, ADDRESSES)
            return " ".join(next(iter(files.values())).split())

        return render

    def test_failed_is_shown_as_failed(self, page: Callable[..., str]) -> None:
        text = page(validation())
        assert "- Passed: numerics (float32) - **Failed**: batch - Not run: end to end" in text
        assert "| batch | rows \\| alone: pooled_output, max abs | 0.5 | 1e-06 |" in text
        assert "| numerics (float32) | `sequence_output` | 1.25e-07 | 3.5e-07 |" in text

    def test_all_passed(self, page: Callable[..., str]) -> None:
        entry = validation()
        entry["gates"] = entry["gates"][:1]
        text = page(entry)
        assert "- Passed: numerics (float32) Largest errors" in text
        assert "Failed" not in text and "Not run" not in text

    def test_nothing_passed(self, page: Callable[..., str]) -> None:
        entry = validation()
        entry["gates"] = entry["gates"][1:2]
        text = page(entry)
        assert "**Failed**: batch" in text and "Passed:" not in text

    def test_devices(self, page: Callable[..., str]) -> None:
        text = page(validation("cpu"), validation("gpu"), {**validation(), "reference": None})
        assert text.count("## Validation ") == 1
        assert text.count("### CPU, 2026-11-21") == 2 and "### GPU, 2026-11-21" in text
        assert "transformers 5, from `model.ckpt` (SHA-256 `0000000000000000...`)" in text
        assert "Reference: none" in text

    def test_none(self, page: Callable[..., str]) -> None:
        assert "Validation" not in page()


def test_throughput(catalogue: Catalogue, basic: Mapping[str, Any]) -> None:
    """Of full sequences and of texts; nothing where nothing was measured."""
    card = catalogue.encoders[BERT]
    full = {
        "device": "cpu", "hardware": "Some | CPU", "batch_size": 8, "sequence_length": 128,
        "sequences_per_second": 1234.56, "versions": {"tensorflow": "2.20.0"},
        "created": "2026-11-30T05:00:00Z",
    }  # fmt: skip
    texts = {
        **full, "batch_size": 32, "texts": "questions", "tokens_per_text": 14.6,
        "sequences_per_second": 9.876,
    }  # fmt: skip
    for each in FORMATS.values():
        record = {**enlarged(basic["encoder"], card), "throughput": [full, texts]}
        text = "\n".join(markdown(each.page(card, catalogue, {BERT: record}, ADDRESSES)))
        rows = text.split("## Throughput")[1].split("\n## ")[0]
        where = "CPU, Some \\| CPU, tensorflow 2.20.0, 2026-11-30"
        assert f"| {where} | 128 tokens, without padding | 8 | 1,234.6 |" in rows
        padded = "questions, 14.6 tokens on average, padded to 128"
        assert f"| {where} | {padded} | 32 | 9.9 |" in rows
        del record["throughput"]
        files = each.page(card, catalogue, {BERT: record}, ADDRESSES)
        assert "Throughput" not in "\n".join(markdown(files))


def test_each_item_has_its_line(catalogue: Catalogue, basic: Mapping[str, Any]) -> None:
    card = catalogue.encoders[BERT]
    record = {**enlarged(basic["encoder"], card), "validation": [validation()]}
    (text,) = FORMATS["tfhub"].page(card, catalogue, {BERT: record}, ADDRESSES).values()
    items = [line for line in text.splitlines() if line.startswith("- ")]
    for start in ("Ran on:", "Reference:", "Passed:", "**Failed**:", "Not run:"):
        assert sum(line.startswith(f"- {start}") for line in items) == 1
    assert not [line for line in items if re.search(r"[^ ,;]- [A-Z*]", line[2:])]


def test_record_of_another_model_is_refused(
    catalogue: Catalogue, records: Mapping[str, Any]
) -> None:
    other = records["tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2"]
    card = catalogue.encoders["tensorflow/bert_en_cased_L-12_H-768_A-12"]
    for form in FORMATS.values():
        with pytest.raises(HubexportError) as caught:
            form.page(card, catalogue, {card.handle: other}, ADDRESSES)
        message = str(caught.value)
        for key, said, found in (
            ("casing", "cased", "lower case"),
            ("architecture.num_hidden_layers", 12, 2),
            ("architecture.hidden_size", 768, 128),
            ("architecture.vocab_size", 28996, 30522),
        ):
            assert f"differs: {key}: the card says {said}, the record says {found}\n" in message
        assert "type_vocab_size" not in message and "intermediate" in message
