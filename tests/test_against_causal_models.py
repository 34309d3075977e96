"""GPT and GPT-2, every class of transformers: the exported encoder and heads are exact."""

from __future__ import annotations

import functools
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import ConfigurationError, TensorMismatchError
from tests.artifacts import export_encoder
from tests.forks import ROOT
from tests.material import material
from tests.oracles import inputs
from tests.planned import planned, rewritten
from tests.tiers import examples

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from tests.oracles import causal, saving
from tests.oracles.called import Called, assert_near, exported, loaded

SIZES = causal.SIZES
EXAMPLES = (
    ("OpenAIGPTDoubleHeadsModel", "skip"),
    ("GPT2LMHeadModel", "compute"),
    ("GPT2LMHeadModel", "skip"),
    ("OpenAIGPTForSequenceClassification", "compute"),
    ("GPT2ForTokenClassification", "skip"),
)
"""Always: each family, head and padding."""
SAVED = (("GPT2LMHeadModel", "skip"), ("OpenAIGPTForSequenceClassification", "compute"))
"""Exported whole; of the others the functions are called that would be."""
EVERY = [(name, padding) for name in causal.CLASSES for padding in ("compute", "skip")]


OF_BERT_LIKE = ("safetensors", "index buffers", "pytorch_transformers")
"""Ways of saving that write what is in BERT-like models only; and the one compared with."""


def batches() -> dict[str, inputs.Tensors]:
    """Batches of every kind, with positions for a language model."""
    kinds = inputs.kinds(SIZES["vocab_size"], SIZES["n_positions"], SIZES["pad_token_id"])
    return {
        kind: {**batch, "lm_positions": batch["masked_lm_positions"]}
        for kind, batch in kinds.items()
    }


def assert_same(actual: dict[str, Any], expected: dict[str, Any], batch: inputs.Tensors) -> None:
    """Wherever there is a token."""
    is_token = batch["input_mask"] == 1
    at_positions = np.take_along_axis(is_token, batch["lm_positions"], axis=1)
    for name, value in expected.items():
        pairs = zip(actual[name], value, strict=True) if isinstance(value, list) else [
            (actual[name], value)
        ]  # fmt: skip
        for found, wanted in pairs:
            here: Any = slice(None)
            if name == "lm_logits":
                here = at_positions
            elif wanted.shape[:2] == is_token.shape:
                here = is_token
            assert_near(found[here], wanted[here], name)


@pytest.mark.parametrize(("name", "padding"), [
    pytest.param(*each, marks=[] if each in EXAMPLES else pytest.mark.exhaustive) for each in EVERY
])  # fmt: skip
def test_every_class(name: str, padding: str, tmp_path: Path) -> None:
    model = causal.build(name)
    artifact = exported(model, tmp_path, saved=(name, padding) in SAVED, padding=padding)
    record, is_gpt2 = artifact.record, name.startswith("GPT2")
    assert tuple(record["heads"]) == causal.HEADS[causal.CLASSES[name]]
    assert record["family"]["name"] == ("gpt2" if is_gpt2 else "gpt")
    assert record["architecture"]["hidden_act"] == "gelu_tanh"
    assert record["conventions"] == {
        "padding_side": "any", "causal": True, "ignored_inputs": ["input_type_ids"],
        "layer_scale": "residual" if is_gpt2 else "normalized", "dropout_places": 1 + 3 * 3,
        "optional_inputs": {},
    }  # fmt: skip
    assert record["pooler"]["pooled_output"] == "lasttoken"
    for batch in batches().values():
        outputs, expected = artifact(batch), causal.expected_outputs(model, batch)
        mask = batch["input_mask"]
        last = (np.arange(mask.shape[1]) * mask).argmax(axis=1)
        expected["pooled_output"] = expected["sequence_output"][np.arange(len(mask)), last]
        assert_same(outputs, expected, batch)
        if padding == "skip":
            assert not outputs["sequence_output"][mask == 0].any()


