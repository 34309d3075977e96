"""Which family a checkpoint is of where its configuration does not say, and RoBERTa's positions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import ConfigurationError, TensorMismatchError
from tests.oracles import compare, inputs
from tests.planned import planned, rewritten

NO_TYPE: Mapping[str, Any] = {"model_type": None}


@pytest.fixture(scope="module")
def oracles() -> SimpleNamespace:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import families, saving

    return SimpleNamespace(families=families, state_of=saving.state_of, torch=torch)


@pytest.mark.parametrize(
    ("name", "zero_padding_row", "evidence"),
    [
        ("RobertaForQuestionAnswering", False, "no model_type, but tensors roberta.*"),
        ("RobertaForMaskedLM", False, "no model_type, but tensors roberta.*, tensors lm_head.*"),
        ("RobertaModel", True, "no model_type, but a row of zeros for the position of padding"),
        (
            "DistilBertModel",
            False,
            "no model_type, but the keys dim, hidden_dim, tensors *.attention.q_lin.weight",
        ),
        ("BertModel", False, "a configuration of google-research/bert's form"),
        ("BertModel", True, "a configuration of google-research/bert's form"),
    ],
)
def test_without_a_model_type(
    name: str, zero_padding_row: bool, evidence: str, oracles: SimpleNamespace, tmp_path: Path
) -> None:
    model = oracles.families.build(name, zero_padding_row=zero_padding_row)
    record, values = planned(rewritten(model, tmp_path / "told"))
    untold, same = planned(rewritten(model, tmp_path / "untold", config=NO_TYPE))
    assert same == values
    assert untold["family"] == {"name": record["family"]["name"], "evidence": evidence}
    assert untold["family"]["name"] in name.lower()


def test_a_head_under_its_name_alone(oracles: SimpleNamespace, tmp_path: Path) -> None:
    """lm_head.* tells of RoBERTa where the encoder's tensors have no prefix."""
    model = oracles.families.build("RobertaForMaskedLM")
    prefix = "roberta."
    state = oracles.state_of(model)
    checkpoint = rewritten(
        model,
        tmp_path / "model",
        config=NO_TYPE,
        without=[key for key in state if key.startswith(prefix)],
        tensors={key.removeprefix(prefix): value for key, value in state.items()},
    )
    record, values = planned(checkpoint)
    assert record["family"]["evidence"] == "no model_type, but tensors lm_head.*"
    assert values == planned(rewritten(model, tmp_path / "told"))[1]


def test_a_bert_or_a_roberta(oracles: SimpleNamespace, tmp_path: Path) -> None:
    """Tensors and keys are those of both; one would be computed with the other's positions."""
    model = oracles.families.build("RobertaModel")
    checkpoint = rewritten(model, tmp_path / "model", config=NO_TYPE)
    with pytest.raises(ConfigurationError) as error:
        planned(checkpoint)
    message = str(error.value)
    assert "a BERT or a RoBERTa, and nothing tells which" in message
    assert "single token type" in message
    assert "--family roberta" in message and "--family bert" in message
    record, values = planned(checkpoint, family="roberta")
    assert record["family"]["evidence"] == "as told by --family"
    assert values == planned(rewritten(model, tmp_path / "told"))[1]
    record, _ = planned(checkpoint, family="bert")
    assert record["architecture"]["max_position_embeddings"] == 14


def test_distilbert_by_its_tensors(oracles: SimpleNamespace, tmp_path: Path) -> None:
    """Where the configuration has other keys: those of BERT, as attributes of today's have."""
    model = oracles.families.build("DistilBertForMaskedLM")
    keys = {
        "dim": "hidden_size", "hidden_dim": "intermediate_size", "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
    }  # fmt: skip
    values = model.config.to_dict()
    renamed = {theirs: values[ours] for ours, theirs in keys.items()}
    config = {**dict.fromkeys(keys), **renamed, **NO_TYPE}
    checkpoint = rewritten(model, tmp_path / "model", config=config)
    record, same = planned(checkpoint)
    assert record["family"]["evidence"] == "no model_type, but tensors *.attention.q_lin.weight"
    assert same == planned(rewritten(model, tmp_path / "told"))[1]
    with pytest.raises(TensorMismatchError) as error:
        planned(checkpoint, family="bert", pooler="cls")
    message = str(error.value)
    assert "embeddings.token_type_embeddings.weight [2, 16]" in message
    assert "missing (" in message and "not used (" in message
    assert "distilbert.embeddings.LayerNorm.bias" in message
    with pytest.raises(ConfigurationError, match="no usable hidden_size"):
        planned(tmp_path / "told", family="bert", pooler="cls")


