"""XLNet, every class of transformers, with a memory and without: the exported encoder and heads are
exact; and zihangdai/xlnet's own checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import ConfigurationError, TensorMismatchError
from tests.artifacts import export_encoder
from tests.material import material
from tests.oracles import inputs
from tests.planned import planned, rewritten
from tests.tiers import examples

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch

from tests.oracles import saving, xlnet
from tests.oracles.called import Called, assert_near, exported, loaded, unsaved

SIZES = xlnet.SIZES
L, H = SIZES["n_layer"], SIZES["d_model"]
EVERY = [(name, padding) for name in xlnet.HEADS for padding in ("compute", "skip")]
EXAMPLES = (("XLNetLMHeadModel", "compute"), ("XLNetLMHeadModel", "skip"))
"""Always: what all classes have, and both streams; heads have the networks of other families'."""
SAVED = EXAMPLES[1:]
"""Exported whole; of the others the functions are called that would be."""


def batches() -> dict[str, inputs.Tensors]:
    """Batches of every kind, with tokens to guess; some of them go on from a memory."""
    kinds = inputs.kinds(SIZES["vocab_size"], 12, SIZES["pad_token_id"], type_vocab_size=4)
    generator = np.random.default_rng(3)
    for kind, batch in kinds.items():
        rows, length = batch["input_mask"].shape
        positions = batch.pop("masked_lm_positions")
        guessed = (positions[:, :, np.newaxis] == np.arange(length)).astype(np.int32)
        hidden = generator.integers(0, 2, (rows, length, length)).astype(np.int32)
        hidden[:, :, 0] = 0  # so that there always is something to see
        if kind == "padded left":
            hidden[:] = 0
        batch |= {"target_mapping": guessed, "perm_mask": hidden}
        answer = np.tile(np.arange(length) % 4 != 2, (rows, 1))
        batch |= {
            "answer_mask": answer.astype(np.int32),
            "cls_positions": generator.integers(0, length, rows).astype(np.int32),
        }
        if kind in ("padded left", "full length"):
            batch["mems"] = generator.standard_normal((rows, L, 5, H)).astype(np.float32)
    return kinds


def compare(artifact: Called, model: Any, batch: inputs.Tensors) -> dict[str, Any]:
    """Wherever there is a token; what the encoder gives."""
    is_token = batch["input_mask"] == 1
    expected = xlnet.expected_outputs(model, batch)
    outputs = artifact(batch)
    for name, value in expected.items():
        for found, wanted in (
            zip(outputs[name], value, strict=True) if isinstance(value, list) else
            [(outputs[name], value)]
        ):  # fmt: skip
            here = is_token if wanted.shape[:2] == is_token.shape else slice(None)
            if name == "new_mems":  # of the new steps those of tokens
                before = batch["mems"].shape[2]
                tokens = np.pad(is_token, [(0, 0), (before, 0)], constant_values=True)
                found, wanted = (np.moveaxis(each, 1, 2)[tokens] for each in (found, wanted))
                assert_near(found, wanted, name)
                continue
            assert_near(found[here], wanted[here], name)
    return outputs


@pytest.mark.parametrize(("name", "padding"), [
    pytest.param(*each, marks=[] if each in EXAMPLES else pytest.mark.exhaustive) for each in EVERY
])  # fmt: skip
def test_every_class(name: str, padding: str, tmp_path: Path) -> None:
    model = xlnet.build(name)
    artifact = exported(model, tmp_path, saved=(name, padding) in SAVED, padding=padding)
    record = artifact.record
    assert tuple(record["heads"]) == xlnet.HEADS[name]
    assert record["family"]["name"] == "xlnet"
    assert record["architecture"]["hidden_act"] == "gelu_erf"
    assert record["pooler"]["pooled_output"] == "lasttoken"
    for batch in batches().values():
        outputs = compare(artifact, model, batch)
        if padding == "skip":
            assert not outputs["sequence_output"][batch["input_mask"] == 0].any()


