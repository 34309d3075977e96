"""What XLNet adds to encoders, done wrong: each fault is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubexport.validation.gates import batch, causality, interface, numerics
from hubexport.validation.reference_file import read_reference
from tests.artifacts import export_encoder
from tests.validation.faults import failing, failures, judged
from tests.validation.gates.contexts import context
from tests.validation.made import Made, Patch, Plant

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.oracles import xlnet

LM, CLASSIFIER = "XLNetLMHeadModel", "XLNetForSequenceClassification"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Classes of transformers."""
    return Made(tmp_path_factory, lambda name, path: xlnet.build(name).save_pretrained(path))


@pytest.mark.parametrize(("name", "padding"), [(LM, "skip"), (CLASSIFIER, "compute")])
def test_clean(name: str, padding: str, made: Made, tmp_path: Path) -> None:
    """All layers, the memory and the heads, and nothing is found."""
    of = made(name)
    export_encoder(checkpoint=of.checkpoint, export_path=tmp_path / "encoder", padding=padding)
    given = context(tmp_path / "encoder", reference=read_reference(of.reference))
    report = judged(given, interface, numerics, batch, causality)
    assert not failing(report), [gate.failures for gate in report.gates]
    measured = {each.what for gate in report.gates for each in gate.measurements}
    wanted = {
        "with_mems: new_mems, max abs", "with_mems: encoder_outputs[0], max abs",
        "left_padded: sequence_output, max abs", "mems of no steps", "mems has an influence",
        "input_type_ids has an influence",
    }  # fmt: skip
    wanted |= (
        {"ragged: lm_logits, max abs", ".lm with mems: new_mems: finite"} if name == LM else
        {"ragged: classifier_logits, max abs", "padded on the left: sequence_output, max abs"}
    )  # fmt: skip
    assert wanted <= measured, wanted - measured


def other_way_round(patch: Patch) -> None:
    """Distances are counted from keys to queries."""
    from hubexport.networks import relative

    old = relative.sinusoids
    patch.setattr(relative, "sinusoids", lambda steps, size: old(-steps, size))


def one_step_off(patch: Patch) -> None:
    from hubexport.networks import relative

    old = relative.sinusoids
    patch.setattr(relative, "sinusoids", lambda steps, size: old(steps + 1, size))


def biases_exchanged(patch: Patch) -> None:
    """r_r_bias for r_w_bias, and the other way round."""
    from hubexport.networks.relative import RelativeAttention

    old = RelativeAttention.__init__

    def init(self: Any, *arguments: Any, **keywords: Any) -> None:
        old(self, *arguments, **keywords)
        self.r_w_bias, self.r_r_bias = self.r_r_bias, self.r_w_bias

    patch.setattr(RelativeAttention, "__init__", init)


def same_segment_is_another(patch: Patch) -> None:
    from hubexport.networks.xlnet import XlnetEncoder

    old = XlnetEncoder.state

    def state(self: Any, *arguments: Any, **keywords: Any) -> Any:
        made = old(self, *arguments, **keywords)
        return {**made, "types_differ": 1.0 - made["types_differ"]}

    patch.setattr(XlnetEncoder, "state", state)


def memory_forgets_the_last_block(patch: Patch) -> None:
    """What blocks gave is kept, and not what they were given."""
    from hubexport.networks.relative import RelativeEncoder

    old = RelativeEncoder.remembered
    patch.setattr(
        RelativeEncoder, "remembered",
        lambda self, memory, given: old(self, memory, [*given[1:], given[-1]]),
    )  # fmt: skip


def memory_of_another_block(patch: Patch) -> None:
    from hubexport.networks.relative import RelativeEncoder

    old = RelativeEncoder.of_blocks
    patch.setattr(RelativeEncoder, "of_blocks", lambda self, memory: old(self, memory)[::-1])


def the_guess_sees_itself(patch: Patch) -> None:
    """The second stream sees what the first one does, its own place among them."""
    from hubexport.networks.xlnet import TwoStreamAttention

    old = TwoStreamAttention.streams

    def streams(self: Any, x: Any, state: Any, training: bool) -> Any:
        return old(self, x, {**state, "query_bias": state["bias"]}, training)

    patch.setattr(TwoStreamAttention, "streams", streams)


def order_is_not_heeded(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks.xlnet import XlnetEncoder

    old = XlnetEncoder.guessing

    def guessing(self: Any, mask: Any, inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        seen = {**inputs, "perm_mask": tf.zeros_like(inputs["perm_mask"])}
        return old(self, mask, seen, *arguments, **keywords)

    patch.setattr(XlnetEncoder, "guessing", guessing)


def classes_by_the_first_token(patch: Patch) -> None:
    from hubexport.networks import pooling

    patch.setitem(pooling.POOLINGS, "lasttoken", pooling.first_token)


PLANTED: dict[str, tuple[str, Plant, str, str]] = {
    "sign of the distance": (LM, other_way_round, "numerics", "plain: encoder_outputs[0]"),
    "distances off by one": (LM, one_step_off, "numerics", "plain: encoder_outputs[0]"),
    "r_r_bias for r_w_bias": (LM, biases_exchanged, "numerics", "plain: encoder_outputs[0]"),
    "segments inverted": (LM, same_segment_is_another, "numerics", "segments: encoder_outputs[0]"),
    "memory of outputs": (LM, memory_forgets_the_last_block, "numerics", "with_mems: new_mems"),
    "memory of another block": (
        LM, memory_of_another_block, "numerics", "with_mems: encoder_outputs[0]",
    ),
    "the guess sees itself": (LM, the_guess_sees_itself, "numerics", "ragged: lm_logits"),
    "any order is all": (LM, order_is_not_heeded, "numerics", "ragged: lm_logits"),
    "classes by the first token": (
        CLASSIFIER, classes_by_the_first_token, "numerics", "ragged: classifier_logits",
    ),
}  # fmt: skip
"""Fault -> class, what is planted, the gate that fails, and what it says."""


@pytest.mark.parametrize("fault", PLANTED)
def test_faults_of_the_network(fault: str, made: Made, monkeypatch: Patch) -> None:
    name, plant, gate, said = PLANTED[fault]
    report = made.wrong(name, {gate}, monkeypatch, plant)
    assert failing(report) == {gate}
    assert said in failures(report, gate)


def test_another_activation(made: Made, monkeypatch: Patch) -> None:
    """tanh, which zihangdai/xlnet computes, for transformers' erf."""
    report = made.wrong(LM, {"numerics"}, monkeypatch, hidden_act="gelu_tanh")
    assert failing(report) == {"numerics"}
