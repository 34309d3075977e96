"""Outputs of two artifacts on a reference's inputs, against what the test computes itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hubexport
from hubexport.comparison.outputs import OutputChange, Outputs
from hubexport.errors import HubexportError
from hubexport.validation.cases import Case
from hubexport.validation.reference_file import Provenance, write_reference
from tests.validation.faults import Values, with_values

pytestmark = pytest.mark.usefixtures("forked_children")

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
TEXTS = [["abc d"], ["e f g"]]
ROWS, LENGTH = 2, 12


def ids() -> dict[str, np.ndarray]:
    word_ids = np.random.default_rng(3).integers(5, 50, (ROWS, LENGTH)).astype(np.int32)
    mask = (np.arange(LENGTH) < np.array([[LENGTH], [5]])).astype(np.int32)
    return dict(zip(INPUTS, (word_ids, mask, np.zeros_like(mask)), strict=True))


def called(artifact: Path) -> dict[str, np.ndarray]:
    """What a user's program gets."""
    import tensorflow as tf

    outputs = tf.saved_model.load(str(artifact))({k: tf.constant(v) for k, v in ids().items()})
    return {name: outputs[name].numpy() for name in ("sequence_output", "pooled_output")}


def write(path: Path, cases: list[Case], sequence: np.ndarray) -> Path:
    provenance = Provenance("file", "a test", [], {})
    outputs = {case.name: {"sequence_output": sequence} for case in cases}
    write_reference(path, provenance, cases, outputs)
    return path


@pytest.fixture(scope="module")
def reference(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one case of ids, one of texts, and one that no tiny encoder has positions for."""
    sequence = called(encoder)["sequence_output"] + np.float32(0.5)
    long = {name: np.tile(value, (1, 4)) for name, value in ids().items()}
    path = tmp_path_factory.mktemp("reference") / "reference"
    cases = [Case("ids", ids()), Case("texts", ids(), TEXTS)]
    outputs = {case.name: {"sequence_output": sequence} for case in cases}
    outputs["long"] = {"sequence_output": np.tile(sequence, (1, 4, 1))}
    provenance = Provenance("file", "a test", [], {"num_hidden_layers": 2, "hidden_size": 16})
    write_reference(path, provenance, [*cases, Case("long", long)], outputs)
    return path


def outputs_of(a: Path, b: Path, reference: Path) -> Outputs:
    found = hubexport.compare(a, b, reference=reference).outputs
    assert found is not None and found.made_by == "a test"
    return found


def test_outputs_are_compared_with_each_other_and_the_reference(
    encoder: Path, reference: Path, tmp_path: Path
) -> None:
    def change(values: Values) -> None:
        values["pooler/dense/bias"] += 0.25

    other = with_values(encoder, tmp_path / "other", change)
    outputs = outputs_of(encoder, other, reference)
    assert {each.case for each in outputs.compared} == {"ids", "texts"}
    found = {each.output: each for each in outputs.compared if each.case == "ids"}
    changed = {each.output for each in outputs.changes}
    assert changed == {"pooled_output", "default", "nsp_logits"}
    assert {"sequence_output", "encoder_outputs[0]", "encoder_outputs[1]"} <= found.keys() - changed

    one, two = called(encoder), called(other)
    difference = two["pooled_output"].astype("f8") - one["pooled_output"]
    pooled, sequence = found["pooled_output"], found["sequence_output"]
    assert pooled.distance is not None
    norm = np.linalg.norm(one["pooled_output"].astype("f8"))
    assert pooled.distance.relative == pytest.approx(np.linalg.norm(difference) / norm, rel=1e-4)
    assert pooled.distance.largest == pytest.approx(np.abs(difference).max(), rel=1e-4)
    assert pooled.a_reference is pooled.b_reference is None  # the reference has none
    for each in (sequence.a_reference, sequence.b_reference):
        assert each is not None and each.largest == pytest.approx(0.5, rel=1e-3)


def test_equal_artifacts_give_equal_outputs(encoder: Path, reference: Path) -> None:
    comparison = hubexport.compare(encoder, encoder, reference=reference)
    assert comparison.is_equal and comparison.outputs is not None
    assert len(comparison.outputs.compared) > 8
    fields = json.loads(json.dumps(comparison.record()))["outputs"]["compared"]
    assert not any(each["differs"] for each in fields)


def test_preprocessors_are_given_the_texts(preprocessor: Path, reference: Path) -> None:
    outputs = outputs_of(preprocessor, preprocessor, reference)
    assert {each.output for each in outputs.compared} == {*INPUTS}
    assert {each.case for each in outputs.compared} == {"texts"} and not outputs.changes
    by_name = {each.output: each for each in outputs.compared}
    # The reference's ids are not those of its texts.
    assert by_name["input_word_ids"].a_reference.elements > 0  # type: ignore[union-attr]
    assert by_name["input_type_ids"].a_reference.elements == 0  # type: ignore[union-attr]


@pytest.mark.exhaustive
def test_pipelines_are_given_the_texts(pipeline: Path, reference: Path, tmp_path: Path) -> None:
    def change(values: Values) -> None:
        name = next(each for each in values if each.endswith("embeddings/LayerNorm/beta"))
        values[name] += 0.25

    other = with_values(pipeline, tmp_path / "other", change)
    (found,) = outputs_of(pipeline, other, reference).compared
    assert found.case == "texts" and found.distance is not None
    assert 0 < found.distance.relative < 2
    assert found.a_reference is None


def test_an_artifact_that_cannot_be_run(encoder: Path, reference: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with_values(encoder, broken, lambda values: values["pooler/dense/bias"].fill(0))
    from tensorflow.core.protobuf import saved_model_pb2

    path = broken / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    message.meta_graphs[0].graph_def.library.function[0].node_def[0].op = "NoSuchOp"
    path.write_bytes(message.SerializeToString())
    with pytest.raises(HubexportError, match="the artifact cannot be loaded"):
        hubexport.compare(encoder, broken, reference=reference)


def test_a_reference_without_texts_says_nothing_of_preprocessors(
    preprocessor: Path, tmp_path: Path
) -> None:
    sequence = np.zeros((ROWS, LENGTH, 4), np.float32)
    path = write(tmp_path / "reference", [Case("ids", ids())], sequence)
    with pytest.raises(HubexportError, match="no case of the reference could be run"):
        hubexport.compare(preprocessor, preprocessor, reference=path)


def test_a_file_that_is_no_reference_is_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(HubexportError, match="the reference cannot be read"):
        hubexport.compare(tmp_path, tmp_path, reference=tmp_path / "nothing")


def test_strings_and_what_only_one_has_are_differences() -> None:
    assert OutputChange("texts", "label", elements=1).differs
    assert not OutputChange("texts", "label", elements=0).differs
    assert OutputChange("texts", "label", detail="only a has it").differs
