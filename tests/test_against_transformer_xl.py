"""Transformer-XL in both layouts: the exported encoder and its heads are exact.

transformers 5 has none, so that what an older release gave is compared with; see
`tests/oracles/transformer_xl.py`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import ConfigurationError, TensorMismatchError
from hubexport.exporting.job import make_job
from hubexport.exporting.options import EncoderOptions
from hubexport.inspection.facts import facts_about
from hubexport.saved_model.record import load_record
from tests.artifacts import export_encoder
from tests.material import material
from tests.oracles import transformer_xl
from tests.oracles.transformer_xl import Tensors
from tests.planned import planned

TOLERANCE = 2e-5
"""Largest difference, of values around 1, or in terms of the largest where they are larger."""

EVERY = [
    (name, layout, padding)
    for name in transformer_xl.VARIANTS
    for layout in transformer_xl.LAYOUTS
    for padding in ("compute", "skip")
    if layout == "hugging_face" or name in transformer_xl.OF_TF1
]
USUAL = {
    ("wt103", "hugging_face", "skip"),
    ("shared biases", "hugging_face", "compute"),
    ("projections of its own", "tf1", "compute"),
    ("projections of all clusters", "hugging_face", "compute"),
    ("no clusters", "tf1", "skip"),
    ("norms first", "hugging_face", "skip"),
}
"""Always: each variant, layout and padding."""


def written(directory: Path, name: str, layout: str, **arguments: Any) -> Path:
    """A variant's checkpoint."""
    if layout == "tf1":
        return transformer_xl.write_tf1(directory, name, **arguments)
    return transformer_xl.write_hugging_face(directory, name, **arguments)


class Network:
    """A network with a checkpoint's values, called as it is: no artifact is written."""

    def __init__(self, checkpoint: Path, **options: Any):
        import tensorflow as tf

        self.tf = tf
        asked = EncoderOptions(checkpoint=checkpoint, export_path="", **options)
        job = self.job = make_job(checkpoint, asked, asked.read_tokenizer())
        values = {
            name: np.frombuffer(b"".join(value.pieces()), np.float32).reshape(value.shape)
            for name, value in job.plan.values.items()
        }

        @functools.cache
        def variables(name: str, *shape: int, dense: bool = False) -> Any:
            assert values[name].shape == shape, name
            return tf.Variable(values[name], name=name)

        self.encoder: Any = job.family.network(variables)  # type: ignore[arg-type]
        self.heads = {
            name: job.heads.build(name, job.family, variables, self.encoder, pooled=None)  # type: ignore[arg-type]
            for name in job.heads.heads
        }

    def __call__(self, batch: Tensors, memory: np.ndarray | None = None) -> dict[str, Any]:
        """What encoder and heads give, the layers as one array [L, B, S, H]."""
        inputs = {name: self.tf.constant(value) for name, value in batch.items()}
        if memory is not None:
            inputs["mems"] = self.tf.constant(memory)
        layers, others = self.encoder(inputs, training=False)
        outputs = {"layers": np.stack(layers)} | {key: v.numpy() for key, v in others.items()}
        encoded = {"sequence_output": layers[-1]}
        for name, head in self.heads.items():
            own = head(inputs, encoded)
            interface = self.job.heads.heads[name].interface
            if interface.functions:
                own += head.score(inputs, encoded)
            names = (*interface.outputs, "token_log_probs", "sequence_log_probs")
            outputs |= {key: value.numpy() for key, value in zip(names, own, strict=False)}
        return outputs


def assert_near(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert actual.shape == expected.shape, what
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))
    assert np.abs(actual - expected).max(initial=0) <= limit, what


def nothing(name: str, rows: int = 2) -> np.ndarray:
    """The memory before the first segment."""
    values = transformer_xl.config(name)
    return np.zeros((rows, values["n_layer"], 0, values["d_model"]), np.float32)


