"""Clean encoders of every family and head pass every gate, against transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hubexport.saved_model.record import load_record
from tests.validation.clean import EVERY, TRAINED, assert_clean, exported
from tests.validation.conftest import Trained
from tests.validation.faults import FAST, failing, failures, validated

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.oracles import fairseq, families, saving

POOLED = ("pooled_output", "default")
CLASSES = {
    "RobertaForMaskedLM": FAST,
    "BertForMultipleChoice": ("interface", "numerics", "batch"),
    "DistilBertForSequenceClassification": ("interface", "numerics", "training"),
}
"""Class of transformers -> the gates that are run always: each family."""
FURTHER = {
    "BertForTokenClassification": TRAINED,
    "BertForQuestionAnswering": TRAINED,
    "BertForMultipleChoice": TRAINED,
    "RobertaForMaskedLM": EVERY,
    "RobertaForQuestionAnswering": TRAINED,
    "XLMRobertaForTokenClassification": TRAINED,
    "CamembertForSequenceClassification": TRAINED,
    "DistilBertForMaskedLM": TRAINED,
    "DistilBertForSequenceClassification": TRAINED,
    "DistilBertForMultipleChoice": TRAINED,
}
"""The same of each head in some family."""


@pytest.mark.parametrize(("name", "gates"), [
    *CLASSES.items(),
    *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in FURTHER.items()),
])  # fmt: skip
def test_every_gate(name: str, gates: Sequence[str], tmp_path: Path) -> None:
    head = families.head_of(name)
    checkpoint = saving.save_safetensors(families.build(name), tmp_path / "model")
    options = {"pooler": "cls"} if name.startswith("Bert") else {}
    artifact, reference = exported(checkpoint, tmp_path, "transformers", **options)
    report = assert_clean(artifact, reference, (*POOLED, *families.LOGITS[head]), gates)
    measured = {each.what: each for gate in report.gates for each in gate.measurements}
    # What differs between families is measured where it should be.
    conventions = load_record(artifact)["conventions"]
    ignores = "input_type_ids" in conventions["ignored_inputs"]
    assert ignores == (not name.startswith("Bert"))
    assert f"input_type_ids has {'no' if ignores else 'an'} influence" in measured
    on_the_left = [what for what in measured if what.startswith("padded on the left: ")]
    counts = not name.startswith(("Bert", "DistilBert"))
    assert counts == (conventions["padding_side"] == "any")
    assert bool(on_the_left) == (counts and "batch" in gates)
    assert any(what.startswith("left_padded: ") for what in measured) == counts


@pytest.mark.exhaustive
def test_heads_together(tmp_path: Path) -> None:
    """fairseq's files have a masked language model and a classifier beside each other."""
    model = fairseq.build("RobertaForMaskedLM")
    heads = {"mnli": fairseq.build("RobertaForSequenceClassification")}
    checkpoint = fairseq.write_checkpoint(tmp_path / "model.pt", model, heads=heads)
    artifact, reference = exported(checkpoint, tmp_path, "transformers")
    assert_clean(artifact, reference, (*POOLED, "mlm_logits", "classifier_logits"), TRAINED)


def test_conventions_of_the_record(plain: Trained, tmp_path: Path) -> None:
    """Without any, BERT's are meant; those that promise what the network does not do are found."""
    artifact = shutil.copytree(plain.encoder, tmp_path / "encoder")
    path = artifact / "assets.extra" / "hubexport.json"
    record: dict[str, Any] = json.loads(path.read_text())
    del record["conventions"]  # BERT's
    path.write_text(json.dumps(record))
    assert_clean(artifact, plain.reference, POOLED)
    record["conventions"] = {"padding_side": "any", "ignored_inputs": ["input_type_ids"]}
    path.write_text(json.dumps(record))
    report = validated(artifact, plain.reference, ("interface", "batch"))
    assert failing(report) == {"interface", "batch"}
    assert "input_type_ids" in failures(report, "interface")
    assert "padded on the left: sequence_output" in failures(report, "batch")