def test_segment_by_segment(tmp_path: Path) -> None:
    """A memory of no steps is none; after it, segments go on where the ones before ended."""
    model = xlnet.build("XLNetModel")
    artifact = exported(model, tmp_path)
    generator = np.random.default_rng(5)
    memory = np.zeros((2, L, 0, H), np.float32)
    of_model = None
    for length in (4, 6, 1):
        batch: inputs.Tensors = {
            "input_word_ids": generator.integers(0, 50, (2, length)).astype(np.int32),
            "input_mask": np.ones((2, length), np.int32),
            "input_type_ids": np.zeros((2, length), np.int32),
        }
        outputs = artifact({**batch, "mems": memory})
        with torch.no_grad():
            wanted = model(**{**xlnet.arguments(batch), "mems": of_model}, use_mems=True)
        of_model, memory = wanted.mems, outputs["new_mems"]
        assert_near(outputs["sequence_output"], wanted.last_hidden_state.numpy(), "last")
        if length == 4:
            alone = artifact(batch)
            assert "new_mems" not in alone
            assert_near(outputs["pooled_output"], alone["pooled_output"], "none")
    assert memory.shape == (2, L, 11, H)


@pytest.mark.exhaustive
@pytest.mark.parametrize("padding", ["compute", "skip"])
def test_compiled(padding: str, tmp_path: Path) -> None:
    """By XLA, with a memory, both streams and gradients: the same, whatever is skipped."""
    import tensorflow as tf

    artifact = exported(xlnet.build("XLNetLMHeadModel"), tmp_path, padding=padding)
    batch = batches()["padded left"]
    for function, output, names in (
        (artifact.root, "sequence_output", ()),
        (artifact.root.lm, "lm_logits", ("perm_mask", "target_mapping")),
    ):
        given = artifact.tensors(batch, *names)
        kernels = [each for each in function.trainable_variables if "kernel" in each.name]

        def run(given: Any, call: Any = function, key: str = output, of: Any = kernels) -> Any:
            with tf.GradientTape() as tape:
                value = call(given)[key]
                loss = tf.reduce_sum(tf.square(value))
            return [value, *tape.gradient(loss, of)]

        plain, by_xla = (tf.function(run, jit_compile=each)(given) for each in (False, True))
        for wanted, found in zip(plain, by_xla, strict=True):
            assert_near(found.numpy(), wanted.numpy(), output)


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "clamped distances": {"clamp_len": 3},
    "a memory of some steps": {"mem_len": 4},
    "gelu of the release": {"ff_activation": "gelu_new"},
    "relu": {"ff_activation": "relu"},
    "epsilon": {"layer_norm_eps": 1e-2},
}


@pytest.mark.parametrize(
    "variant", examples(VARIANTS, ("clamped distances", "a memory of some steps"))
)
def test_variants(variant: str, tmp_path: Path) -> None:
    model = xlnet.build("XLNetModel", **VARIANTS[variant])
    artifact = exported(model, tmp_path, saved=False)
    batch = batches()["full length"]
    if variant == "a memory of some steps":
        expected = xlnet.expected_outputs(model, batch)["new_mems"]
        assert_near(artifact(batch)["new_mems"], expected, "new_mems")
        assert expected.shape[2] == 4
    else:
        compare(artifact, model, batch)


def test_from_left_to_right(tmp_path: Path) -> None:
    """`attn_type: uni`; transformers knows no mask then."""
    model = xlnet.build("XLNetModel", attn_type="uni")
    artifact = exported(model, tmp_path, saved=False)
    batch = batches()["full length"]
    with torch.no_grad():
        given = {**xlnet.arguments(batch), "attention_mask": None}
        wanted = model(**given, output_hidden_states=True).hidden_states[1:]
    for found, layer in zip(artifact(batch)["encoder_outputs"], wanted, strict=True):
        assert_near(found, layer.numpy(), "layer")


@pytest.mark.parametrize("saver", [
    each for each in saving.SAVERS_OF_ALL
    if each not in ("safetensors", "index buffers", "pytorch_transformers")  # of BERT-like models
])  # fmt: skip
def test_formats(saver: str, tmp_path: Path) -> None:
    """The same values for the same variables, whatever they are read from."""
    model = xlnet.build("XLNetLMHeadModel")
    plans = []
    for each in ("safetensors", saver):
        (tmp_path / each).mkdir(exist_ok=True)
        plans.append(planned(saving.SAVERS[each](model, tmp_path / each)))
    (record, values), (other, other_values) = plans
    assert other_values == values
    for part in ("architecture", "heads", "pooler", "conventions"):
        assert other[part] == record[part]