@pytest.mark.parametrize(("name", "layout", "padding"), [
    pytest.param(*each, marks=[] if each in USUAL else pytest.mark.exhaustive) for each in EVERY
])  # fmt: skip
def test_every_layer(name: str, layout: str, padding: str, tmp_path: Path) -> None:
    """Without a memory, padded on both sides, and with that of a segment before."""
    network = Network(written(tmp_path / "model", name, layout), padding=padding)
    expected = transformer_xl.goldens(name, layout)
    batch, (first, second) = transformer_xl.plain(), transformer_xl.segments()
    outputs = network(batch)
    is_token: Any = batch["input_mask"] == 1
    here = is_token if padding == "skip" else slice(None)
    assert_near(outputs["layers"][:, here], expected["layers"][:, here], "layers")
    assert_near(outputs["lm_log_probs"], expected["log_probs"], "lm_log_probs")
    assert "new_mems" not in outputs
    if padding == "skip":
        assert not outputs["layers"][:, ~is_token].any()
    later = network(second, network(first, nothing(name))["new_mems"])
    assert_near(later["layers"], expected["later/layers"], "layers after a segment")
    assert_near(later["lm_log_probs"], expected["later/log_probs"], "log_probs after a segment")
    assert_near(later["new_mems"], expected["new_mems"], "new_mems")
    probabilities = np.exp(outputs["lm_log_probs"].astype(np.float64))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("layout", transformer_xl.LAYOUTS)
def test_inspected(layout: str, tmp_path: Path) -> None:
    path = written(tmp_path / "model", "projections of its own", layout)
    facts = facts_about(path)
    assert facts["family"] == "transformer_xl"
    sizes = facts["architecture"]
    assert (sizes["num_hidden_layers"], sizes["hidden_size"]) == (2, 16)
    assert (sizes["intermediate_size"], sizes["num_attention_heads"]) == (24, None)
    assert facts["disagreements"] == []


@pytest.mark.parametrize("name", ["wt103", "no clusters"])
def test_a_text_in_segments(name: str, tmp_path: Path) -> None:
    """A text read in pieces gives what it gives as a whole, where the memory holds all that its
    tokens see. `wt103` sees as much as that, and of the other variant's text nothing is lost."""
    network = Network(written(tmp_path / "model", name, "hugging_face"))
    ids = np.random.default_rng(8).integers(0, 30, (2, 6 if name == "no clusters" else 11))

    def batch(columns: slice) -> Tensors:
        chosen = ids[:, columns].astype(np.int32)
        positions = np.zeros((2, 1), np.int32)
        return {
            "input_word_ids": chosen, "input_mask": np.ones_like(chosen), "lm_positions": positions,
        }  # fmt: skip

    whole = network(batch(slice(None)))["layers"]
    memory, pieces = nothing(name), []
    for start in range(0, ids.shape[1], 2):
        outputs = network(batch(slice(start, start + 2)), memory)
        memory = outputs["new_mems"]
        pieces.append(outputs["layers"])
    assert_near(np.concatenate(pieces, axis=2), whole, "layers")


def test_scores(tmp_path: Path) -> None:
    """The log-probability of each token after those before it."""
    network = Network(written(tmp_path / "model", "wt103", "hugging_face"))
    batch = transformer_xl.plain()
    length = batch["input_mask"].shape[1]
    everywhere = np.tile(np.arange(length, dtype=np.int32), (4, 1))
    outputs = network({**batch, "lm_positions": everywhere})
    follows = batch["input_mask"][:, 1:] * batch["input_mask"][:, :-1]
    of_next = np.take_along_axis(
        outputs["lm_log_probs"][:, :-1], batch["input_word_ids"][:, 1:, np.newaxis], axis=2
    )
    wanted = np.pad(of_next[:, :, 0] * follows, [(0, 0), (1, 0)])
    assert_near(outputs["token_log_probs"], wanted, "token_log_probs")
    assert_near(outputs["sequence_log_probs"], wanted.sum(axis=1), "sequence_log_probs")


