"""Models of other kinds than the one that the other tests run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.validation.cases import random_cases
from hubexport.validation.pjrt.run import run_bundle
from hubexport.validation.report import Report
from hubexport.validation.results import FAILED, PASSED
from tests.artifacts import export_encoder
from tests.validation.pjrt.support import flat, make_context, some_cases

pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("tensorflow")

from hubexport.validation.pjrt.bundle import write_bundle


def _numerics(report: Report) -> list[str]:
    return [gate.status for gate in report.gates if gate.name.startswith("numerics")]


def test_narrow_models(
    pretraining: Any, expected: Callable[[], Any], client: Any, tmp_path: Path
) -> None:
    """A model that computes in bfloat16 is within bfloat16's limits, and beyond float32's."""
    artifact = tmp_path / "narrow"
    export_encoder(checkpoint=pretraining[1], export_path=artifact, dtype="bfloat16")
    cases = some_cases()[-1:]
    outputs = {case.name: expected()[case.name] for case in cases}
    bundle = tmp_path / "bundle"
    write_bundle(make_context(artifact, cases, outputs, "bfloat16"), bundle)
    assert _numerics(run_bundle(bundle, client)) == [PASSED, PASSED]
    fields = json.loads((bundle / "manifest.json").read_text("utf-8"))
    (bundle / "manifest.json").write_text(json.dumps({**fields, "dtype": "float32"}), "utf-8")
    assert _numerics(run_bundle(bundle, client)) == [FAILED, FAILED]


@pytest.mark.exhaustive
def test_talking_heads(client: Any, tmp_path: Path) -> None:
    """Talking-heads attention and gated GELU, by Model Garden's own model."""
    pytest.importorskip("official", reason="tf-models-official is not installed")
    import tensorflow as tf

    from tests.oracles import model_garden

    sizes = model_garden.Sizes()
    model = model_garden.trained(sizes, "talking_heads", next_sentence=False)
    prefix = tf.train.Checkpoint(encoder=model.encoder_network).write(str(tmp_path / "ckpt"))
    configuration = model_garden.write_configuration("bert.yaml", sizes, tmp_path)
    export_encoder(checkpoint=prefix, export_path=tmp_path / "out", **configuration)
    cases = random_cases(sizes.vocab_size, sizes.max_position_embeddings, sizes.type_vocab_size)[
        3:4
    ]
    outputs = flat(model_garden.expected_outputs(model, cases[0].inputs))
    del outputs["mlm_logits"]
    context = make_context(tmp_path / "out", cases, {cases[0].name: outputs})
    write_bundle(context, tmp_path / "bundle")
    report = run_bundle(tmp_path / "bundle", client)
    assert report.passed
    assert len(report.gates[0].measurements) == 3 * (sizes.num_layers + 3)


@pytest.mark.parametrize("name", [
    "RobertaForTokenClassification",
    pytest.param("DistilBertForMultipleChoice", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_other_families(name: str, client: Any, tmp_path: Path) -> None:
    """Inputs that have no influence, padding on the left, and heads of classes and of choices."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import families

    model = families.build(name)
    model.save_pretrained(tmp_path / "model")
    export_encoder(checkpoint=tmp_path / "model", export_path=tmp_path / "out")
    record = hubexport.load_record(tmp_path / "out")
    conventions, architecture = record["conventions"], record["architecture"]
    cases = random_cases(
        architecture["vocab_size"],
        architecture["max_position_embeddings"],
        architecture["type_vocab_size"],
        pad_token_id=architecture["pad_token_id"],
        padding_side=conventions["padding_side"],
    )[-1:]
    inputs = cases[0].inputs
    if name.endswith("MultipleChoice"):  # each row the one choice of its sample
        inputs = {key: value[:, np.newaxis] for key, value in inputs.items()}
    outputs = flat(families.expected_outputs(model, inputs))
    outputs.pop("pooled_output", None)  # the artifact's is the first token's vector
    write_bundle(make_context(tmp_path / "out", cases, {cases[0].name: outputs}), tmp_path / "in")
    report = run_bundle(tmp_path / "in", client)
    assert report.passed
    what = {each.what.partition(", ")[0] for each in report.gates[0].measurements}
    for output in (*families.LOGITS[families.head_of(name)], "sequence_output", "pooled_output"):
        assert f"{cases[0].name}: {output}" in what
