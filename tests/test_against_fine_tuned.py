"""Exported heads give what fine-tuned checkpoints of TensorFlow's programs compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubexport.errors import UsageError
from tests.oracles import compare, inputs
from tests.planned import planned
from tests.unsaved import Unsaved

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]

TASKS = {"run_classifier": "classifier", "run_squad": "qa"}
"""google-research/bert's program -> the head that it trains."""
UNDECLARED = ".classifier: the checkpoint does not say what its classes are called"
CONFIGURATION = "bert_config.json"


@pytest.fixture(scope="module")
def garden() -> Any:
    """`tests.oracles.model_garden`."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from tests.oracles import model_garden

    return model_garden


@pytest.mark.parametrize("task", TASKS)
def test_google_research_bert(task: str, garden: Any, tmp_path: Path) -> None:
    from tests.oracles import tf1_tasks

    head = TASKS[task]
    prefix, expected = tf1_tasks.write_fine_tuned(
        garden.Sizes(), tmp_path, task, slots=task == "run_classifier"
    )
    encoder = Unsaved(prefix)
    record = encoder.record
    assert list(record["heads"]) == [head]
    assert record["heads"][head]["labels"] is None
    assert record["heads"][head]["problem_type"] is None
    assert record["pooler"]["pooled_output"] == "checkpoint"
    assert (UNDECLARED in record["warnings"]) == (head == "classifier")
    artifact = compare.Artifact(encoder)
    assert artifact.heads == [head]
    for batch in inputs.kinds(50, 12, 0, 3).values():
        compare.assert_same(artifact(batch), expected(batch))


def test_a_task_is_told_by_its_scope(garden: Any, tmp_path: Path) -> None:
    """run_classifier's head is at the root, run_squad's below its scope: nothing is ambiguous."""
    garden.write_configuration(CONFIGURATION, garden.Sizes(), tmp_path)
    for task, head in TASKS.items():
        prefix = tmp_path / f"{task}.ckpt"
        garden.write_tf1_checkpoint(garden.Sizes(), prefix, task=task)
        (other,) = {*TASKS.values()} - {head}
        with pytest.raises(UsageError, match=f"no head {other}(.|\n)*carried.*: {head}"):
            planned(prefix, heads=other)
        record, _ = planned(prefix, heads="none")
        assert f"head: {head}" in record["skipped_tensors"]


@pytest.mark.parametrize(
    "next_sentence",
    [pytest.param(False, marks=pytest.mark.exhaustive), True],
    ids=["alone", "beside next_sentence"],
)
@pytest.mark.parametrize("items", ["model", "pretrainer"])
def test_model_garden(items: str, next_sentence: bool, garden: Any, tmp_path: Path) -> None:
    """The head starts from its own dense layer, `pooled_output` from the encoder's."""
    sizes = garden.Sizes()
    model = garden.trained(sizes, "v2", next_sentence=next_sentence, classes=3)
    prefix = garden.tf.train.Checkpoint(**{items: model}).save(str(tmp_path / "ckpt"))
    configuration = garden.write_configuration(CONFIGURATION, sizes, tmp_path)
    heads = ["mlm", "nsp", "classifier"] if next_sentence else ["mlm", "classifier"]
    record, values = planned(Path(prefix), **configuration)
    assert list(record["heads"]) == heads
    assert UNDECLARED in record["warnings"]
    tensors = {variable.name.partition(":")[0]: variable.numpy() for variable in model.variables}
    for ours, theirs in {
        "cls/classifier/pooler/dense/kernel": "sentence_prediction/pooler_dense/kernel",
        "cls/classifier/output_bias": "sentence_prediction/logits/bias",
    }.items():
        (wanted,) = [value for name, value in tensors.items() if name.endswith(theirs)]
        assert values[ours] == wanted.tobytes()
    if items == "pretrainer" or not next_sentence:
        return  # the same values for the same variables as of the one that is called
    artifact = compare.Artifact(Unsaved(Path(prefix), **configuration))
    assert artifact.heads == heads
    for batch in inputs.kinds(50, 12, 0, 3).values():
        compare.assert_same(artifact(batch), garden.expected_outputs(model, batch))
