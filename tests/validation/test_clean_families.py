"""Clean encoders of every family and head pass every gate, against transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubexport.saved_model.record import load_record
from tests.validation.clean import EVERY, TRAINED, assert_clean, exported
from tests.validation.faults import FAST, failing, failures, validated

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.oracles import fairseq, families

POOLED = ("pooled_output", "default")
CLASSES = {
    "BertForTokenClassification": TRAINED,
    "BertForQuestionAnswering": FAST,
    "BertForMultipleChoice": TRAINED,
    "RobertaForMaskedLM": EVERY,
    "RobertaForQuestionAnswering": TRAINED,
    "XLMRobertaForTokenClassification": FAST,
    "CamembertForSequenceClassification": TRAINED,
    "DistilBertForMaskedLM": TRAINED,
    "DistilBertForSequenceClassification": TRAINED,
    "DistilBertForMultipleChoice": TRAINED,
}
"""Class of transformers -> the gates that are run; each head in some family by those that train."""


@pytest.mark.parametrize("name", CLASSES)
def test_every_gate(name: str, tmp_path: Path) -> None:
    head = families.head_of(name)
    checkpoint = tmp_path / "checkpoint"
    families.build(name).save_pretrained(checkpoint)
    options = {"pooler": "cls"} if name.startswith("Bert") else {}
    artifact, reference = exported(checkpoint, tmp_path, "transformers", **options)
    report = assert_clean(artifact, reference, (*POOLED, *families.LOGITS[head]), CLASSES[name])
    measured = {each.what: each for gate in report.gates for each in gate.measurements}
    # What differs between families is measured where it should be.
    conventions = load_record(artifact)["conventions"]
    ignores = "input_type_ids" in conventions["ignored_inputs"]
    assert ignores == (not name.startswith("Bert"))
    assert f"input_type_ids has {'no' if ignores else 'an'} influence" in measured
    on_the_left = [what for what in measured if what.startswith("padded on the left: ")]
    counts = not name.startswith(("Bert", "DistilBert"))
    assert bool(on_the_left) == (conventions["padding_side"] == "any") == counts
    assert any(what.startswith("left_padded: ") for what in measured) == counts


def test_heads_together(tmp_path: Path) -> None:
    """fairseq's files have a masked language model and a classifier beside each other."""
    model = fairseq.build("RobertaForMaskedLM")
    heads = {"mnli": fairseq.build("RobertaForSequenceClassification")}
    checkpoint = fairseq.write_checkpoint(tmp_path / "model.pt", model, heads=heads)
    artifact, reference = exported(checkpoint, tmp_path, "transformers")
    assert_clean(artifact, reference, (*POOLED, "mlm_logits", "classifier_logits"), TRAINED)


def test_conventions_of_the_record(tmp_path: Path) -> None:
    """Without any, BERT's are meant; those that promise what the network does not do are found."""
    checkpoint = tmp_path / "checkpoint"
    families.build("BertModel").save_pretrained(checkpoint)
    artifact, reference = exported(checkpoint, tmp_path, "transformers")
    path = artifact / "assets.extra" / "hubexport.json"
    record: dict[str, Any] = json.loads(path.read_text())
    del record["conventions"]  # BERT's
    path.write_text(json.dumps(record))
    assert_clean(artifact, reference, POOLED, TRAINED)
    record["conventions"] = {"padding_side": "any", "ignored_inputs": ["input_type_ids"]}
    path.write_text(json.dumps(record))
    report = validated(artifact, reference, ("interface", "batch"))
    assert failing(report) == {"interface", "batch"}
    assert "input_type_ids" in failures(report, "interface")
    assert "padded on the left: sequence_output" in failures(report, "batch")