def write_release(model: Any, directory: Path, *, untie_r: bool = True, task: str = "") -> Path:
    """The model as zihangdai/xlnet keeps it: what blocks share is in one tensor."""
    import tensorflow as tf

    state = {name: value.numpy() for name, value in saving.state_of(model).items()}
    state = {name.removeprefix("transformer."): value for name, value in state.items()}
    tensors = {
        "model/transformer/word_embedding/lookup_table": state["word_embedding.weight"],
        "model/transformer/mask_emb/mask_emb": state["mask_emb"],
    }
    for name in ("r_w_bias", "r_r_bias", "r_s_bias", "seg_embed"):
        of_layers = np.stack([state[f"layer.{i}.rel_attn.{name}"] for i in range(L)])
        whole = untie_r or name == "seg_embed"
        tensors[f"model/transformer/{name}"] = of_layers if whole else of_layers[0]
    for i in range(L):
        ours, theirs = f"layer.{i}", f"model/transformer/layer_{i}"
        for name in "qkvro":
            tensors[f"{theirs}/rel_attn/{name}/kernel"] = state[f"{ours}.rel_attn.{name}"]
        for ours_norm, part in (("rel_attn", "rel_attn"), ("ff", "ff")):
            norm = f"{theirs}/{part}/LayerNorm"
            tensors[f"{norm}/gamma"] = state[f"{ours}.{ours_norm}.layer_norm.weight"]
            tensors[f"{norm}/beta"] = state[f"{ours}.{ours_norm}.layer_norm.bias"]
        for name in ("layer_1", "layer_2"):
            tensors[f"{theirs}/ff/{name}/kernel"] = state[f"{ours}.ff.{name}.weight"].T
            tensors[f"{theirs}/ff/{name}/bias"] = state[f"{ours}.ff.{name}.bias"]
    if "lm_loss.bias" in state:
        tensors["model/lm_loss/bias"] = state["lm_loss.bias"]
    if task:
        summary = "model/sequnece_summary/summary"  # as it is spelled
        tensors[f"{summary}/kernel"] = state["sequence_summary.summary.weight"].T
        tensors[f"{summary}/bias"] = state["sequence_summary.summary.bias"]
        tensors[f"model/{task}/logit/kernel"] = state["logits_proj.weight"].T
        tensors[f"model/{task}/logit/bias"] = state["logits_proj.bias"]
    directory.mkdir()
    tf.raw_ops.SaveV2(
        prefix=str(directory / "xlnet_model.ckpt"), tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors), tensors=list(tensors.values()),
    )  # fmt: skip
    config = {key: SIZES[key] for key in ("d_model", "n_layer", "n_head", "d_inner")}
    config |= {
        "n_token": SIZES["vocab_size"], "d_head": H // SIZES["n_head"], "untie_r": untie_r,
        "ff_activation": "gelu",
    }  # fmt: skip
    (directory / "xlnet_config.json").write_text(json.dumps(config))
    return directory / "xlnet_model.ckpt"


@pytest.mark.parametrize("task", ["", "classification_imdb", "regression_sts-b"])
def test_releases(task: str, tmp_path: Path) -> None:
    """zihangdai/xlnet's checkpoints give every variable that transformers' of the same numbers do,
    and compute what its own program does: "gelu" is the tanh approximation there."""
    name = "XLNetForSequenceClassification" if task else "XLNetLMHeadModel"
    model = xlnet.build(name, ff_activation="gelu_new", num_labels=1 if "regression" in task else 5)
    (tmp_path / "new").mkdir()
    record, values = planned(saving.save_safetensors(model, tmp_path / "new"))
    release, old = planned(write_release(model, tmp_path / "old", task=task))
    assert old == values
    for part in ("heads", "pooler", "conventions"):
        assert {**release[part], "warnings": 0} == {**record[part], "warnings": 0}
    differ = {
        key for key, value in record["architecture"].items()
        if release["architecture"][key] != value
    }  # fmt: skip
    assert differ == {"pad_token_id", "mem_len"}  # which transformers' configuration says
    assert release["family"]["name"] == "xlnet"