@pytest.mark.parametrize(
    "name",
    examples(("OpenAIGPTDoubleHeadsModel", "GPT2DoubleHeadsModel"), ("GPT2DoubleHeadsModel",)),
)
def test_double_heads(name: str, tmp_path: Path) -> None:
    """[B, C, S] as transformers takes it."""
    model = causal.build(name)
    artifact = exported(model, tmp_path)
    generator, (rows, choices, length) = np.random.default_rng(0), (2, 3, 7)
    batch = {
        "input_word_ids": generator.integers(0, 50, (rows, choices, length)),
        "input_mask": np.ones((rows, choices, length), int),
        "input_type_ids": np.zeros((rows, choices, length), int),
        "lm_positions": generator.integers(0, length, (rows, choices, 2)),
        "mc_positions": generator.integers(0, length, (rows, choices)),
    }
    batch = {key: value.astype(np.int32) for key, value in batch.items()}
    outputs = artifact.root.double_heads(artifact.tensors(batch, "lm_positions", "mc_positions"))
    with torch.no_grad():
        given = {key: torch.from_numpy(value).long() for key, value in batch.items()}
        wanted = model(
            input_ids=given["input_word_ids"], attention_mask=None,
            mc_token_ids=given["mc_positions"], return_dict=True,
        )  # fmt: skip
    logits = np.take_along_axis(
        wanted.logits.numpy(), batch["lm_positions"][..., np.newaxis], axis=2
    )
    assert_near(outputs["lm_logits"].numpy(), logits, "lm_logits")
    assert_near(outputs["mc_logits"].numpy(), wanted.mc_logits.numpy(), "mc_logits")


Models = Callable[[str], tuple[Any, Called]]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Gives a language model of transformers, and its artifact."""

    @functools.cache
    def make(name: str) -> tuple[Any, Called]:
        model = causal.build(name)
        return model, exported(model, tmp_path_factory.mktemp("lm"))

    return make


@pytest.mark.parametrize("name", ["OpenAIGPTLMHeadModel", "GPT2LMHeadModel"])
def test_generation(name: str, lm: Models) -> None:
    """Step by step, what transformers generates greedily, for texts padded on the left."""
    import tensorflow as tf

    model, artifact = lm(name)
    generator = np.random.default_rng(1)
    ids = generator.integers(4, 50, (3, 5)).astype(np.int32)
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]], np.int32)
    wanted = model.generate(
        torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).long(),
        do_sample=False, max_new_tokens=6, min_new_tokens=6,
        use_cache=name.startswith("GPT2"),
    ).numpy()[:, 5:]  # fmt: skip
    if not name.startswith("GPT2"):  # whose own generation counts padding's positions
        wanted = greedily(model, ids, mask, 6)
    given, found = {"input_word_ids": tf.constant(ids), "input_mask": tf.constant(mask)}, []
    banned = model.config.eos_token_id  # as min_new_tokens has it
    for _ in range(6):
        outputs = artifact.root.lm.step(given)
        logits = outputs["lm_logits"].numpy()
        logits[:, banned] = -np.inf
        found.append(logits.argmax(axis=1).astype(np.int32))
        mask = np.pad(mask, [(0, 0), (0, 1)], constant_values=1)
        given = {
            "input_word_ids": tf.constant(found[-1][:, np.newaxis]),
            "input_mask": tf.constant(mask),
            "past": outputs["past"],
        }
    np.testing.assert_array_equal(np.stack(found, axis=1), wanted)
    assert outputs["past"].shape == (3, 2, 3, 2, 10, 8)


def greedily(model: Any, ids: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """All tokens again for each new one, positions counted from the first."""
    for _ in range(count):
        batch = {"input_word_ids": ids, "input_mask": mask}
        with torch.no_grad():
            logits = model(**causal.arguments(batch), return_dict=True).logits[:, -1].numpy()
        logits[:, model.config.eos_token_id] = -np.inf
        ids = np.concatenate([ids, logits.argmax(axis=1)[:, np.newaxis]], axis=1)
        mask = np.pad(mask, [(0, 0), (0, 1)], constant_values=1)
    return ids[:, -count:]


def test_a_trained_model(tmp_path: Path) -> None:
    """Weights that are not random, of a GPT-2 of four layers."""
    checkpoint = material("checkpoints/hf_gpt_capp")
    export_encoder(checkpoint=checkpoint, export_path=tmp_path / "out")
    artifact = loaded(tmp_path / "out")
    model = transformers.GPT2LMHeadModel.from_pretrained(checkpoint, attn_implementation="eager")
    kinds = inputs.kinds(model.config.vocab_size, 60, 0)
    for batch in kinds.values():
        batch["lm_positions"] = batch["masked_lm_positions"]
        assert_same(artifact(batch), causal.expected_outputs(model.eval(), batch), batch)


def example() -> Any:
    """examples/generate.py."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "generate.py")))


def test_the_example(lm: Models) -> None:
    """Greedily, what transformers writes for texts of different lengths; else one of the best."""
    model, artifact = lm("GPT2LMHeadModel")
    generate, texts = example(), [[7, 8, 9, 10], [11, 12], [13]]
    language_model = artifact.root.lm
    written = generate.generate(language_model, texts, 6, generate.likeliest)
    for text, found in zip(texts, written, strict=True):
        ids = torch.tensor([text])
        wanted = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6,
            eos_token_id=None,
        )  # fmt: skip
        assert found == wanted[0, len(text) :].tolist()
    drawn = [
        generate.generate(language_model, texts, 6, generate.top_k(3, seed)) for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2] != written
    batch = {"input_word_ids": np.array([texts[0] + drawn[2][0]], np.int32)}
    batch["input_mask"] = np.ones_like(batch["input_word_ids"])
    with torch.no_grad():
        logits = model(**causal.arguments(batch), return_dict=True).logits[0].numpy()
    for place, token in enumerate(drawn[2][0], len(texts[0]) - 1):
        assert token in np.argsort(logits[place])[-3:]


