"""XLM, every class of transformers: the exported encoder and heads are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import (
    ConfigurationError,
    TensorMismatchError,
    UnsafeCheckpointError,
    UsageError,
)
from tests.oracles import inputs
from tests.planned import planned, rewritten

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch

from tests.oracles import saving, xlm
from tests.oracles.called import assert_near, exported

EVERY = [
    *((name, padding, False) for name in xlm.HEADS for padding in ("compute", "skip")),
    *(
        (name, padding, True)
        for name in ("XLMWithLMHeadModel", "XLMForSequenceClassification")
        for padding in ("compute", "skip")
    ),
]
"""Class, padding, whether it is causal."""
EXAMPLES = (
    ("XLMWithLMHeadModel", "compute", False),
    ("XLMForMultipleChoice", "skip", False),
    ("XLMWithLMHeadModel", "skip", True),
)
SAVED = EXAMPLES[:1]
"""Exported whole; of the others the functions are called that would be."""


def batches() -> dict[str, inputs.Tensors]:
    """Batches of every kind, with what any head takes; each with languages and without."""
    sizes = xlm.SIZES
    kinds = inputs.kinds(sizes["vocab_size"], sizes["max_position_embeddings"], 2)
    generator = np.random.default_rng(3)
    found = {}
    for kind, batch in kinds.items():
        shape = batch["input_mask"].shape
        answer = generator.integers(0, 4, shape) > 0
        answer[np.arange(len(answer)), batch["input_mask"].argmax(axis=1)] = True
        found[kind] = {
            **batch,
            "lm_positions": batch["masked_lm_positions"],
            "answer_mask": answer.astype(np.int32),
            "cls_positions": batch["masked_lm_positions"][:, 0],
        }
        languages = generator.integers(0, sizes["n_langs"], shape).astype(np.int32)
        found[f"{kind}, with languages"] = {**found[kind], "input_language_ids": languages}
    return found


def assert_same(
    actual: dict[str, Any], expected: dict[str, Any], batch: inputs.Tensors, padding: str
) -> None:
    """At padding, too: 0 in either; what heads say of it only where it is computed."""
    is_token = batch["input_mask"] == 1
    at_positions = np.take_along_axis(is_token, batch["masked_lm_positions"], axis=1)
    for name, value in expected.items():
        if name in ("end_top_index", "start_top_index", "end_top_probs"):
            continue
        pairs = zip(actual[name], value, strict=True) if isinstance(value, list) else [
            (actual[name], value)
        ]  # fmt: skip
        for found, wanted in pairs:
            here: Any = slice(None)
            if name in ("lm_logits", "mlm_logits"):
                here = at_positions
            elif padding == "skip" and wanted.shape[:2] == is_token.shape:
                here = is_token
            assert_near(found[here], wanted[here], name)
    if "start_top_index" in expected:
        assert_same_answers(actual, expected)


def assert_same_answers(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    """Places where they have a probability, and the ends of beginnings that have one."""
    possible = expected["start_top_probs"] > 1e-6  # [B, T]
    for kind, where in (
        ("start", possible),
        ("end", np.tile(possible, 2) & (expected["end_top_probs"] > 1e-6)),
    ):
        probs, index = f"{kind}_top_probs", f"{kind}_top_index"
        assert actual[index].dtype == np.int32
        np.testing.assert_array_equal(actual[index][where], expected[index][where])
        assert_near(actual[probs][where], expected[probs][where], probs)


@pytest.mark.parametrize(("name", "padding", "causal"), [
    pytest.param(*each, marks=[] if each in EXAMPLES else pytest.mark.exhaustive) for each in EVERY
])  # fmt: skip
def test_every_class(name: str, padding: str, causal: bool, tmp_path: Path) -> None:
    """Every layer and head, with languages and without, for every kind of padding."""
    model = xlm.build(name, causal=causal)
    saved = (name, padding, causal) in SAVED
    artifact = exported(model, tmp_path, saved=saved, padding=padding)
    record = artifact.record
    head = "lm" if causal and xlm.HEADS[name] == "mlm" else xlm.HEADS[name]
    assert tuple(record["heads"]) == ((head,) if head else ())
    conventions = record["conventions"]
    assert conventions.pop("optional_inputs")["input_language_ids"]["limit"] == 3
    assert conventions == {
        "padding_side": "any" if causal else "right", "causal": causal,
        "ignored_inputs": ["input_type_ids"], "layer_scale": "normalized",
        "dropout_places": 1 + 3 * 3, "languages": xlm.LANGUAGES,
    }  # fmt: skip
    for batch in batches().values():
        outputs = artifact(batch)
        assert_same(outputs, xlm.expected_outputs(model, batch), batch, padding)
        for layer in outputs["encoder_outputs"]:
            assert not layer[batch["input_mask"] == 0].any()


LM = "XLMWithLMHeadModel"


class TestLanguages:
    def test_a_usual_one(self, tmp_path: Path) -> None:
        """It is added where none is given, and gives way to those that are."""
        model = xlm.build(LM)
        artifact = exported(model, tmp_path, saved=False, language="fr")
        batch = batches()["random padding"]
        assert artifact.record["architecture"]["language"] == "fr"
        assert artifact.record["architecture"]["language_id"] == 2
        assert not artifact.record["warnings"]
        french = np.full_like(batch["input_word_ids"], 2)
        expected = xlm.expected_outputs(model, {**batch, "input_language_ids": french})
        assert_same(artifact(batch), expected, batch, "compute")
        other = {**batch, "input_language_ids": np.ones_like(french)}
        assert_same(artifact(other), xlm.expected_outputs(model, other), other, "compute")

    def test_none(self, tmp_path: Path) -> None:
        """Neither asked for nor given: as transformers has it, and a warning."""
        record, _ = planned(rewritten(xlm.build(LM), tmp_path / "model"))
        assert record["architecture"]["language"] is None
        assert any("--language to add one" in warning for warning in record["warnings"])

    def test_unknown(self, tmp_path: Path) -> None:
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model")
        with pytest.raises(UsageError, match="the model has no language 'it'") as caught:
            planned(checkpoint, language="it")
        assert "languages: de, en, fr" in str(caught.value)

    @pytest.mark.parametrize("config", [{"n_langs": 1}, {"use_lang_emb": False}])
    def test_models_without(self, config: dict[str, Any], tmp_path: Path) -> None:
        model = xlm.build(LM, **config, lang2id=None, id2lang=None)
        record, values = planned(rewritten(model, tmp_path / "model"))
        assert "embeddings/language_embeddings" not in values
        assert record["conventions"]["optional_inputs"] == {}
        assert "languages" not in record["conventions"] and not record["warnings"]
        with pytest.raises(UsageError, match="flags about a tokenizer") as caught:
            planned(tmp_path / "model", language="en")
        assert "--language: en" in str(caught.value)

    @pytest.mark.parametrize(("config", "said"), [
        ({"lang2id": {"en": 0, "de": 3}, "id2lang": None}, "numbers from 0 to 2"),
        ({"lang2id": {"en": 0, "de": 0}, "id2lang": None}, "each of one name"),
        ({"lang2id": {"en": 0, "de": 1, "fr": 2}}, "the same languages in both"),
        ({"lang2id": ["en"]}, "names and numbers"),
    ])  # fmt: skip
    def test_that_cannot_be(self, config: dict[str, Any], said: str, tmp_path: Path) -> None:
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model", config=config)
        with pytest.raises(ConfigurationError, match="languages cannot be used") as caught:
            planned(checkpoint)
        assert said in str(caught.value)

    def test_names_by_number_alone(self, tmp_path: Path) -> None:
        """JSON has strings for keys."""
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model", config={"lang2id": None})
        record, _ = planned(checkpoint)
        assert record["conventions"]["languages"] == xlm.LANGUAGES


class TestDirection:
    def test_as_asked_for(self, tmp_path: Path) -> None:
        """Published causal models do not say what they are."""
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model", config={"causal": None})
        record, values = planned(checkpoint)
        assert tuple(record["heads"]) == ("mlm",) and not record["conventions"]["causal"]
        assert any("xlm-clm-*, need --causal" in each for each in record["warnings"])
        other, other_values = planned(checkpoint, causal=True)
        assert tuple(other["heads"]) == ("lm",) and other["conventions"]["causal"]
        assert not any("--causal" in each for each in other["warnings"])
        assert other_values == values
        told, _ = planned(checkpoint, causal=False)
        assert not any("--causal" in each for each in told["warnings"])

    @pytest.mark.parametrize(("steps", "causal"), [
        ({"clm_steps": [["en", None]], "mlm_steps": []}, True),
        ({"clm_steps": "", "mlm_steps": "en,fr"}, False),
    ])  # fmt: skip
    def test_as_it_was_trained(self, steps: dict[str, Any], causal: bool, tmp_path: Path) -> None:
        config = {"causal": None, **steps}
        record, _ = planned(rewritten(xlm.build(LM), tmp_path / "model", config=config))
        assert record["conventions"]["causal"] == causal
        assert not any("--causal" in each for each in record["warnings"])

    def test_other_families(self, tmp_path: Path) -> None:
        from tests import tiny

        with pytest.raises(UsageError, match="'bert' read in both directions"):
            planned(tiny.write_checkpoint(tmp_path), causal=True)


class TestOriginal:
    """Files of facebookresearch/XLM."""

    @pytest.mark.parametrize("zipped", [False, True])
    @pytest.mark.parametrize("several", [False, True])
    def test_same_values(self, several: bool, zipped: bool, tmp_path: Path) -> None:
        model = xlm.build(LM)
        wanted, values = planned(rewritten(model, tmp_path / "model"))
        path = tmp_path / "model.pth"
        xlm.save_original(model, path, several=several, zipped=zipped)
        record, found = planned(path)
        assert found == values
        assert record["architecture"] == wanted["architecture"]
        assert record["conventions"] == wanted["conventions"]
        assert record["heads"] == wanted["heads"]
        assert record["checkpoint"]["layout"] == "xlm_original"
        assert record["configuration"] is None
        assert not any("--causal" in each for each in record["warnings"])

    def test_what_it_was_trained_for(self, tmp_path: Path) -> None:
        steps = {"clm_steps": [("en", None)], "mlm_steps": []}
        path = xlm.save_original(xlm.build(LM), tmp_path / "model.pth", **steps)
        assert planned(path)[0]["conventions"]["causal"]

    def test_without_the_number_of_words(self, tmp_path: Path) -> None:
        path = xlm.save_original(xlm.build(LM), tmp_path / "model.pth", n_words=None)
        assert planned(path)[0]["architecture"]["vocab_size"] == 50

    def test_epsilon_is_in_the_program(self, tmp_path: Path) -> None:
        path = xlm.save_original(xlm.build(LM), tmp_path / "model.pth", layer_norm_eps=1e-3)
        assert planned(path)[0]["architecture"]["layer_norm_eps"] == 1e-12

    @pytest.mark.parametrize("params", [
        {"asm": True}, {"use_memory": True}, {"encoder_only": False},
    ])  # fmt: skip
    def test_other_networks(self, params: dict[str, Any], tmp_path: Path) -> None:
        path = xlm.save_original(xlm.build(LM), tmp_path / "model.pth", **params)
        with pytest.raises(ConfigurationError, match=f"asks for {next(iter(params))}"):
            planned(path)

    @pytest.mark.exhaustive
    def test_validated(self, tmp_path: Path) -> None:
        """Every gate, against transformers, by what is said of the model beside its file."""
        path = xlm.save_original(xlm.build(LM), tmp_path / "model.pth", mlm_steps=[])
        record = hubexport.export_encoder(
            checkpoint=path, export_path=tmp_path / "out", causal=True, language="de", validate=True
        )
        assert tuple(record["heads"]) == ("lm",)
        (validation,) = record["validation"]
        assert {gate["status"] for gate in validation["gates"]} <= {"passed", "not run"}
        # That is what publishing asks for.
        (published,) = hubexport.publish(
            saved_model=tmp_path / "out", handle="example/xlm/next", to=[tmp_path / "hub"]
        )
        assert published.manifest.validated
        assert not hubexport.verify(source=published.where).problems

    def test_bombs(self, tmp_path: Path) -> None:
        deep: Any = []
        for _ in range(100):
            deep = [deep]
        path = xlm.save_original(xlm.build(LM), tmp_path / "model.pth", deep=deep)
        with pytest.raises(UnsafeCheckpointError, match="params with values nested"):
            planned(path)


class TestReferences:
    @pytest.mark.parametrize(("asked", "said"), [
        ({"language": "en"}, "the model has no languages"),
        ({"causal": True}, "read in both directions"),
    ])  # fmt: skip
    def test_of_models_that_are_not_so(
        self, asked: dict[str, Any], said: str, tmp_path: Path
    ) -> None:
        from tests.oracles import hugging_face

        hugging_face.build("BertModel").save_pretrained(tmp_path / "model")
        with pytest.raises(UsageError, match=said):
            hubexport.make_reference(
                source="transformers", checkpoint=tmp_path / "model", output=tmp_path / "reference",
                **asked,
            )  # fmt: skip

    def test_arguments_of_others(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="do not go together") as caught:
            hubexport.make_reference(
                source="model_garden", checkpoint=tmp_path, output=tmp_path / "reference",
                causal=True, language="en",
            )  # fmt: skip
        assert "--causal, --language" in str(caught.value)


class TestOtherFiles:
    @pytest.mark.parametrize("name", [LM, "XLMModel", "XLMForMultipleChoice"])
    def test_pickles(self, name: str, tmp_path: Path) -> None:
        """Tied tensors are kept twice there."""
        model = xlm.build(name)
        _, values = planned(rewritten(model, tmp_path / "model"))
        (tmp_path / "bin").mkdir()
        assert planned(saving.save_bin(model, tmp_path / "bin"))[1] == values

    def test_of_2019(self, tmp_path: Path) -> None:
        """No `model_type`, and keys that were renamed since."""
        old = {
            "model_type": None, "vocab_size": None, "n_words": 50, "pad_token_id": None,
            "pad_index": 2, "causal": None,
        }  # fmt: skip
        record, values = planned(rewritten(xlm.build(LM), tmp_path / "old", config=old))
        assert "no model_type, but the keys emb_dim, n_words" in record["family"]["evidence"]
        assert values == planned(rewritten(xlm.build(LM), tmp_path / "new"))[1]

    def test_the_copy_of_the_words_alone(self, tmp_path: Path) -> None:
        """Files of safetensors hold one name of two."""
        checkpoint = rewritten(
            xlm.build(LM), tmp_path / "model", without=["transformer.embeddings.weight"]
        )
        assert planned(checkpoint)[1] == planned(rewritten(xlm.build(LM), tmp_path / "both"))[1]

    def test_fewer_positions(self, tmp_path: Path) -> None:
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model")
        _, values = planned(checkpoint, max_position_embeddings=5)
        assert len(values["embeddings/position_embeddings"]) == 5 * 16 * 4


class TestRefusals:
    @pytest.mark.parametrize(("key", "value"), [
        ("asm", True), ("is_encoder", False), ("pruned_heads", {"0": [1]}), ("pre_norm", True),
    ])  # fmt: skip
    def test_other_networks(self, key: str, value: Any, tmp_path: Path) -> None:
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model", config={key: value})
        with pytest.raises(ConfigurationError, match=f"asks for {key}"):
            planned(checkpoint)

    @pytest.mark.parametrize(("name", "what"), [
        ("transformer.encoder_attn.0.q_lin.weight", "a decoder's attention"),
        ("transformer.layer_norm15.0.bias", "a decoder's attention"),
        ("transformer.memories.2_in.values.weight", "layers with memories"),
        ("pred_layer.proj.head.weight", "an adaptive softmax"),
    ])  # fmt: skip
    def test_other_tensors(self, name: str, what: str, tmp_path: Path) -> None:
        tensors = {name: torch.ones(2)}
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model", tensors=tensors)
        with pytest.raises(ConfigurationError, match=f"the model has {what}") as caught:
            planned(checkpoint)
        assert name in str(caught.value)

    def test_an_output_layer_of_its_own(self, tmp_path: Path) -> None:
        other = {"pred_layer.proj.weight": torch.ones(50, 16)}
        checkpoint = rewritten(xlm.build(LM), tmp_path / "model", tensors=other)
        with pytest.raises(TensorMismatchError, match=r"pred_layer\.proj\.weight"):
            planned(checkpoint)
        assert not planned(checkpoint, heads="none")[0]["heads"]

    @pytest.mark.parametrize(("key", "value"), [
        ("summary_type", "mean"), ("summary_activation", "tanh"), ("summary_proj_to_labels", False),
    ])  # fmt: skip
    def test_other_summaries(self, key: str, value: Any, tmp_path: Path) -> None:
        model = xlm.build("XLMForSequenceClassification")
        checkpoint = rewritten(model, tmp_path / "model", config={key: value})
        with pytest.raises(ConfigurationError, match=key):
            planned(checkpoint)


def test_relu(tmp_path: Path) -> None:
    checkpoint = rewritten(xlm.build(LM, gelu_activation=False), tmp_path / "model")
    assert planned(checkpoint)[0]["architecture"]["hidden_act"] == "relu"
