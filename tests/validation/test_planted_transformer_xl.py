"""What Transformer-XL adds to encoders, done wrong: each fault is found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hubexport.validation.gates import batch, causality, determinism, interface, numerics
from hubexport.validation.reference_file import read_reference
from tests.artifacts import export_encoder, make_reference
from tests.oracles import transformer_xl
from tests.validation.conftest import Trained
from tests.validation.faults import (
    Values,
    changed_values,
    failing,
    failures,
    judged,
)
from tests.validation.gates.contexts import context
from tests.validation.made import Patch, Plant, faulty


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model like the published one, its reference, and its encoder."""
    work = tmp_path_factory.mktemp("made")
    checkpoint = transformer_xl.write_hugging_face(work / "checkpoint", "wt103")
    outputs = transformer_xl.recorded(work / "outputs.npz", "wt103", "hugging_face")
    make_reference(
        source="file", checkpoint=checkpoint, outputs_file=outputs, output=work / "reference"
    )
    export_encoder(checkpoint=checkpoint, export_path=work / "encoder")
    return Trained(checkpoint, work / "reference", work / "encoder")


def test_clean(made: Trained) -> None:
    """Layers, head, its function and the memory, and nothing is found."""
    given = context(made.encoder, reference=read_reference(made.reference))
    report = judged(given, interface, numerics, batch, causality, determinism)
    assert not failing(report), [gate.failures for gate in report.gates]
    measured = {each.what for gate in report.gates for each in gate.measurements}
    for found in (
        "later: new_mems, max abs", "later: lm_log_probs, max abs", "plain: lm_log_probs, max abs",
        ".lm with mems gives new_mems", "mems has an influence", "mems of no steps",
        "padded on the left: lm_log_probs, max abs", "input_type_ids has no influence",
        "another token at 5: token_log_probs before it, max abs",
    ):  # fmt: skip
        assert any(each.startswith(found.removesuffix(" gives new_mems")) for each in measured), (
            found
        )


def biases_exchanged(values: Values) -> None:
    for i in range(2):
        w, r = (f"encoder/layer_{i}/attention/self/r_{which}_bias" for which in "wr")
        values[w], values[r] = values[r], values[w]


def clusters_in_another_order(values: Values) -> None:
    for leaf in ("output_weights", "output_bias"):
        name = f"cls/lm/clusters/{leaf}"
        values[name] = values[name][::-1]


def embeddings_not_scaled(values: Values) -> None:
    """What the language model is tied to goes along, but its own projection does not."""
    for i in range(3):
        values[f"embeddings/cutoff_{i}/projection"] /= math.sqrt(16)


def projection_tied(values: Values) -> None:
    """As if the first cluster's were the embeddings', too."""
    values["cls/lm/cutoff_0/projection"] = values["embeddings/cutoff_0/projection"]


@pytest.mark.parametrize(("change", "output"), [
    (biases_exchanged, "encoder_outputs[0]"),
    (clusters_in_another_order, "lm_log_probs"),
    (embeddings_not_scaled, "encoder_outputs[0]"),
    (projection_tied, "lm_log_probs"),
])  # fmt: skip
def test_wrong_values(change: Callable[[Values], None], output: str, made: Trained) -> None:
    given = context(made.encoder, reference=read_reference(made.reference))
    with changed_values(given.encoder, change):
        report = judged(given, numerics)
    found = failures(report, "numerics")
    assert f"plain: {output}" in found
    assert ("encoder_outputs" in found) == (output != "lm_log_probs")


def distances_with_the_other_sign(patch: Patch) -> None:
    from hubexport.networks import relative

    old = relative.sinusoids
    patch.setattr(relative, "sinusoids", lambda steps, size: old(-steps, size))


def sees_one_more(patch: Patch) -> None:
    """TensorFlow's program for PyTorch's."""
    from hubexport.networks import relative

    old = relative.causal_bias_of
    patch.setattr(relative, "causal_bias_of", lambda span: old(span + 1))


def distances_from_the_memory(patch: Patch) -> None:
    """Counted as if the segment began where the memory does."""
    import tensorflow as tf

    from hubexport.networks.relative import RelativeEncoder

    old = RelativeEncoder.state

    def state(self: Any, inputs: Any, training: bool, *, portable: bool) -> Any:
        found = old(self, inputs, training, portable=portable)
        if "mems" in inputs:
            found["sinusoids"] = tf.roll(found["sinusoids"], 1, axis=0)
        return found

    patch.setattr(RelativeEncoder, "state", state)


def remembers_outputs(patch: Patch) -> None:
    """What layers gave, and not what they were given."""
    from hubexport.networks.relative import RelativeEncoder

    old = RelativeEncoder.remembered
    patch.setattr(
        RelativeEncoder, "remembered",
        lambda self, memory, given: old(self, memory, [*given[1:], given[0]]),
    )  # fmt: skip


@pytest.mark.parametrize(("plant", "said"), [
    (distances_with_the_other_sign, "plain: encoder_outputs[0]"),
    (sees_one_more, "plain: encoder_outputs[0]"),
    (distances_from_the_memory, "later: encoder_outputs[0]"),
    (remembers_outputs, "later: new_mems"),
])  # fmt: skip
def test_faults_of_the_network(plant: Plant, said: str, made: Trained, monkeypatch: Patch) -> None:
    report = faulty(made, {"numerics"}, monkeypatch, plant)
    assert said in failures(report, "numerics")
    if said.startswith("later"):
        assert "plain" not in failures(report, "numerics")