def test_the_example_as_a_program(tmp_path: Path) -> None:
    """Texts in, texts out, with a tokenizer's files in either form."""
    causal.build("GPT2LMHeadModel", vocab_size=300).save_pretrained(tmp_path / "model")
    export_encoder(checkpoint=tmp_path / "model", export_path=tmp_path / "out")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["Once upon a time there was a time."], 300)
    (tmp_path / "files").mkdir()
    trained.save_model(str(tmp_path / "files"))
    (tmp_path / "one").mkdir()
    trained.save(str(tmp_path / "one" / "tokenizer.json"))
    one, other = (example().read_tokenizer(tmp_path / form) for form in ("files", "one"))
    for text in ("Once", "a time"):
        assert one.encode(text).ids == other.encode(text).ids
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "generate.py"), "--tokens=4",
         f"--encoder={tmp_path / 'out'}", f"--tokenizer={tmp_path / 'one'}", "Once", "a time"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert said[0].startswith("Once") and len(said[0]) > len("Once")


def test_scores_are_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of rows is that fit at a time; gradients go through."""
    import tensorflow as tf

    from hubexport.networks import heads

    monkeypatch.setattr(heads, "SCORES_AT_ONCE", 50 * 4)
    model = causal.build("GPT2LMHeadModel")
    artifact = exported(model, tmp_path, saved=False)
    for batch in batches().values():
        expected = causal.expected_outputs(model, batch)
        with tf.GradientTape() as tape:
            scores = artifact.root.lm.score(artifact.tensors(batch))
            loss = tf.reduce_sum(scores["sequence_log_probs"])
        for name in ("token_log_probs", "sequence_log_probs"):
            assert_near(scores[name].numpy(), expected[name], name)
        table = artifact.root.lm.trainable_variables[0]
        gradient = tape.gradient(loss, table)
        follows = (batch["input_mask"][:, 1:] * batch["input_mask"][:, :-1]).any()
        assert bool(tf.reduce_any(tf.convert_to_tensor(gradient) != 0)) == bool(follows)


VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "inner size": ("GPT2LMHeadModel", {"n_inner": 24}),
    "scores of every layer scaled": (
        "GPT2LMHeadModel", {"scale_attn_by_inverse_layer_idx": True},
    ),
    "scores not scaled": ("GPT2LMHeadModel", {"scale_attn_weights": False}),
    "gelu of GPT-2": ("GPT2LMHeadModel", {"activation_function": "gelu"}),
    "relu of GPT-2": ("GPT2LMHeadModel", {"activation_function": "relu"}),
    "relu of GPT": ("OpenAIGPTLMHeadModel", {"afn": "relu"}),
    "epsilon": ("OpenAIGPTLMHeadModel", {"layer_norm_epsilon": 1e-2}),
}  # fmt: skip


@pytest.mark.parametrize(
    "variant", examples(VARIANTS, ("scores of every layer scaled", "gelu of GPT-2", "relu of GPT"))
)
def test_variants(variant: str, tmp_path: Path) -> None:
    name, config = VARIANTS[variant]
    model = causal.build(name, **config)
    artifact = exported(model, tmp_path, saved=False)
    batch = batches()["random padding"]
    assert_same(artifact(batch), causal.expected_outputs(model, batch), batch)


def test_dropout_of_embeddings(tmp_path: Path) -> None:
    """It has a rate of its own in configurations, which is kept where it is another."""
    rates = {"embd_pdrop": 0.0, "resid_pdrop": 0.2, "attn_pdrop": 0.3}
    checkpoint = rewritten(causal.build("GPT2Model"), tmp_path / "model", config=rates)
    record, _ = planned(checkpoint)
    architecture = record["architecture"]
    assert architecture["embedding_dropout_prob"] == 0
    assert architecture["hidden_dropout_prob"] == 0.2
    assert architecture["attention_probs_dropout_prob"] == 0.3
    assert record["conventions"]["dropout_places"] == 3 * 3


@pytest.mark.parametrize(
    "saver", [each for each in saving.SAVERS_OF_ALL if each not in OF_BERT_LIKE]
)
@pytest.mark.parametrize("name", ["OpenAIGPTDoubleHeadsModel", "GPT2LMHeadModel", "GPT2Model"])
def test_formats(name: str, saver: str, tmp_path: Path) -> None:
    """The same values for the same variables, whatever they are read from."""
    model = causal.build(name)
    plans = []
    for each in ("safetensors", saver):
        (tmp_path / each).mkdir(exist_ok=True)
        plans.append(planned(saving.SAVERS[each](model, tmp_path / each)))
    (record, values), (other, other_values) = plans
    assert other_values == values
    for part in ("architecture", "heads", "pooler", "conventions"):
        assert other[part] == record[part]


@pytest.mark.parametrize("leaves", ["weight and bias", "g, b and w"])
def test_pytorch_pretrained_bert(leaves: str, tmp_path: Path) -> None:
    """Its archives: rows of special tokens counted apart, other names of heads and of leaves."""
    model = causal.build("OpenAIGPTDoubleHeadsModel")
    (tmp_path / "new").mkdir()
    _, values = planned(saving.save_safetensors(model, tmp_path / "new"))
    state = {}
    for name, value in saving.state_of(model).items():
        name = name.replace("lm_head.", "lm_head.decoder.").replace(".summary.", ".linear.")
        if leaves != "weight and bias" and name.startswith("transformer.h."):
            norm = re.search(r"\.ln_\d\.weight$", name)
            name = re.sub(r"\.weight$", ".g" if norm else ".w", name)
            name = re.sub(r"\.bias$", ".b", name)
        state[name] = value
    for i in range(SIZES["n_layer"]):
        state[f"transformer.h.{i}.attn.bias"] = torch.ones(1, 1, 12, 12)
    directory = tmp_path / "old"
    directory.mkdir()
    torch.save(state, directory / "pytorch_model.bin")
    config = {
        "vocab_size_or_config_json_file": 47, "n_special": 3, "n_positions": 12, "n_ctx": 12,
        "n_embd": 16, "n_layer": 3, "n_head": 2, "afn": "gelu", "resid_pdrop": 0.1,
        "embd_pdrop": 0.1, "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    record, old = planned(directory)
    assert old == values
    assert record["family"]["evidence"] == "no model_type, but a tensor *tokens_embed.weight"
    assert tuple(record["heads"]) == ("lm", "double_heads")
    masks = {f"transformer.h.{i}.attn.bias" for i in range(SIZES["n_layer"])}
    assert set(record["skipped_tensors"]["masks of attention"]) == masks


class TestRefusals:
    @pytest.mark.parametrize(("key", "value"), [
        ("tie_word_embeddings", False), ("add_cross_attention", True),
    ])  # fmt: skip
    def test_other_networks(self, key: str, value: Any, tmp_path: Path) -> None:
        checkpoint = rewritten(causal.build("GPT2Model"), tmp_path / "model", config={key: value})
        with pytest.raises(ConfigurationError, match=f"asks for {key}"):
            planned(checkpoint)

    def test_an_output_layer_of_its_own(self, tmp_path: Path) -> None:
        model = causal.build("GPT2LMHeadModel")
        other = {"lm_head.weight": torch.ones(50, 16)}
        checkpoint = rewritten(model, tmp_path / "model", tensors=other)
        with pytest.raises(TensorMismatchError, match="not the same as the tensor") as caught:
            planned(checkpoint)
        assert "lm_head.weight" in str(caught.value)

    @pytest.mark.parametrize(("key", "value"), [
        ("summary_type", "mean"), ("summary_activation", "tanh"), ("summary_use_proj", False),
    ])  # fmt: skip
    def test_other_summaries(self, key: str, value: Any, tmp_path: Path) -> None:
        model = causal.build("GPT2DoubleHeadsModel")
        checkpoint = rewritten(model, tmp_path / "model", config={key: value})
        with pytest.raises(ConfigurationError, match=key):
            planned(checkpoint)
        record, _ = planned(checkpoint, heads="lm")
        assert tuple(record["heads"]) == ("lm",)


def test_fewer_positions(tmp_path: Path) -> None:
    checkpoint = rewritten(causal.build("GPT2Model"), tmp_path / "model")
    record, values = planned(checkpoint, max_position_embeddings=5)
    assert record["architecture"]["max_position_embeddings"] == 5
    assert len(values["embeddings/position_embeddings"]) == 5 * 16 * 4


def test_no_language_model_of_a_classifier(tmp_path: Path) -> None:
    """Its encoder was trained for other things since; asked for, there is none."""
    checkpoint = rewritten(causal.build("GPT2ForSequenceClassification"), tmp_path / "model")
    with pytest.raises(hubexport.HubexportError, match="the checkpoint has no head lm"):
        planned(checkpoint, heads="lm")