def test_tied_biases(tmp_path: Path) -> None:
    """Biases of attention that all blocks share are one variable, which all blocks read."""
    model = xlnet.build("XLNetModel", ff_activation="gelu_new")
    with torch.no_grad():
        for name in ("r_w_bias", "r_r_bias", "r_s_bias"):
            for layer in model.layer:
                getattr(layer.rel_attn, name).copy_(getattr(model.layer[0].rel_attn, name))
    checkpoint = write_release(model, tmp_path / "release", untie_r=False)
    artifact = unsaved(checkpoint)
    rows = artifact.record["tensors"]
    biases = [row["variable"] for row in rows if row["variable"].endswith("r_w_bias")]
    assert biases == ["encoder/r_w_bias"]
    for kind in ("holes", "full length"):
        compare(artifact, model, batches()[kind])


def test_a_golden(tmp_path: Path) -> None:
    """What keras-xlnet's tests expect of zihangdai/xlnet's program, which read left to right."""
    directory = material("checkpoints/tf1_keras-xlnet_test_checkpoint_empty")
    config = json.loads((directory / "xlnet_config.json").read_text())
    uni = tmp_path / "xlnet_config.json"
    uni.write_text(json.dumps({**config, "attn_type": "uni"}))
    export_encoder(
        checkpoint=directory / "xlnet_model.ckpt", bert_config=uni, export_path=tmp_path / "out"
    )
    ids, types, expected = (
        np.load(directory / f"{name}.npy") for name in ("input_ids", "seg_ids", "empty_output")
    )
    batch = {
        "input_word_ids": ids.astype(np.int32),
        "input_mask": np.ones_like(ids, np.int32),
        "input_type_ids": types.astype(np.int32),
    }
    outputs = loaded(tmp_path / "out")(batch)
    np.testing.assert_allclose(outputs["sequence_output"], expected, atol=2e-6)


class TestRefusals:
    @pytest.mark.parametrize(("key", "value"), [
        ("bi_data", True), ("same_length", True), ("reuse_len", 4), ("attn_type", "diagonal"),
        ("tie_word_embeddings", False),
    ])  # fmt: skip
    def test_other_networks(self, key: str, value: Any, tmp_path: Path) -> None:
        checkpoint = rewritten(xlnet.build("XLNetModel"), tmp_path / "model", config={key: value})
        with pytest.raises(ConfigurationError, match=f"asks for {key}"):
            planned(checkpoint)

    @pytest.mark.parametrize(("key", "value"), [
        ("summary_type", "mean"), ("summary_type", ["last"]), ("summary_activation", "relu"),
        ("summary_use_proj", False),
    ])  # fmt: skip
    def test_other_summaries(self, key: str, value: Any, tmp_path: Path) -> None:
        model = xlnet.build("XLNetForSequenceClassification")
        checkpoint = rewritten(model, tmp_path / "model", config={key: value})
        with pytest.raises(ConfigurationError, match=key):
            planned(checkpoint)

    def test_an_output_layer_of_its_own(self, tmp_path: Path) -> None:
        model = xlnet.build("XLNetLMHeadModel")
        checkpoint = rewritten(
            model, tmp_path / "model", tensors={"lm_loss.weight": torch.ones(50, 16)}
        )
        with pytest.raises(TensorMismatchError, match="not the same as the tensor"):
            planned(checkpoint)


def test_the_mask_embedding_is_of_the_language_model(tmp_path: Path) -> None:
    """Every checkpoint has it; without the head that needs it, it is left out, and said to be."""
    for name, taken in (("XLNetModel", False), ("XLNetLMHeadModel", True)):
        model = xlnet.build(name)
        record, values = planned(rewritten(model, tmp_path / name))
        assert ("cls/lm/mask_emb" in values) == taken
        if not taken:
            assert record["skipped_tensors"] == {"of no use without the head lm": ["mask_emb"]}