def test_artifact(tmp_path: Path) -> None:
    """The whole way: a SavedModel with a memory, its heads and its record."""
    import tensorflow as tf

    written(tmp_path / "model", "wt103", "hugging_face")
    export_encoder(checkpoint=tmp_path / "model", export_path=tmp_path / "out")
    root, record = tf.saved_model.load(str(tmp_path / "out")), load_record(tmp_path / "out")
    expected = transformer_xl.goldens("wt103", "hugging_face")
    first, second = (
        {name: tf.constant(value) for name, value in segment.items()}
        for segment in transformer_xl.segments()
    )
    positions = second.pop("lm_positions"), first.pop("lm_positions")
    memory = root({**first, "mems": nothing("wt103")})["new_mems"]
    later = root.lm({**second, "mems": memory, "lm_positions": positions[0]})
    assert_near(np.stack(later["encoder_outputs"]), expected["later/layers"], "layers")
    assert_near(later["lm_log_probs"].numpy(), expected["later/log_probs"], "lm_log_probs")
    assert_near(later["new_mems"].numpy(), expected["new_mems"], "new_mems")
    pooled = root(first)["pooled_output"].numpy()
    assert_near(pooled, root(first)["sequence_output"].numpy()[:, -1], "pooled_output")
    score = root.lm.score(first)
    assert score["token_log_probs"].shape == (2, 5)
    assert record["family"] == {"name": "transformer_xl", "evidence": "model_type transfo-xl"}
    architecture = record["architecture"]
    assert (architecture["max_position_embeddings"], architecture["type_vocab_size"]) == (None, 0)
    assert (architecture["attention_span"], architecture["cutoffs"]) == (4, [8, 18])
    assert (architecture["hidden_act"], architecture["layer_norm_eps"]) == ("relu", 1e-5)
    conventions = record["conventions"]
    memory_shape = conventions["optional_inputs"]["mems"]["shape"]
    assert memory_shape == ["B", 2, "M", 16]
    assert conventions["padding_side"] == "any" and conventions["causal"]
    assert conventions["ignored_inputs"] == ["input_type_ids"]
    assert conventions["dropout_places"] == 3 + 4 * 2
    assert record["pooler"]["pooled_output"] == "lasttoken"


def test_classifier(tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "model", "wt103", "hugging_face", head="classifier")
    network = Network(checkpoint)
    expected = transformer_xl.goldens("wt103", "hugging_face")["classifier_logits"]
    assert tuple(network.heads) == ("classifier",)
    assert_near(network(transformer_xl.plain())["classifier_logits"], expected, "classifier_logits")


def test_the_encoder_alone(tmp_path: Path) -> None:
    """Saved without a head, whose names then have no prefix, it gives no language model."""
    checkpoint = written(tmp_path / "model", "shared biases", "hugging_face", head="")
    record, values = planned(checkpoint)
    with_head = written(tmp_path / "with head", "shared biases", "hugging_face")
    _, expected = planned(with_head)
    assert record["heads"] == {}
    assert values == {name: expected[name] for name in values}


