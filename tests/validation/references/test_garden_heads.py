"""References by Model Garden hold what fine-tuned heads of TensorFlow's checkpoints give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hubexport.errors import TensorMismatchError
from hubexport.validation.references.job import make_reference
from tests import tiny
from tests.validation.references.expected import assert_outputs

if TYPE_CHECKING:
    import tensorflow as tf
    from official.nlp.modeling import layers, models

    from tests.oracles import model_garden as garden
    from tests.oracles import tf1_tasks
else:
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from official.nlp.modeling import layers, models

    from tests.oracles import model_garden as garden
    from tests.oracles import tf1_tasks

    tf = garden.tf

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]

Expected = Callable[[dict[str, np.ndarray]], dict[str, Any]]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`make_reference` into `tmp_path / "reference"`."""

    def call(checkpoint: Path | str, **arguments: Any) -> dict[str, Any]:
        return make_reference(
            source="model_garden",
            checkpoint=checkpoint,
            output=tmp_path / "reference",
            **arguments,
        )

    return call


def notes_of(summary: dict[str, Any]) -> str:
    return " ".join(summary["provenance"]["notes"])


@pytest.mark.parametrize("task", tiny.TASKS)
def test_fine_tuned_by_google_research(task: str, make: Any, tmp_path: Path) -> None:
    prefix, expected = tf1_tasks.write_fine_tuned(garden.Sizes(), tmp_path, task)
    summary = make(prefix)
    assert "mlm_logits" not in summary["outputs"] and "not compared" not in notes_of(summary)
    assert_outputs(tmp_path / "reference", expected)


@pytest.mark.parametrize(
    ("task", "part", "message"),
    [
        ("run_classifier", "output_bias", "missing: output_bias"),
        ("run_classifier", "bert/pooler", "missing: bert/pooler/dense/kernel, bert/pooler/dense/b"),
        ("run_squad", "squad/output_weights", "missing: cls/squad/output_weights"),
    ],
)
def test_a_part_of_a_head(task: str, part: str, message: str, make: Any, tmp_path: Path) -> None:
    def change(values: dict[str, np.ndarray]) -> None:
        for name in list(values):
            if name.startswith(part) or name.endswith("/" + part):
                del values[name]

    with pytest.raises(TensorMismatchError, match=message):
        make(tiny.write_checkpoint(tmp_path / "model", task=task, change=change))


def test_a_misshaped_head(make: Any, tmp_path: Path) -> None:
    def change(values: dict[str, np.ndarray]) -> None:
        values["cls/squad/output_weights"] = np.ones((2, 5), np.float32)

    checkpoint = tiny.write_checkpoint(tmp_path / "model", task="run_squad", change=change)
    with pytest.raises(TensorMismatchError, match=r"output_weights \[2, 5\], needed \[2, 16\]"):
        make(checkpoint)


def test_a_span_model_needs_no_pooler(make: Any, tmp_path: Path) -> None:
    def change(values: dict[str, np.ndarray]) -> None:
        for name in list(values):
            if name.startswith("bert/pooler"):
                del values[name]

    checkpoint = tiny.write_checkpoint(tmp_path / "model", task="run_squad", change=change)
    outputs = make(checkpoint)["outputs"]
    assert {"start_logits", "end_logits"} <= set(outputs) and "pooled_output" not in outputs


def save(directory: Path, **items: Any) -> str:
    return str(tf.train.Checkpoint(**items).save(str(directory / "ckpt")))


