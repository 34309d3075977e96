"""Classification pipelines give what transformers' text-classification pipeline gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from tests.test_docs import described, same_fields
from tests.tiers import examples

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

CLOSE = 1e-5
NAMES = {0: "contradiction", 1: "neutral", 2: "entailment", 3: "é"}
MULTI = "multi_label_classification"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    family: str
    config: dict[str, Any]
    function: str = "softmax"


CASES = [
    Case("named classes", "Bert", {"id2label": NAMES}),
    Case("classes without names", "Roberta", {"num_labels": 3}),
    Case("several at once", "DistilBert", {"id2label": NAMES, "problem_type": MULTI}, "sigmoid"),
    Case("one class", "Bert", {"num_labels": 1}, "sigmoid"),
    Case("a number", "Bert", {"num_labels": 1, "problem_type": "regression"}, "none"),
    Case("numbers", "Bert", {"num_labels": 2, "problem_type": "regression"}, "none"),
    Case("one of several", "GPT2", {"id2label": NAMES,
                                    "problem_type": "single_label_classification"}),
]  # fmt: skip
QUICK = ("named classes", "several at once", "a number")


@pytest.fixture(scope="module")
def oracle() -> Any:
    from tests.oracles import pipelines

    return pipelines


def pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Each text with the one five places on: short with long.

    None with an empty second text: given one pair, transformers takes that for a single text.
    """
    two = zip(texts, [*texts[5:], *texts[:5]], strict=True)
    return [pair for pair in two if pair[1]]


def assert_same(found: Any, expected: tuple[list[list[str]], np.ndarray]) -> None:
    labels, scores = expected
    assert np.max(np.abs(np.asarray(found["scores"]) - scores)) <= CLOSE
    found_labels = [[each.decode() for each in row] for row in np.asarray(found["labels"])]
    for mine, theirs, row in zip(found_labels, labels, scores, strict=True):
        if np.min(np.abs(np.diff(row)), initial=1) > CLOSE:  # no ties
            assert mine == theirs
        assert sorted(mine) == sorted(theirs)


@pytest.mark.parametrize("case", examples(CASES, QUICK), ids=lambda case: case.name)
def test_classes(case: Case, oracle: Any, tmp_path: Path) -> None:
    model = oracle.save(tmp_path / "model", case.family, "ForSequenceClassification", **case.config)
    if case.family == "GPT2":
        _declare_padding(model)
    texts = [text for text in oracle.TEXTS if text.strip() or case.family != "GPT2"]
    record = hubexport.export_pipeline(
        checkpoint=model, export_path=tmp_path / "out", max_seq_length=oracle.LENGTH, batch_size=7
    )
    assert record["task"]["name"] == "classification"
    assert record["task"]["function"] == case.function
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    expected = oracle.classes(model, texts)
    found = loaded(tf.constant(texts))
    assert found["labels"].shape == found["scores"].shape == (len(texts), expected[1].shape[1])
    assert_same(found, expected)
    for name in ("serving_default", "classify"):
        assert_same(loaded.signatures[name](text=tf.constant(texts)), expected)
    two = pairs(texts)
    expected = oracle.classes(model, two)
    first, second = (tf.constant([pair[i] for pair in two]) for i in (0, 1))
    assert_same(loaded.signatures["classify_pairs"](text=first, text_pair=second), expected)
    assert_same(loaded([first, second]), expected)


def _declare_padding(model: Path) -> None:
    import json

    file = model / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "pad_token_id": 0}))