@pytest.mark.parametrize("name", ["BertModel", "RobertaForMaskedLM"])
def test_another_family_than_it_is(name: str, oracles: SimpleNamespace, tmp_path: Path) -> None:
    checkpoint = rewritten(oracles.families.build(name), tmp_path / "model")
    with pytest.raises(TensorMismatchError) as error:
        planned(checkpoint, family="distilbert")
    message = str(error.value)
    assert "missing (" in message and "transformer.layer.0.attention.q_lin.weight" in message
    assert "not used (" in message


@pytest.fixture(scope="module")
def roberta(oracles: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A RoBERTa whose padding has the id 3, of 12 positions."""
    work = tmp_path_factory.mktemp("roberta")
    model = oracles.families.build(
        "RobertaForSequenceClassification", pad_token_id=3, max_position_embeddings=16
    )
    checkpoint = rewritten(model, work / "model")
    record = hubexport.export_encoder(checkpoint=checkpoint, export_path=work / "out")
    artifact = compare.Artifact(work / "out")
    return SimpleNamespace(model=model, checkpoint=checkpoint, record=record, artifact=artifact)


def test_another_padding_id(roberta: SimpleNamespace, oracles: SimpleNamespace) -> None:
    """Positions are counted from the tokens that are not it."""
    architecture = roberta.record["architecture"]
    assert (architecture["pad_token_id"], architecture["max_position_embeddings"]) == (3, 12)
    for batch in inputs.kinds(50, 12, 3).values():
        expected = oracles.families.expected_outputs(roberta.model, batch)
        expected["pooled_output"] = expected["sequence_output"][:, 0]
        compare.assert_same(roberta.artifact(batch), expected)


def test_longer_than_the_table(roberta: SimpleNamespace) -> None:
    """Also where the tokens beside padding would fit: what a graph takes is told by its shape."""
    import tensorflow as tf

    batch = inputs.batch(np.random.default_rng(0), 2, 13, 50)
    for ids in (batch["input_word_ids"], np.full_like(batch["input_word_ids"], 3)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            roberta.artifact(batch | {"input_word_ids": ids})


def test_fewer_positions(
    roberta: SimpleNamespace, oracles: SimpleNamespace, tmp_path: Path
) -> None:
    import tensorflow as tf

    table = "embeddings/position_embeddings"
    rows = oracles.state_of(roberta.model)[f"roberta.{table.replace('/', '.')}.weight"]
    record = hubexport.export_encoder(
        checkpoint=roberta.checkpoint, export_path=tmp_path / "out", max_position_embeddings=8
    )
    assert record["overrides"] == {"max_position_embeddings": 8}
    assert record["architecture"]["max_position_embeddings"] == 8
    artifact = compare.Artifact(tmp_path / "out")
    np.testing.assert_array_equal(artifact.variable(table), rows[3:12])
    for kind, batch in inputs.kinds(50, 8, 3).items():
        expected = roberta.artifact(batch)
        assert compare.worst_difference(artifact(batch), expected, expected) < 1e-6, kind
    with pytest.raises(tf.errors.InvalidArgumentError):
        artifact(inputs.batch(np.random.default_rng(0), 1, 9, 50))
    with pytest.raises(ConfigurationError, match="more positions") as error:
        planned(roberta.checkpoint, max_position_embeddings=13)
    assert "trained: 12" in str(error.value)


def test_512_tokens_are_taken_and_513_refused(oracles: SimpleNamespace, tmp_path: Path) -> None:
    """As published models have them: 514 rows, of which the first two are not tokens'."""
    import tensorflow as tf

    model = oracles.families.build(
        "XLMRobertaModel", max_position_embeddings=514, num_hidden_layers=1
    )
    record = hubexport.export_encoder(
        checkpoint=rewritten(model, tmp_path / "model"), export_path=tmp_path / "out"
    )
    assert record["architecture"]["max_position_embeddings"] == 512
    artifact = compare.Artifact(tmp_path / "out")
    batch = inputs.batch(np.random.default_rng(0), 2, 512, 50)
    expected = oracles.families.expected_outputs(model, batch)
    found = artifact(batch)
    assert compare.worst_difference(found, expected, ["sequence_output"]) <= compare.TOLERANCE
    with pytest.raises(tf.errors.InvalidArgumentError):
        artifact(inputs.batch(np.random.default_rng(0), 1, 513, 50))