class TestCopies:
    """What is tied is there under every name in older files, and under any in newer ones."""

    def state(self, name: str) -> Tensors:
        tensors = transformer_xl.weights(name)
        return {**tensors, **{c: tensors[of] for c, of in transformer_xl.copies(name).items()}}

    def planned(
        self, directory: Path, name: str, tensors: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        import safetensors.numpy

        checkpoint = written(directory, name, "hugging_face")
        safetensors.numpy.save_file(dict(tensors), checkpoint / "model.safetensors")
        return planned(checkpoint)

    @pytest.mark.parametrize("name", transformer_xl.VARIANTS)
    def test_all_are_there(self, name: str, tmp_path: Path) -> None:
        record, values = self.planned(tmp_path / "copies", name, self.state(name))
        _, expected = planned(written(tmp_path / "model", name, "hugging_face"))
        assert values == expected
        skipped = record["skipped_tensors"]["tied to another tensor, checked to be equal"]
        assert set(skipped) == set(transformer_xl.copies(name))

    def test_only_copies_are_there(self, tmp_path: Path) -> None:
        name = "shared biases"
        copies = transformer_xl.copies(name)
        only = {key: value for key, value in self.state(name).items() if key not in copies.values()}
        _, values = self.planned(tmp_path / "copies", name, only)
        _, expected = planned(written(tmp_path / "model", name, "hugging_face"))
        assert values == expected

    @pytest.mark.parametrize("tensor", [
        "crit.out_layers.1.weight", "crit.out_projs.1",
        "transformer.layers.1.dec_attn.r_w_bias",
    ])  # fmt: skip
    def test_another(self, tensor: str, tmp_path: Path) -> None:
        state = self.state("shared biases")
        state[tensor] = state[tensor] + np.float32(1)
        with pytest.raises(TensorMismatchError, match="not the same as the tensor") as caught:
            self.planned(tmp_path / "copies", "shared biases", state)
        assert tensor in str(caught.value)


def test_names_of_2019(tmp_path: Path) -> None:
    """pytorch_pretrained_bert's configuration: no model_type, other keys."""
    checkpoint = written(
        tmp_path / "model", "wt103", "hugging_face",
        model_type=None, architectures=None, vocab_size=None, n_token=30, tie_weight=True,
        layer_norm_epsilon=None, ext_len=0, tgt_len=128, adaptive=True, attn_type=0,
    )  # fmt: skip
    record, values = planned(checkpoint)
    _, expected = planned(written(tmp_path / "expected", "wt103", "hugging_face"))
    assert record["family"]["evidence"].startswith("no model_type, but the keys cutoffs, a tensor ")
    assert values == expected


class TestOriginal:
    """kimiyoung/transformer-xl's own checkpoints."""

    def test_both_layouts_are_one_model(self, tmp_path: Path) -> None:
        for name in transformer_xl.OF_TF1:
            original, values = planned(written(tmp_path / f"tf1 {name}", name, "tf1"))
            _, expected = planned(written(tmp_path / f"hf {name}", name, "hugging_face"))
            assert values == expected
            assert original["architecture"]["layer_norm_eps"] == 1e-12

    def test_optimizer(self, tmp_path: Path) -> None:
        others = {
            "global_step": np.zeros([], np.int64),
            "transformer/layer_0/rel_attn/qkv/kernel/Adam": np.zeros((16, 30), np.float32),
        }
        checkpoint = written(tmp_path / "model", "wt103", "tf1", others=others)
        record, _ = planned(checkpoint)
        skipped = {name for names in record["skipped_tensors"].values() for name in names}
        assert skipped == set(others)

    @pytest.mark.parametrize("flag", ["mem_len", "clamp_len", "same_length"])
    def test_what_no_tensor_tells_must_be_told(self, flag: str, tmp_path: Path) -> None:
        checkpoint = written(tmp_path / "model", "wt103", "tf1", **{flag: None})
        with pytest.raises(ConfigurationError, match=f"no usable {flag}") as caught:
            planned(checkpoint)
        assert f"--{flag}" in str(caught.value)

    @pytest.mark.parametrize(("flag", "value"), [
        ("div_val", 2), ("untie_r", False), ("proj_share_all_but_first", False),
        ("cutoffs", [0, 8, 30]), ("cutoffs", None), ("n_layer", 3), ("d_head", 4),
    ])  # fmt: skip
    def test_what_tensors_tell_is_compared(self, flag: str, value: Any, tmp_path: Path) -> None:
        checkpoint = written(tmp_path / "model", "wt103", "tf1", **{flag: value})
        with pytest.raises(TensorMismatchError):
            planned(checkpoint)

    def test_numbers_of_another_implementation(self, tmp_path: Path) -> None:
        """A checkpoint of the original program, with what keras-transformer-xl's authors found."""
        found = material("checkpoints/tf1_keras-transformer-xl_test_checkpoint_div_1")
        config = {**json.loads((found / "config.json").read_text()), "same_length": False}
        config |= {"clamp_len": 1000}
        (tmp_path / "config.json").write_text(json.dumps(config))
        network = Network(found / "model.ckpt", bert_config=tmp_path / "config.json")
        arrays = {path.stem: np.load(path) for path in found.glob("*.npy")}
        ids = arrays["tokens"].astype(np.int32)
        batch = {
            "input_word_ids": ids, "input_mask": np.ones_like(ids),
            "lm_positions": np.tile(np.arange(ids.shape[1], dtype=np.int32), (len(ids), 1)),
        }  # fmt: skip
        memory = np.stack([arrays["memory_0"], arrays["memory_1"]], axis=1).astype(np.float32)
        outputs = network(batch, memory)
        kept = outputs["new_mems"].shape[2]
        for i in range(2):
            expected = arrays[f"new_memory_{i}"][:, -kept:]
            assert_near(outputs["new_mems"][:, i], expected.astype(np.float32), f"memory {i}")
        assert_near(
            np.exp(outputs["lm_log_probs"]), arrays["softmax"].astype(np.float32), "softmax"
        )


class TestRefusals:
    @pytest.mark.parametrize(("key", "value"), [
        ("attn_type", 1), ("adaptive", False), ("tie_weight", False),
        ("tie_word_embeddings", False), ("sample_softmax", 5), ("ext_len", 4),
        ("pruned_heads", {"0": [1]}),
    ])  # fmt: skip
    def test_other_networks(self, key: str, value: Any, tmp_path: Path) -> None:
        checkpoint = written(tmp_path / "model", "wt103", "hugging_face", **{key: value})
        with pytest.raises(ConfigurationError, match=f"asks for {key}"):
            planned(checkpoint)

    @pytest.mark.parametrize(("key", "value"), [
        ("cutoffs", [18, 8]), ("cutoffs", [8, 30]), ("cutoffs", [0, 8]), ("cutoffs", "8, 18"),
        ("cutoffs", [8.0, 18]), ("mem_len", 0), ("mem_len", -1), ("d_model", 15), ("d_embed", 15),
        ("clamp_len", -2), ("same_length", 1),
    ])  # fmt: skip
    def test_values(self, key: str, value: Any, tmp_path: Path) -> None:
        checkpoint = written(tmp_path / "model", "wt103", "hugging_face")
        config = json.loads((checkpoint / "config.json").read_text()) | {key: value}
        (checkpoint / "config.json").write_text(json.dumps(config))
        named = f"no usable {key}" if key != "d_embed" else "no usable div_val"
        with pytest.raises(ConfigurationError, match=named):
            planned(checkpoint)

    @pytest.mark.parametrize("tied", [[False], [False, True, 1], "all"])
    def test_projections(self, tied: Any, tmp_path: Path) -> None:
        checkpoint = written(tmp_path / "model", "wt103", "hugging_face")
        config = json.loads((checkpoint / "config.json").read_text()) | {"tie_projs": tied}
        (checkpoint / "config.json").write_text(json.dumps(config))
        with pytest.raises(ConfigurationError, match="no usable tie_projs"):
            planned(checkpoint)

    def test_fewer_positions(self, tmp_path: Path) -> None:
        checkpoint = written(tmp_path / "model", "wt103", "hugging_face")
        with pytest.raises(ConfigurationError, match="the model has none"):
            planned(checkpoint, max_position_embeddings=5)

    def test_other_frequencies(self, tmp_path: Path) -> None:
        """Rounded to half precision, say."""
        import safetensors.numpy

        checkpoint = written(tmp_path / "model", "wt103", "hugging_face")
        tensors = safetensors.numpy.load_file(checkpoint / "model.safetensors")
        name = "transformer.pos_emb.inv_freq"
        tensors[name] = tensors[name].astype(np.float16)
        safetensors.numpy.save_file(tensors, checkpoint / "model.safetensors")
        with pytest.raises(ConfigurationError, match="other frequencies"):
            planned(checkpoint)

    def test_a_word_that_is_none(self, tmp_path: Path) -> None:
        """An error on CPUs, as for other encoders."""
        network = Network(written(tmp_path / "model", "wt103", "hugging_face"))
        batch = transformer_xl.plain()
        for word in (-1, 30):
            ids = np.full_like(batch["input_word_ids"], word)
            with pytest.raises(Exception, match="indices"):
                network({**batch, "input_word_ids": ids})
