"""Which head a checkpoint carries, what its classes are called, and what of it must be there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubexport.errors import ConfigurationError, TensorMismatchError, UsageError
from tests.planned import planned, rewritten

SEQUENCE = "ForSequenceClassification"
LABELS = {0: "bad", 1: "so so", 2: "good"}
UNDECLARED = ".{}: the checkpoint does not say what its classes are called"
UNTOLD: Mapping[str, Any] = {"architectures": None}


@pytest.fixture(scope="module")
def oracles() -> SimpleNamespace:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import families, saving

    return SimpleNamespace(build=families.build, state_of=saving.state_of, torch=torch)


class TestLabels:
    @pytest.mark.parametrize(
        ("name", "head"),
        [
            (f"Bert{SEQUENCE}", "classifier"),
            ("XLMRobertaForTokenClassification", "token_classifier"),
            (f"DistilBert{SEQUENCE}", "classifier"),
        ],
    )
    def test_declared(self, name, head, oracles, tmp_path):
        model = oracles.build(name, id2label=LABELS, problem_type="multi_label_classification")
        record, _ = planned(
            rewritten(model, tmp_path / "model"), pooler="cls" if "Token" in name else None
        )
        assert record["heads"][head]["labels"] == list(LABELS.values())
        assert record["heads"][head]["problem_type"] == "multi_label_classification"
        assert record["heads"][head]["declares_labels"] is True
        assert UNDECLARED.format(head) not in record["warnings"]

    @pytest.mark.parametrize(
        ("name", "head"),
        [
            (f"Roberta{SEQUENCE}", "classifier"),
            ("DistilBertForTokenClassification", "token_classifier"),
        ],
    )
    def test_undeclared(self, name, head, oracles, tmp_path):
        """LABEL_0 is what transformers writes where nobody said anything."""
        record, _ = planned(rewritten(oracles.build(name), tmp_path / "model"))
        assert record["heads"][head]["labels"] is None
        assert record["heads"][head]["problem_type"] is None
        assert UNDECLARED.format(head) in record["warnings"]

    @pytest.mark.parametrize("head", ["ForQuestionAnswering", "ForMultipleChoice"])
    def test_of_heads_that_have_none(self, head, oracles, tmp_path):
        config = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
        model = oracles.build(f"Roberta{head}")
        record, _ = planned(rewritten(model, tmp_path / "model", config=config))
        (entry,) = record["heads"].values()
        assert entry["labels"] is None and entry["declares_labels"] is False
        assert not any("classes" in warning for warning in record["warnings"])

    @pytest.mark.parametrize(
        ("config", "found"),
        [
            ({"label2id": {"good": 0, "so so": 1, "bad": 2}}, "'bad': 0 and 2"),
            ({"label2id": {"bad": 0, "so so": 1}}, "'good': 2 and none"),
            ({"num_labels": 2}, "num_labels: 2, id2label: 3"),
            ({"_num_labels": 4}, "_num_labels: 4, id2label: 3"),
            ({"id2label": {"0": "bad", "2": "good"}}, "labels numbered 0, 1, 2"),
            ({"id2label": {"0": "bad", "1": None, "2": "good"}}, "labels numbered 0, 1, 2"),
            ({"id2label": {"no": "bad"}}, "labels numbered 0, 1, 2"),
            ({"id2label": ["bad", "good"]}, "labels numbered 0, 1, 2"),
            ({"problem_type": "guessing"}, "problem_type 'guessing'"),
        ],
    )
    @pytest.mark.parametrize("prefix", ["Bert", "Roberta"])
    def test_contradictions(self, prefix, config, found, oracles, tmp_path):
        model = oracles.build(f"{prefix}{SEQUENCE}", id2label=LABELS)
        with pytest.raises(ConfigurationError, match="labels cannot be used") as error:
            planned(rewritten(model, tmp_path / "model", config=config))
        assert found in str(error.value)

    def test_another_number_than_the_tensor_has(self, oracles, tmp_path):
        model = oracles.build(f"DistilBert{SEQUENCE}")
        config = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
        with pytest.raises(TensorMismatchError) as error:
            planned(rewritten(model, tmp_path / "model", config=config))
        message = str(error.value)
        assert re.search(
            r"misshaped \(2\): classifier\.weight \[3, 16\], needed \[2, 16\]", message
        )
        assert "classifier.bias [3], needed [2]" in message

    def test_stand_ins_that_were_never_filled_in(self, oracles, tmp_path):
        """Old files say how many there are in num_labels alone."""
        config = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "num_labels": 3}
        model = oracles.build(f"Roberta{SEQUENCE}")
        record, _ = planned(rewritten(model, tmp_path / "model", config=config))
        assert record["heads"]["classifier"]["outputs"]["classifier_logits"]["shape"] == ["B", 3]


class TestWhichHead:
    @pytest.mark.parametrize("prefix", ["Bert", "DistilBert"])
    def test_nothing_tells(self, prefix, oracles, tmp_path):
        checkpoint = rewritten(
            oracles.build(f"{prefix}{SEQUENCE}"), tmp_path / "model", config=UNTOLD
        )
        with pytest.raises(ConfigurationError) as error:
            planned(checkpoint)
        message = str(error.value)
        assert "a head that could be several, and nothing tells which" in message
        assert "classifier.weight, classifier.bias" in message and "--heads=classifier" in message
        assert "heads: classifier, token_classifier\n" in message  # [3, H] is of no choices
        record, _ = planned(checkpoint, heads="classifier")
        assert list(record["heads"]) == ["classifier"]
        record, _ = planned(checkpoint, heads="none")
        assert record["skipped_tensors"].keys() >= {"head: classifier"}

    def test_heads_tells(self, oracles, tmp_path):
        """What the user knows goes before what the configuration says nothing of."""
        model = oracles.build(f"Bert{SEQUENCE}")
        checkpoint = rewritten(model, tmp_path / "model", config=UNTOLD)
        record, values = planned(checkpoint, heads="token_classifier")
        assert list(record["heads"]) == ["token_classifier"]
        state = oracles.state_of(model)
        for leaf in ("weight", "bias"):
            wanted = state[f"classifier.{leaf}"].numpy().tobytes()
            assert values[f"cls/token_classifier/output_{leaf}".replace("weight", "weights")] == (
                wanted
            )
        with pytest.raises(ConfigurationError, match="could be several"):
            planned(checkpoint, heads="classifier,token_classifier")
        with pytest.raises(UsageError, match="no head qa"):
            planned(checkpoint, heads="qa")

    @pytest.mark.parametrize(
        ("config", "head"),
        [
            ({"architectures": ["BertForTokenClassification"]}, "token_classifier"),
            ({"architectures": ["BertForSequenceClassification"]}, "classifier"),
            ({"architectures": ["MyBertForSequenceClassification"]}, "classifier"),
            ({**UNTOLD, "finetuning_task": "mrpc"}, "classifier"),
            ({**UNTOLD, "finetuning_task": "MNLI"}, "classifier"),
            ({**UNTOLD, "problem_type": "regression"}, "classifier"),
        ],
    )
    def test_the_configuration_tells(self, config, head, oracles, tmp_path):
        model = oracles.build(f"Bert{SEQUENCE}")
        record, _ = planned(rewritten(model, tmp_path / "model", config=config))
        assert list(record["heads"]) == [head]

    @pytest.mark.parametrize(
        ("prefix", "without"),
        [
            ("Bert", ("bert.pooler.dense.weight", "bert.pooler.dense.bias")),
            ("DistilBert", ("pre_classifier.weight", "pre_classifier.bias")),
        ],
    )
    def test_what_is_missing_tells(self, prefix, without, oracles, tmp_path):
        """Only the classifier of tokens goes without a pooler."""
        model = oracles.build(f"{prefix}{SEQUENCE}")
        checkpoint = rewritten(model, tmp_path / "model", config=UNTOLD, without=without)
        record, _ = planned(checkpoint, pooler="cls")
        assert list(record["heads"]) == ["token_classifier"]


HALF = {
    f"Bert{SEQUENCE}": ("classifier.bias", "bert.pooler.dense.bias"),
    "BertForPreTraining": (
        "cls.predictions.transform.LayerNorm.weight", "cls.seq_relationship.bias",
    ),
    f"Roberta{SEQUENCE}": (
        "classifier.dense.weight", "classifier.dense.bias", "classifier.out_proj.bias",
    ),
    "RobertaForMaskedLM": (
        "lm_head.layer_norm.weight", "lm_head.layer_norm.bias",
        "roberta.encoder.layer.1.output.dense.bias",
    ),
    "RobertaForTokenClassification": ("classifier.weight",),
    f"DistilBert{SEQUENCE}": ("pre_classifier.weight", "pre_classifier.bias", "classifier.bias"),
    "DistilBertForQuestionAnswering": ("qa_outputs.weight",),
    "DistilBertForMaskedLM": ("vocab_layer_norm.weight", "vocab_transform.bias"),
}  # fmt: skip
"""Class -> what is left out of its checkpoint."""


@pytest.mark.parametrize("name", HALF)
def test_half_a_head(name: str, oracles: SimpleNamespace, tmp_path: Path) -> None:
    """One error lists everything that is missing, and nothing else."""
    checkpoint = rewritten(oracles.build(name), tmp_path / "model", without=HALF[name])
    with pytest.raises(TensorMismatchError, match="does not fit") as error:
        planned(checkpoint)
    kinds = [label for label, _ in error.value.facts if "(" in label]
    assert kinds == [f"missing ({len(HALF[name])})"], str(error.value)
    for tensor in HALF[name]:
        assert f"{tensor} [" in str(error.value)


COPIES = {
    "BertForMaskedLM": (
        "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight",
        "cls.predictions.bias", "cls.predictions.decoder.bias",
    ),
    "RobertaForMaskedLM": (
        "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight",
        "lm_head.bias", "lm_head.decoder.bias",
    ),
    "DistilBertForMaskedLM": (
        "distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight",
    ),
}  # fmt: skip
"""Class -> tensors and their copies, in turn."""


class TestTiedTensors:
    @pytest.mark.parametrize("name", COPIES)
    def test_only_the_copy_is_stored(self, name, oracles, tmp_path):
        """Of tied tensors, some writers keep the one, and some the other."""
        model, tensors, copies = oracles.build(name), COPIES[name][::2], COPIES[name][1::2]
        record, values = planned(rewritten(model, tmp_path / "both"), pooler="cls")
        tied = "tied to another tensor, checked to be equal"
        assert set(record["skipped_tensors"][tied]) == set(copies)
        for i, without in enumerate((tensors, copies, tensors[:1])):
            other, same = planned(
                rewritten(model, tmp_path / str(i), without=without), pooler="cls"
            )
            assert same == values
            rest = set(copies[1:]) if len(without) == 1 else set()
            assert set(other["skipped_tensors"].get(tied, ())) == rest

    @pytest.mark.parametrize("name", COPIES)
    def test_differing_copies(self, name, oracles, tmp_path):
        model, copies = oracles.build(name), COPIES[name][1::2]
        state = oracles.state_of(model)
        changed = {copy: state[copy] + 0.5 for copy in copies}
        with pytest.raises(TensorMismatchError) as error:
            planned(rewritten(model, tmp_path / "model", tensors=changed), pooler="cls")
        message = str(error.value)
        assert f"not the same as the tensor that they are tied to ({len(copies)})" in message
        assert all(copy in message for copy in copies)