def of_pretrainer(model: Any, *, left_out: tuple[str, ...] = ()) -> Expected:
    def outputs(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        found = dict(garden.expected_outputs(model, inputs))
        if "nsp_logits" in found:
            found["next_sentence_pooled_output"] = garden.next_sentence_pooled(model, inputs)
        return {name: value for name, value in found.items() if name not in left_out}

    return outputs


@pytest.mark.parametrize(("encoder", "items"), [
    ("functional", "model"),
    pytest.param("v2", "checkpoint_items", marks=pytest.mark.exhaustive),
    pytest.param("functional", "trainer", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_next_sentence_and_another_head(
    encoder: str, items: str, make: Any, tmp_path: Path
) -> None:
    sizes = garden.Sizes()
    model = garden.trained(sizes, encoder, next_sentence=True, classes=3)
    saved = {
        "model": {"model": model},
        "checkpoint_items": model.checkpoint_items,
        "trainer": {"model": model, **model.checkpoint_items},
    }[items]
    summary = make(
        save(tmp_path, **saved), **garden.write_configuration("bert.yaml", sizes, tmp_path)
    )
    heads = ("nsp_logits", "classifier_logits")
    # Of heads, `checkpoint_items` has the poolers alone.
    left_out = heads if items == "checkpoint_items" else ()
    assert ("sentence_prediction.pooler_dense/kernel" in notes_of(summary)) == bool(left_out)
    assert ("head sentence_prediction: Model Garden's default" in notes_of(summary)) != bool(
        left_out
    )
    assert_outputs(tmp_path / "reference", of_pretrainer(model, left_out=left_out))


def pretrainer_of(sizes: garden.Sizes, heads: list[Any]) -> Any:
    model = models.BertPretrainerV2(
        garden.encoder_v2(sizes),
        mlm_activation=garden.tf_utils.get_activation(sizes.activation),
        classification_heads=heads,
    )
    model(model.inputs)
    garden.randomize(model.variables, seed=1)
    return model


def test_of_several_heads_none_is_compared(make: Any, tmp_path: Path) -> None:
    sizes = garden.Sizes()
    heads = [
        layers.ClassificationHead(16, classes, name=name)
        for name, classes in (("sst-2", 2), ("mnli", 3))
    ]
    model = pretrainer_of(sizes, heads)
    summary = make(
        save(tmp_path, model=model), **garden.write_configuration("bert.yaml", sizes, tmp_path)
    )
    for i in range(2):
        assert f"model/classification_heads/{i}/out_proj/kernel" in notes_of(summary)
    assert "not compared" in notes_of(summary)
    assert_outputs(tmp_path / "reference", of_pretrainer(model))


def test_a_head_of_all_tokens_is_not_compared(make: Any, tmp_path: Path) -> None:
    sizes = garden.Sizes()
    model = pretrainer_of(sizes, [layers.ClassificationHead(0, 3, name="tags")])
    summary = make(
        save(tmp_path, model=model), **garden.write_configuration("bert.yaml", sizes, tmp_path)
    )
    assert "model/classification_heads/0/out_proj/kernel" in notes_of(summary)
    assert_outputs(tmp_path / "reference", of_pretrainer(model))


@pytest.mark.parametrize(("use_encoder_pooler", "trainer"), [
    (True, False),
    pytest.param(True, True, marks=pytest.mark.exhaustive),
    pytest.param(False, True, marks=pytest.mark.exhaustive),
    pytest.param(False, False, marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_bert_classifier(
    use_encoder_pooler: bool, trainer: bool, make: Any, tmp_path: Path
) -> None:
    sizes = garden.Sizes()
    encoder = garden.functional_encoder(sizes)
    model = models.BertClassifier(
        encoder, 3, use_encoder_pooler=use_encoder_pooler, head_name="sst-2"
    )
    garden.randomize(model.variables, seed=1)
    items = model.checkpoint_items if trainer else {}
    make(
        save(tmp_path, model=model, **items),
        **garden.write_configuration("bert.yaml", sizes, tmp_path),
    )

    def expected(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        own = {name: inputs[name] for name in encoder.input_names}
        found = encoder(own)
        layers_of = [each.numpy() for each in found["encoder_outputs"]]
        return {
            "encoder_outputs": layers_of,
            "sequence_output": layers_of[-1],
            "pooled_output": found["pooled_output"].numpy(),
            "classifier_logits": model(own).numpy(),
        }

    assert_outputs(tmp_path / "reference", expected)
