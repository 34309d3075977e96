"""A reference of any head holds what its class of transformers itself gives when it is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hubexport.errors import TensorMismatchError
from hubexport.validation.references.job import make_reference
from tests.validation.references.expected import LEFT_PADDED, RANDOM_CASES, assert_outputs

if TYPE_CHECKING:
    from tests.oracles import families, saving
else:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import families, saving


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`make_reference` of a directory into `tmp_path / "reference"`."""

    def call(checkpoint: Path) -> dict[str, Any]:
        return make_reference(
            source="transformers", checkpoint=checkpoint, output=tmp_path / "reference"
        )

    return call


def given_by(*models: Any) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
    """What models give that share an encoder; of choices, every row is the one of its sample."""

    def outputs(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for model in models:
            batch = inputs
            if type(model).__name__.endswith("ForMultipleChoice"):
                batch = {name: value[:, np.newaxis] for name, value in inputs.items()}
            found |= families.expected_outputs(model, batch)
        return found

    return outputs


SOME = (
    "BertForPreTraining",
    "BertForMultipleChoice",
    "RobertaForMaskedLM",
    "XLMRobertaForTokenClassification",
    "CamembertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertModel",
)
"""Each family and each head; the others are of the exhaustive tier."""


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in SOME else pytest.mark.exhaustive)
    for name in families.CLASSES
])  # fmt: skip
def test_every_class(name: str, make: Any, tmp_path: Path) -> None:
    model = families.build(name)
    summary = make(saving.save_safetensors(model, tmp_path / "model"))
    padded_left = name.startswith(("Roberta", "XLMRoberta", "Camembert"))
    assert list(summary["cases"]) == RANDOM_CASES + LEFT_PADDED * padded_left
    assert f"({name})" in summary["provenance"]["made_by"]
    notes = " ".join(summary["provenance"]["notes"])
    assert "not compared" not in notes and "no cases of text" in notes
    encoder = families.encoder_of(model)
    assert ("no pooled_output" in notes) == (getattr(encoder, "pooler", None) is None)
    reference = assert_outputs(tmp_path / "reference", given_by(model))
    longest = reference.cases["full_length"].inputs["input_mask"]
    assert longest.shape == (1, families.longest(model)) and longest.all()
    assert reference.cases["ragged"].is_padded
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 12}
    assert sizes.items() <= reference.provenance.architecture.items()
    for case in map(reference.cases.get, LEFT_PADDED * padded_left):
        mask, ids = case.inputs["input_mask"], case.inputs["input_word_ids"]
        assert not mask.all() and (np.diff(mask, axis=1) >= 0).all()
        assert (ids[mask == 0] == model.config.pad_token_id).all()


@pytest.mark.parametrize("name", ["BertForTokenClassification", "RobertaForSequenceClassification"])
def test_labels_of_the_configuration(name: str, make: Any, tmp_path: Path) -> None:
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "X"]
    model = families.build(name, id2label=dict(enumerate(labels)))
    make(saving.save_safetensors(model, tmp_path / "model"))
    reference = assert_outputs(tmp_path / "reference", given_by(model))
    (logits,) = families.LOGITS[families.head_of(name)]
    assert reference.output("plain", logits).shape[-1] == len(labels)


@pytest.mark.parametrize("problem_type", ["regression", "multi_label_classification"])
def test_problem_types(problem_type: str, make: Any, tmp_path: Path) -> None:
    number = 1 if problem_type == "regression" else 4
    model = families.build(
        "DistilBertForSequenceClassification", num_labels=number, problem_type=problem_type
    )
    make(saving.save_safetensors(model, tmp_path / "model"))
    assert_outputs(tmp_path / "reference", given_by(model))


def without_architectures(directory: Path) -> Path:
    path = directory / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in values.items() if k != "architectures"}))
    return directory


