"""An exported encoder as its users meet it: loaded in a process that knows no hubexport."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubexport import export_encoder
from hubexport.saved_model.reading import read_saved_model
from tests import forks, tiny

CLOSE = 1e-5
CONFIG = {**tiny.CONFIG, "num_hidden_layers": 1}
ROOT = Path(__file__).parents[1]


def use(step: str, work: Path) -> SimpleNamespace:
    """Runs a step of encoder_user.py; its results, and what it wrote to stderr."""
    environment = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "1"}
    program = Path(__file__).with_name("encoder_user.py").read_text("utf-8")
    process = forks.run(
        program, step, work, environment=environment, directory=work, preload=forks.TENSORFLOW
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return SimpleNamespace(log=process.stderr, **json.loads(process.stdout.splitlines()[-1]))


def export(work: Path) -> tuple[Path, dict[str, Any]]:
    """Exports WORK/encoder; gives WORK and the record."""
    record = export_encoder(
        checkpoint=tiny.write_checkpoint(work / "checkpoint", CONFIG),
        export_path=work / "encoder",
        vocab_file=tiny.write_vocabulary(work / "vocab.txt"),
        do_lower_case=True,
    )
    return work, record


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> SimpleNamespace:
    """The artifact's summary and files, and what a user's program saw of it."""
    work, record = export(tmp_path_factory.mktemp("encoder"))
    files = sorted(
        str(path.relative_to(work / "encoder"))
        for path in (work / "encoder").rglob("*")
        if path.is_file()
    )
    summary = read_saved_model(work / "encoder")
    (work / "vocab.txt").unlink()
    return SimpleNamespace(
        record=record, files=files, summary=summary, work=work, user=use("first", work)
    )


def test_files_are_tensorflows_and_the_record(exported):
    assert exported.files == [
        "assets.extra/hubexport.json",
        "assets/vocab.txt",
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


def test_graph_holds_nothing_that_ties_it_to_a_place(exported):
    record = exported.summary.record()
    assert record["devices"] == []
    assert not {"Assert", "EagerPyFunc", "PyFunc", "PyFuncStateless"} & set(record["ops"])
    assert record["required_ops"] == {}
    assert "custom gradients" not in exported.user.log


def test_plain_tensorflow_is_enough(exported):
    assert exported.user.plain["modules"] == []


def test_outputs(exported):
    plain = exported.user.plain
    assert plain["shapes"] == {
        "sequence_output": [3, 7, 16],
        "pooled_output": [3, 16],
        "default": [3, 16],
        "encoder_outputs": [[3, 7, 16]],
    }
    assert plain["dtypes"] == ["float32"]
    assert plain["last_is_sequence_output"] == 0
    assert plain["default_is_pooled"] == 0
    assert plain["other_shapes"] == [[1, 1, 16], [2, 24, 16], [5, 3, 16]]


def test_results_depend_on_the_tokens_only(exported):
    plain = exported.user.plain
    assert plain["inference_repeats"] == 0
    assert plain["padding_changes_nothing"] < CLOSE
    assert plain["batch_changes_nothing"] < CLOSE


def test_dropout_is_active_in_training(exported):
    assert exported.user.plain["dropout_differs"]


def test_a_sequence_beyond_the_positions_is_an_error(exported):
    assert exported.user.plain["too_long"] == "InvalidArgumentError"


@pytest.mark.parametrize("name", ["encoder", "mlm", "nsp"])
def test_int64_inputs_give_the_same(exported, name):
    assert exported.user.int64_inputs[name] == [0, 0, 0]


def test_int64_and_int32_together_are_an_error_that_the_docs_know(exported):
    message = exported.user.int64_inputs["mixed"]
    (stated,) = (
        line.removeprefix("## ")
        for line in (ROOT / "docs" / "errors.md").read_text("utf-8").splitlines()
        if line.startswith("## Could not find matching concrete function")
    )
    assert stated in message
    assert message.startswith("ValueError") and "dtype=tf.int64" in message


def test_signature(exported):
    signature = exported.user.plain["signature"]
    assert signature["input_names"] == ["input_mask", "input_type_ids", "input_word_ids"]
    assert signature["names"] == ["default", "pooled_output", "sequence_output"]
    assert signature["output_shapes"] == {
        "default": [None, 16],
        "pooled_output": [None, 16],
        "sequence_output": [None, None, 16],
    }
    assert signature["same"] < CLOSE


def test_masked_language_model(exported):
    mlm = exported.user.plain["mlm"]
    assert mlm["shapes"]["mlm_logits"] == [3, 2, 50]
    assert mlm["shapes"]["encoder_outputs"] == [[3, 7, 16]]
    assert mlm["same"] < CLOSE
    assert mlm["signature_same"] < CLOSE
    assert mlm["own_variables"] == [
        "cls/predictions/output_bias:0",
        "cls/predictions/transform/LayerNorm/beta:0",
        "cls/predictions/transform/LayerNorm/gamma:0",
        "cls/predictions/transform/dense/bias:0",
        "cls/predictions/transform/dense/kernel:0",
    ]
    assert mlm["holds_encoder"]


def test_next_sentence_prediction(exported):
    nsp = exported.user.plain["nsp"]
    assert nsp["shape"] == [3, 2]
    assert nsp["own_variables"] == [
        "cls/seq_relationship/output_bias:0",
        "cls/seq_relationship/output_weights:0",
    ]


def test_variables_are_named_as_in_google_research_bert(exported):
    plain = exported.user.plain
    expected = {
        name.removeprefix("bert/") + ":0" for name in tiny.tensor_shapes(CONFIG, heads=False)
    }
    assert set(plain["variables"]) == expected
    assert plain["trainable"] == plain["variables"]
    assert plain["regularization_losses"] == 0


def test_vocabulary_travels_along(exported):
    assert exported.user.plain["vocab"] == ["[PAD]", "[UNK]"]
    assert exported.user.plain["do_lower_case"] is True


@pytest.mark.parametrize("name", ["encoder", "mlm", "nsp"])
def test_gradients(exported, name):
    result = exported.user.gradients[name]
    assert result["missing"] == []
    assert result["finite"]


def test_gradients_inside_functions(exported):
    assert exported.user.gradients["function_gradients"] < 1e-3
    assert exported.user.gradients["jit_gradients"] < 1e-3


def test_xla(exported):
    assert exported.user.compiled < CLOSE


def test_keras_layer_trains(exported):
    keras = exported.user.keras
    assert keras["loss"][-1] < keras["loss"][0] / 2
    assert keras["weights"] == len(exported.user.plain["variables"])
    assert keras["unmoved"] == []
    assert keras["frozen_weights"] == [0, keras["weights"]]
    assert keras["mlm_shape"] == [3, 2, 50]
    assert keras["mlm_weights"] == keras["weights"] + 5


@pytest.fixture(scope="module")
def more(tmp_path_factory) -> SimpleNamespace:
    """What a user's program saw that uses two devices, Keras 3, and tapes more than once."""
    return use("more", export(tmp_path_factory.mktemp("more"))[0])


@pytest.mark.exhaustive
def test_mirrored_strategy(more):
    assert more.mirrored["replicas"] == 2
    loss = more.mirrored["loss"]
    assert loss[-1] < loss[0]


@pytest.mark.exhaustive
def test_keras_3(more):
    assert more.keras_3 < CLOSE


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["encoder", "mlm", "nsp"])
def test_persistent_tapes(more, name):
    """`make test` has one in the gate "training step"."""
    assert more.persistent[name] == {"repeats": 0, "other_target": True}


@pytest.mark.exhaustive
def test_second_order(more):
    assert more.persistent["second_order"]


def test_re_export_survives_the_original(exported):
    assert not (exported.work / "encoder").exists()
    second = use("second", exported.work)
    for name in ("wrapped", "again"):
        ours, theirs = getattr(second, name), getattr(exported.user, name)
        for row, expected in zip(ours, theirs, strict=True):
            assert row == pytest.approx(expected, abs=CLOSE)
    assert second.again_mlm == [3, 2, 50]
