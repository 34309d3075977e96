"""What a page says of each head is what the record says of it, whatever the head is called."""

from __future__ import annotations

import ast
import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hubexport.cards
from hubexport.cards.lint import check_snippets
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.formats import FORMATS
from hubexport.cards.rendering.measured import validations
from hubexport.families.heads import INTERFACES
from tests.cards.rendering.exported import BASIC, PREPROCESSORS, Artifacts, fitted, head_entry
from tests.cards.rendering.programs import ADDRESSES

BERT = "tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2"
ROBERTA = "huggingface/roberta-base"
Page = Callable[..., str]


@pytest.fixture
def page(artifacts: Artifacts, catalogue: Catalogue) -> Page:
    """The text of a page on one line, of a small encoder with one head."""

    def render(name: str, *, handle: str = BERT, entry: Any = None, **changes: Any) -> str:
        record = copy.deepcopy(artifacts[BASIC[0]].record)
        fields = entry or head_entry(name, 20, V=50, K=3)
        stated = {key: changes.pop(key) for key in ("stated_labels",) if key in changes}
        for key in [key for key in changes if key in fields]:
            fields[key] = changes.pop(key)
        record["heads"] = {name: fields}
        for key, value in changes.items():
            record[key] = {**record[key], **value}
        card = fitted(catalogue.encoders[handle], record)
        card = dataclasses.replace(
            card, family="bert", origin=dataclasses.replace(card.origin, layout="tf1"),
            casing="uncased", labels=tuple(stated.get("stated_labels", ())),
        )  # fmt: skip
        known = {
            key: dataclasses.replace(each, vocab_size=None, casing="uncased", tokenizer="wordpiece")
            for key, each in catalogue.preprocessors.items()
        }
        files = FORMATS["tfhub"].page(
            card, dataclasses.replace(catalogue, preprocessors=known), {card.handle: record},
            ADDRESSES,
        )  # fmt: skip
        (text,) = files.values()
        assert not check_snippets(text)
        return " ".join(text.split())

    return render


@pytest.mark.parametrize("name", INTERFACES)
def test_each_head_has_a_section(name: str, page: Page) -> None:
    text = page(name)
    assert f"### {INTERFACES[name].title}: `.{name}`" in text
    assert f"| of which `.{name}` alone has | 20 |" in text
    assert f"hub.load(encoder_handle).{name}" in text
    for output, axes in INTERFACES[name].outputs.items():
        assert f"`{output}`" in text or f'["{output}"]' in text
        assert ("num_choices" in text) == ("C" in axes)
    assert sum(f": `.{other}`" in text for other in INTERFACES) == 1


def test_a_head_without_a_template_has_a_section_made_of_its_interface(page: Page) -> None:
    entry = {
        **head_entry("classifier", 20, K=3),
        "title": "Judge",
        "purpose": "judging *texts*",
        "inputs": {"judge_positions": {"dtype": "int32", "shape": ["B", "N"]}},
        "outputs": {"judge_logits": {"dtype": "float32", "shape": ["B", "C", 3]}},
        "lead": ["B", "C", "S"],
        "labels": ["good", "so | so", "bad"],
    }
    text = page("judge", entry=entry)
    assert (
        "### Judge: `.judge` The trainable subobject `.judge` is for judging \\*texts\\*. It takes "
        "the encoder's inputs, of shape `[batch_size, num_choices, seq_length]`, and "
        "`judge_positions`, int32 of shape `[batch_size, num_predict]`, and adds `judge_logits`, "
        "float32 of shape `[batch_size, num_choices, 3]`. Its classes, in this order, are good, "
        "so \\| so, bad. ```python judge = hub.load(encoder_handle).judge ```"
    ) in text


class TestLabels:
    @pytest.mark.parametrize("name", ["classifier", "token_classifier"])
    def test_declared(self, name: str, page: Page) -> None:
        text = page(name, labels=["_a_", "I-`x`", "O"])
        assert "Its classes, in this order, are \\_a\\_, I-\\`x\\`, O." in text
        assert "`.labels` has them as a tensor." in text and ".labels # string, [3]" in text
        assert "declares no names" not in text

    @pytest.mark.parametrize("name", ["classifier", "token_classifier"])
    def test_undeclared(self, name: str, page: Page) -> None:
        text = page(name)
        assert "The checkpoint declares no names for its 3 classes" in text
        assert "`.labels`" not in text and "tf.range(3)" in text

    def test_named_by_the_card(self, page: Page) -> None:
        text = page("classifier", stated_labels=["no", 'a "yes"', "?"])
        assert 'are no, a "yes", ?; the checkpoint itself does not name them.' in text
        assert 'labels = tf.constant(["no", "a \\"yes\\"", "?"])' in text
        assert "declares no names" not in text and "`.labels`" not in text

    def test_many(self, page: Page) -> None:
        labels = [f"c{number}" for number in range(60)]
        entry = {**head_entry("classifier", 20, K=60), "labels": labels}
        text = page("classifier", entry=entry)
        assert "c39, ... (60 in all)." in text and "c40" not in text