def twin(name: str, model: Any, **config: Any) -> Any:
    """A model of another class with the same tensors, as far as it has them."""
    other = families.build(name, **config)
    lacking, _ = other.load_state_dict(model.state_dict(), strict=False)
    assert not lacking
    return other


@pytest.mark.parametrize(
    ("name", "others", "number"),
    [
        # Only one class could be a choice.
        ("BertForSequenceClassification", ["BertForTokenClassification"], 3),
        ("BertForMultipleChoice",
         ["BertForSequenceClassification", "BertForTokenClassification"], 1),
        ("RobertaForTokenClassification", [], 5),
        ("DistilBertForSequenceClassification", ["DistilBertForTokenClassification"], 4),
    ],
)  # fmt: skip
def test_a_classifier_that_could_be_several(
    name: str, others: list[str], number: int, make: Any, tmp_path: Path
) -> None:
    model = families.build(name, num_labels=number)
    twins = [twin(other, model, num_labels=number) for other in others]
    summary = make(without_architectures(saving.save_safetensors(model, tmp_path / "model")))
    notes = " ".join(summary["provenance"]["notes"])
    assert ("nothing tells which head classifier.weight, classifier.bias are of" in notes) == bool(
        others
    )
    logits = [
        output for each in (name, *others) for output in families.LOGITS[families.head_of(each)]
    ]
    heads = {output for output in summary["outputs"] if output.endswith("_logits")}
    assert heads == set(logits)
    assert_outputs(tmp_path / "reference", given_by(model, *twins))


def save_state(model: Any, state: dict[str, Any], directory: Path) -> Path:
    import safetensors.torch

    directory.mkdir()
    saving.write_config(model, directory, "config.json")
    safetensors.torch.save_file(state, directory / "model.safetensors", {"format": "pt"})
    return directory


def test_all_that_does_not_fit_is_told_at_once(make: Any, tmp_path: Path) -> None:
    model = families.build("RobertaForSequenceClassification")
    state = saving.state_of(model)
    del state["roberta.encoder.layer.1.output.dense.bias"]
    del state["classifier.dense.weight"]
    state["roberta.surprise"] = state["classifier.out_proj.bias"].clone()
    state["roberta.embeddings.LayerNorm.bias"] = state["roberta.embeddings.LayerNorm.bias"][:5]
    with pytest.raises(TensorMismatchError) as caught:
        make(save_state(model, state, tmp_path / "model"))
    message = str(caught.value)
    assert "RobertaModel, RobertaForSequenceClassification" in message
    missing = "roberta.encoder.layer.1.output.dense.bias, classifier.dense.weight"
    assert f"missing (2): {missing}" in message
    assert "not used (1): roberta.surprise" in message
    assert "misshaped (1): roberta.embeddings.LayerNorm.bias [5], needed [16]" in message


def test_what_is_not_compared_is_said(make: Any, tmp_path: Path) -> None:
    """A pooler beside a head that does without: transformers' class would drop it."""
    whole, model = families.build("RobertaModel"), families.build("RobertaForTokenClassification")
    pooler = {f"roberta.pooler.{k}": v.clone() for k, v in whole.pooler.state_dict().items()}
    make(save_state(model, saving.state_of(model) | pooler, tmp_path / "model"))
    assert_outputs(tmp_path / "reference", given_by(model, whole))


def test_the_reference_is_of_the_classes_own_head(
    monkeypatch: pytest.MonkeyPatch, make: Any, tmp_path: Path
) -> None:
    """Another computation in the class is another reference: nothing of it is hubexport's."""
    model = families.build("DistilBertForSequenceClassification")
    checkpoint = saving.save_safetensors(model, tmp_path / "model")
    with monkeypatch.context() as patched:
        patched.setattr(families.torch.nn, "ReLU", families.torch.nn.Tanh)
        make(checkpoint)
    with pytest.raises(AssertionError, match="classifier_logits"):
        assert_outputs(tmp_path / "reference", given_by(model))
