"""Fine-tuned checkpoints of TensorFlow are what google-research/bert and Model Garden write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests import tiny
from tests.oracles import inputs

if TYPE_CHECKING:
    import tensorflow as tf

    from tests.oracles import model_garden, tf1_tasks
else:
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from tests.oracles import model_garden, tf1_tasks

    tf = model_garden.tf

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]

SIZES = model_garden.Sizes(num_layers=1)
CONFIG = {**tiny.CONFIG, "num_hidden_layers": 1}
HEADS = {
    "run_classifier": {"output_weights": [3, 16], "output_bias": [3]},
    "run_squad": {"cls/squad/output_weights": [2, 16], "cls/squad/output_bias": [2]},
}
"""Program -> its head's variables, as google-research/bert's sources make them."""


def shapes_of(prefix: Path | str) -> dict[str, list[int]]:
    """Names and shapes by TensorFlow's reader."""
    return dict(tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map())


@pytest.mark.parametrize("task", HEADS)
def test_tf1_heads(task: str, tmp_path: Path) -> None:
    prefix = tmp_path / "model.ckpt"
    values = model_garden.write_tf1_checkpoint(SIZES, prefix, task=task)
    shapes = shapes_of(prefix)
    assert HEADS[task].items() <= shapes.items()
    others = {name for name in shapes if not name.startswith("bert/")} - {"global_step"}
    slots = {f"{name}/{slot}" for name in HEADS[task] for slot in ("adam_m", "adam_v")}
    assert others == slots | HEADS[task].keys()
    generator = np.random.default_rng(5)
    outputs = {
        "pooled_output": generator.standard_normal((4, 16), np.float32),
        "sequence_output": generator.standard_normal((4, 12, 16), np.float32),
    }
    weights, bias = (tf.train.load_variable(str(prefix), name) for name in HEADS[task])
    if task == "run_classifier":
        logits = tf.matmul(outputs["pooled_output"], weights, transpose_b=True)
        wanted = {"classifier_logits": tf.nn.bias_add(logits, bias)}
    else:
        rows = tf.reshape(outputs["sequence_output"], [-1, 16])
        logits = tf.nn.bias_add(tf.matmul(rows, weights, transpose_b=True), bias)
        start, end = tf.unstack(tf.transpose(tf.reshape(logits, [4, 12, 2]), [2, 0, 1]))
        wanted = {"start_logits": start, "end_logits": end}
    found = tf1_tasks.task_logits(task, values, outputs)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == np.float32 and np.ptp(found[name]) > 0.05
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_tf1_with_its_encoder(tmp_path: Path) -> None:
    prefix, expected = tf1_tasks.write_fine_tuned(SIZES, tmp_path, "run_squad", slots=False)
    assert (tmp_path / "bert_config.json").is_file() and "global_step" not in shapes_of(prefix)
    batch = inputs.batches(50, 12, 3)[-1]
    outputs = expected(batch)
    encoder = {"encoder_outputs", "sequence_output", "pooled_output"}
    assert outputs.keys() == encoder | {"start_logits", "end_logits"}
    # Model Garden computed with the weights that the checkpoint holds.
    value = {
        name: tf.train.load_variable(str(prefix), f"bert/pooler/dense/{name}")
        for name in ("kernel", "bias")
    }
    pooled = np.tanh(outputs["sequence_output"][:, 0] @ value["kernel"] + value["bias"])
    np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)
    weights, bias = (tf.train.load_variable(str(prefix), name) for name in HEADS["run_squad"])
    ends = outputs["sequence_output"] @ weights[1] + bias[1]
    np.testing.assert_allclose(outputs["end_logits"], ends, atol=1e-5)


@pytest.mark.parametrize("task", HEADS)
def test_tiny_checkpoints_have_the_same_names(task: str, tmp_path: Path) -> None:
    prefix = tiny.write_checkpoint(tmp_path / "tiny", CONFIG, task=task, slots=True)
    model_garden.write_tf1_checkpoint(SIZES, tmp_path / "model.ckpt", task=task)
    assert shapes_of(prefix).keys() == shapes_of(tmp_path / "model.ckpt").keys()
    assert HEADS[task].items() <= shapes_of(prefix).items()
    plain = tiny.write_checkpoint(tmp_path / "plain", CONFIG, task=task)
    assert "global_step" not in shapes_of(plain) and HEADS[task].keys() <= shapes_of(plain).keys()


@pytest.mark.parametrize("next_sentence", [False, True], ids=["alone", "beside next_sentence"])
def test_the_classification_head_of_model_garden(next_sentence: bool, tmp_path: Path) -> None:
    def new() -> Any:
        encoder = model_garden.encoder_v2(SIZES)
        return model_garden.pretrainer(SIZES, encoder, next_sentence=next_sentence, classes=3)

    model, batch = new(), inputs.batches(50, 12, 3)[-1]
    prefix = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    head = f"model/classification_heads/{int(next_sentence)}"
    leaf = ".ATTRIBUTES/VARIABLE_VALUE"
    shapes = shapes_of(prefix)
    assert shapes[f"{head}/dense/kernel/{leaf}"] == [16, 16]
    assert shapes[f"{head}/out_proj/kernel/{leaf}"] == [16, 3]
    other = new()
    for variable in other.variables:
        variable.assign(tf.zeros_like(variable))
    status = tf.train.Checkpoint(model=other).restore(prefix)
    status.assert_existing_objects_matched()
    expected, found = (model_garden.expected_outputs(each, batch) for each in (model, other))
    assert expected["classifier_logits"].shape == (4, 3)
    assert ("nsp_logits" in expected) == next_sentence
    assert np.ptp(expected["classifier_logits"]) > 0.05
    for name in ("sequence_output", "classifier_logits"):
        np.testing.assert_array_equal(found[name], expected[name])
