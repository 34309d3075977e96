"""What XLM adds to encoders, done wrong: each fault is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.validation.gates import batch, causality, interface, numerics
from tests.validation.faults import Values, changed_values, failing, failures, judged, validated
from tests.validation.made import Made, Patch, Plant

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.oracles import xlm

LM, CAUSAL, BEAM = "XLMWithLMHeadModel", "causal", "XLMForQuestionAnswering"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Classes of transformers; `causal` is a language model whose configuration does not say so, in
    French."""

    def write(name: str, path: Path) -> None:
        # One language is as good as three where they are not what is looked at, and half the work.
        sizes = {"n_langs": 1} if name == BEAM else {}
        xlm.build(LM if name == CAUSAL else name, n_layers=2, **sizes).save_pretrained(path)

    return Made(tmp_path_factory, write, told)


def told(name: str) -> dict[str, Any]:
    """What is said of a model beside its configuration."""
    return {"causal": True, "language": "fr"} if name == CAUSAL else {}


@pytest.mark.parametrize("name", [LM, CAUSAL, BEAM])
def test_clean(name: str, made: Made) -> None:
    """All heads, functions and layers, and nothing is found."""
    report = judged(made.exported(name), interface, numerics, batch, causality)
    assert not failing(report), [gate.failures for gate in report.gates]
    measured = {each.what for gate in report.gates for each in gate.measurements}
    expected = {
        LM: ("with_input_language_ids: mlm_logits, max abs", "input_language_ids has an influence"),
        CAUSAL: (
            "with_input_language_ids: token_log_probs, max abs", "left_padded: lm_logits, max abs",
            ".lm.step: lm_logits after 12 tokens", "padded on the left: sequence_output, max abs",
        ),
        BEAM: (
            "ragged: start_top_index, places that differ", "ragged: end_top_probs, max abs",
            "ragged: end_top_index, places that differ", "ragged: cls_logits, max abs",
            "more padding: end_top_index, places that differ", ".qa_beam: start_top_index: dtype",
        ),
    }  # fmt: skip
    assert measured >= set(expected[name])


def no_languages(patch: Patch) -> None:
    from hubexport.networks.embeddings import XlmEmbeddings

    patch.setattr(XlmEmbeddings, "marked", lambda self, x, inputs, state: x)


def another_usual_language(patch: Patch) -> None:
    from hubexport.networks.embeddings import XlmEmbeddings

    old = XlmEmbeddings.__init__

    def init(self: Any, config: Any, variables: Any, languages: int, usual: int | None) -> None:
        old(self, config, variables, languages, None if usual is None else (usual + 1) % languages)

    patch.setattr(XlmEmbeddings, "__init__", init)


def padding_is_kept(patch: Patch) -> None:
    from hubexport.networks import transformer

    patch.setattr(transformer, "ZeroAtPadding", transformer.Encoder)


def types_are_words(patch: Patch) -> None:
    """As transformers has it where it is given types."""
    import tensorflow as tf

    from hubexport.networks.embeddings import XlmEmbeddings

    old = XlmEmbeddings.marked

    def marked(self: Any, x: Any, inputs: Any, state: Any) -> Any:
        types = tf.gather(self.word_embeddings, inputs["input_type_ids"] % 2)
        return old(self, x + types, inputs, state)

    patch.setattr(XlmEmbeddings, "marked", marked)


def sees_all(patch: Patch) -> None:
    from hubexport.networks import transformer

    patch.setattr(transformer, "causal_state", transformer.masked_state)


def sees_padding(patch: Patch) -> None:
    """As transformers' own mask does."""
    import tensorflow as tf

    from hubexport.networks import attention, transformer

    def state(of_layout: Any) -> Any:
        return {**of_layout, "bias": attention.causal_bias(tf.ones_like(of_layout["mask"]))}

    patch.setattr(transformer, "causal_state", state)


def positions_from_the_start(patch: Patch) -> None:
    from hubexport.networks.embeddings import BertEmbeddings, CausalXlmEmbeddings

    patch.setattr(CausalXlmEmbeddings, "positions", BertEmbeddings.positions)


def no_bias(patch: Patch) -> None:
    from hubexport.networks.heads import BiasedLanguageModel, LanguageModel

    patch.setattr(BiasedLanguageModel, "logits", LanguageModel.logits)


