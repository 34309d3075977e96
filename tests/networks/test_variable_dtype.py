"""Encoders whose dense layers are stored in the dtype that they compute in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import hubexport
from hubexport.errors import CheckpointError, UsageError
from tests import tiny
from tests.forks import forked_children
from tests.oracles import inputs
from tests.tiers import examples

__all__ = ["forked_children"]

narrow = pytest.mark.parametrize("dtype", examples(["bfloat16", "float16"], ["bfloat16"]))


def export(checkpoint: Path, out: Path, **options: object) -> tuple[dict, object]:
    record = hubexport.export_encoder(checkpoint=checkpoint, export_path=out, **options)
    return record, tf.saved_model.load(str(out))


def outputs(model: object) -> list[np.ndarray]:
    """Of the root and of each head."""
    found = []
    for batch in inputs.batches(50, 12, 2)[-2:]:
        rows = {name: tf.constant(value) for name, value in batch.items()}
        rows["masked_lm_positions"] = tf.zeros([len(batch["input_mask"]), 3], tf.int32)
        encoder = {name: rows[name] for name in ("input_word_ids", "input_mask", "input_type_ids")}
        found += [value.numpy() for value in tf.nest.flatten(model(encoder))]
        found.append(model.mlm(rows)["mlm_logits"].numpy())
        found.append(model.nsp(encoder)["nsp_logits"].numpy())
    return found


@narrow
def test_outputs_are_the_same_to_the_bit(dtype: str, tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint")
    _, wide = export(checkpoint, tmp_path / "wide", dtype=dtype)
    record, stored = export(checkpoint, tmp_path / "stored", dtype=dtype, variable_dtype=dtype)
    for one, other in zip(outputs(wide), outputs(stored), strict=True):
        np.testing.assert_array_equal(one, other)
    dense = {each.name: each for each in stored.mlm.variables if each.dtype == tf.as_dtype(dtype)}
    rows = {row["variable"] for row in record["tensors"]}
    tables = {name for name in rows if "embeddings" in name or "LayerNorm" in name}
    # What is gathered, normed or added in float32 is kept in float32.
    assert {f"{name}:0" for name in rows - tables - {"cls/predictions/output_bias"}} - {
        "cls/seq_relationship/output_weights:0", "cls/seq_relationship/output_bias:0"
    } == set(dense)  # fmt: skip
    assert record["architecture"]["variable_dtype"] == dtype
    assert any(f"stored in {dtype}" in warning for warning in record["warnings"])
    values = {each.name: each for each in wide.variables}
    kernel = "encoder/layer_0/attention/self/query/kernel:0"
    expected = tf.cast(values[kernel], dtype).numpy()
    assert dense[kernel].numpy().tobytes() == expected.tobytes()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("forked_children")
def test_they_pass_every_gate(tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint")
    export(checkpoint, tmp_path / "out", dtype="bfloat16", variable_dtype="bfloat16", validate=True)
    record = hubexport.load_record(tmp_path / "out")
    found = {gate["status"] for gate in record["validation"][-1]["gates"]}
    assert "passed" in found and found <= {"passed", "not run"}


@pytest.mark.parametrize(("dtype", "stored"), [("float32", "bfloat16"), ("bfloat16", "float16")])
def test_only_what_is_computed_in(dtype: str, stored: str, tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match=f"variable_dtype '{stored}'.*float32"):
        export(checkpoint, tmp_path / "out", dtype=dtype, variable_dtype=stored)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dry_run", [False, True])
def test_numbers_that_do_not_fit(dry_run: bool, tmp_path: Path) -> None:
    """65504 is the largest of float16."""

    def change(values: inputs.Tensors) -> None:
        next(value for name, value in values.items() if "query/kernel" in name)[0, 0] = 1e5

    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint", change=change)
    with pytest.raises(CheckpointError, match="query/kernel"):
        export(
            checkpoint, tmp_path / "out", dtype="float16", variable_dtype="float16", dry_run=dry_run
        )
    assert not (tmp_path / "out").exists()