@pytest.mark.parametrize(
    ("problem_type", "classes", "function"),
    [
        (None, 3, "softmax"),
        (None, 1, ""),
        ("single_label_classification", 2, "softmax"),
        ("multi_label_classification", 3, "sigmoid"),
        ("regression", 1, ""),
        ("regression", 2, ""),
    ],
)
def test_problem_types(problem_type: str | None, classes: int, function: str, page: Page) -> None:
    entry = {**head_entry("classifier", 20, K=classes), "problem_type": problem_type}
    text = page("classifier", entry=entry)
    for each in ("softmax", "sigmoid"):
        assert (f"tf.nn.{each}(logits)" in text) == (each == function)
    assert ("as far as the checkpoint tells" in text) == (problem_type is None and classes > 1)
    assert ("that it predicts" in text) == (not function)


@pytest.mark.parametrize(("handle", "tokens"), [(BERT, 2), (ROBERTA, 3)])
def test_where_the_text_of_a_question_begins(handle: str, tokens: int, page: Page) -> None:
    text = page("qa", handle=handle)
    assert f"first = tf.size(question.flat_values) + {tokens} #" in text


@pytest.mark.parametrize(
    ("name", "tokens"),
    [(BASIC[1], 2), pytest.param(PREPROCESSORS["roberta"], 3, marks=pytest.mark.exhaustive)],
)
def test_the_text_of_a_question_begins_there(name: str, tokens: int, artifacts: Artifacts) -> None:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  has the ops

    loaded = tf.saved_model.load(str(artifacts[name].path))
    first, second = (loaded.tokenize(tf.constant([text])) for text in ("Who?", "Nobody."))
    ids = loaded.bert_pack_inputs([first, second], seq_length=64)["input_word_ids"][0]
    start = tf.size(first.flat_values) + tokens
    packed = ids[start : start + tf.size(second.flat_values)]
    assert packed.numpy().tolist() == second.flat_values.numpy().tolist()


class TestConventions:
    def test_padding_on_any_side(self, page: Page) -> None:
        text = page(
            "mlm", architecture={"pad_token_id": 1},
            conventions={"padding_side": "any", "ignored_inputs": ["input_type_ids"]},
        )  # fmt: skip
        assert "counted from ids that are not padding: pad with id 1, on either side." in text
        assert "`input_type_ids` is ignored." in text

    def test_usual(self, page: Page) -> None:
        text = page("mlm")
        assert "Positions are counted from the start of each sequence" in text
        assert "is ignored" not in text and "those before it" not in text

    def test_causal(self, page: Page) -> None:
        assert "A token attends only to itself and to those before it." in page(
            "mlm", conventions={"causal": True}
        )

    @pytest.mark.parametrize(("types", "apart"), [(0, False), (1, False), (2, True)])
    def test_types_that_are_ignored_need_not_be_zero(
        self, types: int, apart: bool, page: Page
    ) -> None:
        text = page(
            "qa", architecture={"type_vocab_size": types},
            conventions={"ignored_inputs": ["input_type_ids"] if types < 2 else []},
        )  # fmt: skip
        assert "zeros_like" not in text and "must be 0" not in text
        assert ("`input_type_ids` of a second segment" in text) == apart

    def test_a_single_type_that_is_looked_up(self, page: Page) -> None:
        for name in ("qa", "multiple_choice"):
            text = page(name, architecture={"type_vocab_size": 1})
            assert text.count("tf.zeros_like") == 2 and "must be 0" in text


def test_nothing_knows_heads_by_name() -> None:
    root = Path(hubexport.cards.__file__).parent
    found: dict[str, set[str]] = {}
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in INTERFACES:
                found.setdefault(file.name, set()).add(str(node.value))
    assert not found


def test_errors_of_the_outputs_of_every_head_are_shown() -> None:
    outputs = ["pooled_output", "choice_logits", "encoder_outputs[0]"]
    errors = {name: {"relative_frobenius": 1e-7, "max_abs": 1e-6} for name in outputs}
    gate = {"name": "numerics", "status": "passed", "worst": None, "outputs": errors}
    run = {"created": "2026-11-21T06:30:07Z", "runtime": "tensorflow", "device": "cpu"}
    heads = {"multiple_choice": head_entry("multiple_choice", 20)}
    for listed, shown in ((heads, outputs[:2]), ({}, outputs[:1])):
        (found,) = validations({"heads": listed, "validation": [{**run, "gates": [gate]}]})
        assert [error.output for error in found.errors] == shown