def in_beam(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Plant:
    """The head is given other inputs."""

    def plant(patch: Patch) -> None:
        from hubexport.networks.beam import BeamQuestionAnswering

        old = BeamQuestionAnswering.__call__
        patch.setattr(
            BeamQuestionAnswering, "__call__",
            lambda self, inputs, outputs: old(self, change(dict(inputs)), outputs),
        )  # fmt: skip

    plant.__name__ = name
    return plant


def another_token(inputs: dict[str, Any]) -> dict[str, Any]:
    return {**inputs, "cls_positions": 0 * inputs["cls_positions"]}


def answers_anywhere(inputs: dict[str, Any]) -> dict[str, Any]:
    return {**inputs, "answer_mask": 0 * inputs["answer_mask"] + 1}


def another_order_of_ends(patch: Patch) -> None:
    """Those of one beginning together."""
    import tensorflow as tf

    from hubexport.networks.beam import BeamQuestionAnswering

    def by_beginning(self: Any, x: Any) -> Any:
        return tf.reshape(x, [-1, self.ends * self.beginnings])

    patch.setattr(BeamQuestionAnswering, "_by_rank", by_beginning)


PLANTED: dict[str, tuple[str, Plant, set[str], str]] = {
    "no languages": (LM, no_languages, {"numerics", "interface"}, "with_input_language_ids"),
    "another usual language": (CAUSAL, another_usual_language, {"numerics"}, "encoder_outputs[0]"),
    "what is made of padding is kept": (LM, padding_is_kept, {"numerics"}, "ragged"),
    "types are words": (LM, types_are_words, {"numerics", "interface"}, "input_type_ids"),
    "the bias of words is lost": (LM, no_bias, {"numerics"}, "mlm_logits"),
    "the mask leaks the future": (CAUSAL, sees_all, {"numerics", "causality"}, "another token at"),
    "padding is seen": (CAUSAL, sees_padding, {"numerics", "batch"}, "left"),
    "positions from the start": (
        CAUSAL, positions_from_the_start, {"numerics", "batch"}, "left",
    ),
    "no answer by another token": (
        BEAM, in_beam("another_token", another_token), {"numerics"}, "cls_logits",
    ),
    "answers anywhere": (
        BEAM, in_beam("answers_anywhere", answers_anywhere), {"numerics"}, "start_top_index",
    ),
    "another order of ends": (BEAM, another_order_of_ends, {"numerics"}, "end_top"),
}  # fmt: skip
"""Fault -> class, what is planted, the gates that are run and fail, and what any of them says."""

ALWAYS = (
    "no languages", "what is made of padding is kept", "padding is seen", "another order of ends",
)  # fmt: skip


@pytest.mark.parametrize("fault", [
    pytest.param(each, marks=[] if each in ALWAYS else pytest.mark.exhaustive) for each in PLANTED
])  # fmt: skip
def test_faults_of_the_network(fault: str, made: Made, tmp_path: Path, monkeypatch: Patch) -> None:
    name, plant, expected, said = PLANTED[fault]
    if "interface" in expected:
        of = made(name)
        with monkeypatch.context() as patch:
            plant(patch)
            hubexport.export_encoder(
                checkpoint=of.checkpoint, export_path=tmp_path / "encoder", **told(name)
            )
        gates = [each for each in ("interface", "numerics", "batch") if each in expected]
        report = validated(tmp_path / "encoder", of.reference, gates)
    else:
        report = made.wrong(name, expected, monkeypatch, plant)
    assert failing(report) == expected
    assert said in "\n".join(failures(report, gate) for gate in expected)


def off_by_one(values: Values) -> None:
    name = "embeddings/position_embeddings"
    values[name] = np.roll(values[name], 1, axis=0)


def languages_exchanged(values: Values) -> None:
    name = "embeddings/language_embeddings"
    values[name] = values[name][::-1].copy()


@pytest.mark.parametrize("change", [off_by_one, languages_exchanged])
def test_wrong_values(change: Callable[[Values], None], made: Made) -> None:
    given = made.exported(LM)
    with changed_values(given.encoder, change):
        report = judged(given, numerics)
    assert failing(report) == {"numerics"}


@pytest.mark.parametrize(("name", "options"), [
    # tanh for erf: 5e-4 apart at most.
    (LM, {"hidden_act": "gelu_tanh"}),
    # As transformers reads a published causal model.
    (CAUSAL, {"causal": False}),
], ids=["another activation", "another direction"])  # fmt: skip
def test_other_options(
    name: str, options: Mapping[str, Any], made: Made, monkeypatch: Patch
) -> None:
    assert failing(made.wrong(name, {"numerics"}, monkeypatch, **options)) == {"numerics"}