@pytest.fixture(scope="module")
def exported(oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    path = tmp_path_factory.mktemp("classification")
    model = oracle.save(path / "model", "Bert", "ForSequenceClassification", id2label=NAMES)
    hubexport.export_pipeline(
        checkpoint=model, export_path=path / "out", max_seq_length=oracle.LENGTH
    )
    return model, path / "out"


def test_the_record_is_described(exported: tuple[Path, Path]) -> None:
    record = hubexport.load_record(exported[1])
    same_fields(record, described("## Every record") | described("## Pipelines"))
    same_fields(record["task"], described("### `task` of a classification"))


def test_the_example_is_what_the_artifact_gives(exported: tuple[Path, Path], oracle: Any) -> None:
    example = hubexport.load_record(exported[1])["example"]
    texts = example["inputs"]["text"]
    assert 2 <= len(texts) <= 3
    labels, scores = oracle.classes(exported[0], texts)
    assert example["outputs"]["labels"] == labels
    np.testing.assert_allclose(example["outputs"]["scores"], scores, rtol=1e-3)


def test_labels_are_kept(exported: tuple[Path, Path]) -> None:
    loaded = tf.saved_model.load(str(exported[1]))
    names = [name.encode() for name in NAMES.values()]
    assert list(loaded.labels.numpy()) == names
    assert list(loaded.encoder.classifier.labels.numpy()) == names


def test_no_texts_and_pairs_that_are_none(exported: tuple[Path, Path]) -> None:
    loaded = tf.saved_model.load(str(exported[1]))
    none = loaded(tf.constant([], tf.string))
    assert none["labels"].shape == none["scores"].shape == (0, 4)
    # By the graph's own shapes, or where these are not known when it runs.
    unequal = (tf.errors.InvalidArgumentError, ValueError)
    with pytest.raises(unequal, match=r"\[3\].*\[2\]|\[2\].*\[3\]"):
        loaded([tf.constant(["a", "b", "c"]), tf.constant(["a", "b"])])
    with pytest.raises((ValueError, TypeError)):
        loaded(tf.constant([["a", "b"]]))


def test_in_a_session(exported: tuple[Path, Path], oracle: Any) -> None:
    v1 = tf.compat.v1
    two = pairs(oracle.TEXTS)
    with v1.Session(graph=tf.Graph()) as session:
        graph = v1.saved_model.load(session, ["serve"], str(exported[1]))
        signature = graph.signature_def["classify_pairs"]
        assert sorted(signature.inputs) == ["text", "text_pair"]
        fed = {
            signature.inputs["text"].name: [pair[0] for pair in two],
            signature.inputs["text_pair"].name: [pair[1] for pair in two],
        }
        names = {name: each.name for name, each in signature.outputs.items()}
        found = session.run(names, fed)
    assert_same(found, oracle.classes(exported[0], two))


def test_it_is_trained(exported: tuple[Path, Path]) -> None:
    loaded = tf.saved_model.load(str(exported[1]))
    with tf.GradientTape() as tape:
        scores = loaded(tf.constant(["a b", "word", ""]), training=True)["scores"]
        loss = tf.reduce_sum(scores[:, 0])
    gradients = tape.gradient(loss, loaded.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    assert {v.name for v in loaded.encoder.variables} < {v.name for v in loaded.variables}


def test_a_wrong_order_of_labels_is_found(
    oracle: Any, exported: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hubexport.pipelines.classification import Classification

    made = Classification.__init__

    def swapped(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self.labels = [self.labels[1], self.labels[0], *self.labels[2:]]

    monkeypatch.setattr(Classification, "__init__", swapped)
    hubexport.export_pipeline(
        checkpoint=exported[0], export_path=tmp_path / "out", max_seq_length=oracle.LENGTH
    )
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    with pytest.raises(AssertionError):
        assert_same(loaded(tf.constant(oracle.TEXTS)), oracle.classes(exported[0], oracle.TEXTS))


@pytest.mark.parametrize(
    ("problem_type", "classes", "function"),
    [
        (None, 1, "sigmoid"),
        (None, 2, "softmax"),
        ("single_label_classification", 3, "softmax"),
        ("single_label_classification", 1, "sigmoid"),
        (MULTI, 3, "sigmoid"),
        ("regression", 1, "none"),
        ("regression", 3, "none"),
    ],
)
def test_functions(problem_type: str | None, classes: int, function: str) -> None:
    from hubexport.pipelines.classification import scores_function

    assert scores_function(problem_type, classes) == function
