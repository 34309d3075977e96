"""What GPT and GPT-2 add to encoders, done wrong: each fault is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.validation.gates import batch, causality, interface, numerics
from tests.validation.faults import (
    Values,
    changed_values,
    failing,
    failures,
    judged,
    validated,
)
from tests.validation.made import Made, Patch, Plant

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.oracles import causal

GATES = ["interface", "numerics", "batch", "causality"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Classes of transformers."""
    return Made(tmp_path_factory, lambda name, path: causal.build(name).save_pretrained(path))


@pytest.mark.parametrize("name", ["GPT2DoubleHeadsModel", "OpenAIGPTForSequenceClassification"])
def test_clean(name: str, made: Made) -> None:
    """All heads, functions and layers, and nothing is found."""
    report = judged(made.exported(name), interface, numerics, batch, causality)
    assert not failing(report), [gate.failures for gate in report.gates]
    measured = {each.what for gate in report.gates for each in gate.measurements}
    if name.startswith("GPT2"):
        for found in (
            ".lm.step: lm_logits after 12 tokens", ".double_heads: lm_logits is that of .lm",
            "ragged: token_log_probs, max abs", "ragged: mc_logits, max abs",
            "left_padded: lm_logits, max abs", "another token at 5: token_log_probs before it, "
            "max abs",
        ):  # fmt: skip
            assert found in measured, found
    else:
        assert "ragged: classifier_logits, max abs" in measured


def columns_in_another_order(patch: Patch) -> None:
    from hubexport.families import gpt

    patch.setattr(gpt, "_PROJECTIONS", ("query", "value", "key"))


def sees_all(patch: Patch) -> None:
    from hubexport.networks import transformer

    patch.setattr(transformer, "causal_state", transformer.masked_state)


def sees_the_next(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks import attention, transformer

    def state(of_layout: Any) -> Any:
        columns = tf.range(tf.shape(of_layout["mask"])[1])
        later = tf.expand_dims(columns, 0) > tf.expand_dims(columns, 1) + 1
        bias = tf.minimum(attention.mask_bias(of_layout["mask"]), tf.cast(later, tf.float32) * -1e9)
        return {**of_layout, "bias": bias}

    patch.setattr(transformer, "causal_state", state)


def no_last_norm(patch: Patch) -> None:
    from hubexport.families.gpt2 import Gpt2

    old = Gpt2.last_norm

    def last_norm(self: Any, variables: Any) -> Any:
        old(self, variables)
        return None

    patch.setattr(Gpt2, "last_norm", last_norm)


def forgets(patch: Patch) -> None:
    """Each step sees its own tokens, and as much of nothing as there were others."""
    import tensorflow as tf

    from hubexport.networks.attention import Memory

    old = Memory.__init__
    patch.setattr(Memory, "__init__", lambda self, past: old(self, tf.zeros_like(past)))


def scores_each_token_by_itself(patch: Patch) -> None:
    """What is said at a token is taken for what was expected in its place."""
    import tensorflow as tf

    from hubexport.networks.heads import LanguageModel

    old = LanguageModel.score

    def score(self: Any, inputs: Any, outputs: Any) -> Any:
        shifted = tf.roll(outputs["sequence_output"], -1, axis=1)
        return old(self, inputs, {**outputs, "sequence_output": shifted})

    patch.setattr(LanguageModel, "score", score)


def choices_by_their_first_tokens(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks.heads import DoubleHeads

    old = DoubleHeads.__call__

    def call(self: Any, inputs: Any, outputs: Any) -> Any:
        first = tf.zeros_like(inputs["mc_positions"])
        return old(self, {**inputs, "mc_positions": first}, outputs)

    patch.setattr(DoubleHeads, "__call__", call)


def classes_by_the_first_token(patch: Patch) -> None:
    from hubexport.networks import pooling

    patch.setitem(pooling.POOLINGS, "lasttoken", pooling.first_token)


def positions_from_the_start(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks.embeddings import GptEmbeddings

    old = GptEmbeddings.__call__

    def call(self: Any, inputs: Any, state: Any, training: bool) -> Any:
        ones = tf.ones_like(inputs["input_mask"])
        return old(self, {**inputs, "input_mask": ones}, state, training)

    patch.setattr(GptEmbeddings, "__call__", call)


LM, DOUBLE = "GPT2LMHeadModel", "GPT2DoubleHeadsModel"
PLANTED: dict[str, tuple[str, Plant, set[str], str]] = {
    "columns of c_attn in another order": (
        LM, columns_in_another_order, {"numerics"}, "encoder_outputs[0]",
    ),
    "the mask leaks the future": (
        LM, sees_all, {"numerics", "causality", "interface"}, "another token at 5",
    ),
    "the mask leaks the next token": (
        LM, sees_the_next, {"numerics", "causality", "interface"}, "another token at 5",
    ),
    "no norm behind the last block": (LM, no_last_norm, {"numerics"}, "sequence_output"),
    "positions from the start": (
        "OpenAIGPTModel", positions_from_the_start, {"numerics", "batch"}, "left",
    ),
    "steps forget": (LM, forgets, {"interface"}, ".lm.step: lm_logits after"),
    "scores of the wrong tokens": (
        LM, scores_each_token_by_itself, {"numerics"}, "token_log_probs",
    ),
    "choices by their first tokens": (
        DOUBLE, choices_by_their_first_tokens, {"numerics"}, "mc_logits",
    ),
    "classes by the first token": (
        "OpenAIGPTForSequenceClassification", classes_by_the_first_token, {"numerics"},
        "classifier_logits",
    ),
}  # fmt: skip
"""Fault -> class, what is planted, the gates that are run and fail, and what any of them says."""


@pytest.mark.parametrize("fault", PLANTED)
def test_faults_of_the_network(fault: str, made: Made, tmp_path: Path, monkeypatch: Patch) -> None:
    name, plant, expected, said = PLANTED[fault]
    if "interface" in expected:
        of = made(name)
        with monkeypatch.context() as patch:
            plant(patch)
            hubexport.export_encoder(checkpoint=of.checkpoint, export_path=tmp_path / "encoder")
        report = validated(
            tmp_path / "encoder", of.reference, [each for each in GATES if each in expected]
        )
    else:
        report = made.wrong(name, expected, monkeypatch, plant)
    assert failing(report) == expected
    assert said in "\n".join(failures(report, gate) for gate in expected)


def off_by_one(values: Values) -> None:
    name = "embeddings/position_embeddings"
    values[name] = np.roll(values[name], 1, axis=0)


def words_untied(values: Values) -> None:
    """As if an embedding had been trained on after the output layer was taken from it."""
    name = "embeddings/word_embeddings"
    values[name] = values[name] * np.float32(1.001)


@pytest.mark.parametrize("change", [off_by_one, words_untied])
def test_wrong_values(change: Callable[[Values], None], made: Made) -> None:
    given = made.exported(DOUBLE)
    with changed_values(given.encoder, change):
        report = judged(given, numerics, causality)
    assert failing(report) == {"numerics"}


def test_another_activation(made: Made, monkeypatch: Patch) -> None:
    """erf for tanh: 5e-4 apart at most."""
    report = made.wrong(LM, {"numerics"}, monkeypatch, hidden_act="gelu_erf")
    assert failing(report) == {"numerics"}
