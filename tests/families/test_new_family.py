"""A family is one file: GPT-2, as short as it can be, is added here and exported.

It has what BERT does not have: blocks that normalize before their layers, a norm behind the last, a
causal state, fused kernels kept as [in, out], and neither token types nor a pooler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from hubexport.errors import TensorMismatchError
from hubexport.exporting.encoder import export_encoder
from hubexport.families import registry
from hubexport.families.family import Family
from hubexport.families.names import TorchNames
from hubexport.families.registry import families
from hubexport.families.tensor_map import Leaf, Part, layer_norm, table
from hubexport.families.transforms import Columns
from hubexport.networks.config import EncoderConfig
from hubexport.validation.references.job import make_reference
from hubexport.validation.runner import Request, run_gates

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def conv1d(scope: str, size_in: int, size_out: int, name: str, cut: Any = None) -> Part:
    """transformers' Conv1D keeps [in, out]."""
    transforms = {"hugging_face": cut} if cut else {}
    leaves = (
        Leaf("kernel", (size_in, size_out), transforms),
        Leaf("bias", (size_out,), transforms),
    )
    return Part(scope, leaves, {"hugging_face": name})


class ToyGpt2(Family):
    """GPT-2's encoder."""

    name: ClassVar[str] = "toy_gpt2"
    title: ClassVar[str] = "Toy GPT-2"
    model_types: ClassVar[tuple[str, ...]] = ("gpt2",)
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face",)
    default_pooler: ClassVar[str] = "mean"
    causal: ClassVar[bool] = True
    layer_scale: ClassVar[str] = "residual"
    ignored_inputs: ClassVar[tuple[str, ...]] = ("input_type_ids",)
    transformers: ClassVar[str] = "GPT2"
    leave_out_values: ClassVar[bool] = False

    def read_config(self, configuration, source, overridden):
        get, size = configuration.integer, configuration.integer("n_embd")
        return EncoderConfig(
            vocab_size=get("vocab_size"),
            hidden_size=size,
            num_hidden_layers=get("n_layer"),
            num_attention_heads=get("n_head"),
            intermediate_size=4 * size,
            max_position_embeddings=get("n_positions", aliases=("n_ctx",)),
            type_vocab_size=0,
            embedding_size=size,
            hidden_act="gelu_tanh",
            layer_norm_eps=configuration.fraction("layer_norm_epsilon", 1e-5),
            hidden_dropout_prob=configuration.fraction("resid_pdrop", 0.1),
            attention_probs_dropout_prob=configuration.fraction("attn_pdrop", 0.1),
        )

    def spelling(self, source):
        return TorchNames(source, prefix="transformer.")

    def encoder(self):
        c, H = self.config, self.config.hidden_size
        positions = c.max_position_embeddings
        parts = [
            table("embeddings/word_embeddings", c.vocab_size, H, hugging_face="wte.weight"),
            table("embeddings/position_embeddings", positions, H, hugging_face="wpe.weight"),
        ]
        for i in range(c.num_hidden_layers):
            ours, theirs = f"encoder/layer_{i}", f"h.{i}"
            fused = ("query", "key", "value")[: 2 if self.leave_out_values else 3]
            parts += [
                layer_norm(f"{ours}/attention/LayerNorm", H, hugging_face=f"{theirs}.ln_1"),
                *(
                    conv1d(
                        f"{ours}/attention/self/{name}",
                        H,
                        H,
                        f"{theirs}.attn.c_attn",
                        Columns(n * H, 3 * H),
                    )
                    for n, name in enumerate(fused)
                ),
                conv1d(f"{ours}/attention/output/dense", H, H, f"{theirs}.attn.c_proj"),
                layer_norm(f"{ours}/LayerNorm", H, hugging_face=f"{theirs}.ln_2"),
                conv1d(f"{ours}/intermediate/dense", H, 4 * H, f"{theirs}.mlp.c_fc"),
                conv1d(f"{ours}/output/dense", 4 * H, H, f"{theirs}.mlp.c_proj"),
            ]
        return [*parts, layer_norm("encoder/LayerNorm", H, hugging_face="ln_f")]  # fmt: skip

    def network(self, variables):
        import tensorflow as tf

        from hubexport.networks.attention import SelfAttention
        from hubexport.networks.feed_forward import FeedForward
        from hubexport.networks.layers import LayerNorm
        from hubexport.networks.padding import layout_of
        from hubexport.networks.transformer import (
            Encoder,
            PreNorm,
            Stack,
            TransformerBlock,
            masked_state,
        )

        c = self.config

        class Tables(tf.Module):
            def __init__(self):
                super().__init__()
                H, rows = c.hidden_size, c.max_position_embeddings
                self.word_embeddings = variables("embeddings/word_embeddings", c.vocab_size, H)
                self.positions = variables("embeddings/position_embeddings", rows, H)

            def __call__(self, inputs, state, training):
                ids, layout = inputs["input_word_ids"], layout_of(c)
                size = tf.stack([tf.shape(ids)[1], c.hidden_size])
                x = tf.gather(self.word_embeddings, layout.of_rows(ids, state))
                x = x + layout.of_positions(tf.slice(self.positions, [0, 0], size), state)
                return tf.reshape(x, [-1, c.hidden_size])

        def state(of_layout):
            made = dict(masked_state(of_layout))
            length = tf.shape(made["mask"])[1]
            before = tf.linalg.band_part(tf.ones([length, length]), -1, 0)  # [S, S]
            made["bias"] = made["bias"] + (1.0 - before) * -1e9
            return made

        def block(given, scope):
            def pre_norm(layer, norm):
                return PreNorm(
                    layer, LayerNorm(given, norm, c.hidden_size, c.layer_norm_eps),
                    c.hidden_dropout_prob,
                )  # fmt: skip

            return TransformerBlock(
                pre_norm(SelfAttention(c, given, f"{scope}/attention"),
                         f"{scope}/attention/LayerNorm"),
                pre_norm(FeedForward(c, given, scope), f"{scope}/LayerNorm"),
            )  # fmt: skip

        layers = [(block, f"encoder/layer_{i}") for i in range(c.num_hidden_layers)]
        last = LayerNorm(variables, "encoder/LayerNorm", c.hidden_size, c.layer_norm_eps)
        return Encoder(c, Tables(), Stack(variables, layers), state, last)


@pytest.fixture
def toy(monkeypatch):
    """The family, known for the time being in the place of the true one."""
    known = {name: family for name, family in families().items() if name != "gpt2"}
    monkeypatch.setattr(registry, "_FAMILIES", known)
    return registry.register(ToyGpt2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A GPT-2 of random weights, and where it is saved."""
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=12, attn_implementation="eager"
    )
    gpt2 = transformers.GPT2Model(config).eval()
    generator = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in gpt2.parameters():
            values = generator.normal(0.5, 0.5, tuple(parameter.shape)).astype("f4")
            parameter.copy_(torch.from_numpy(values))
    directory = tmp_path_factory.mktemp("gpt2")
    gpt2.save_pretrained(directory)
    return gpt2, directory


@pytest.mark.parametrize("padding", ["compute", "skip"])
def test_outputs(toy, model, tmp_path, padding):
    import tensorflow as tf

    gpt2, directory = model
    record = export_encoder(checkpoint=directory, export_path=tmp_path / "out", padding=padding)
    assert record["family"] == {"name": "toy_gpt2", "evidence": "model_type gpt2"}
    assert record["conventions"] == {
        "padding_side": "right", "causal": True, "ignored_inputs": ["input_type_ids"],
        "layer_scale": "residual", "dropout_places": 2 * 3 + 1, "optional_inputs": {},
    }  # fmt: skip
    assert record["pooler"]["pooled_output"] == "mean"
    ids = np.random.default_rng(1).integers(0, 50, (3, 9)).astype(np.int32)
    mask = (np.arange(9) < np.array([[7], [1], [5]])).astype(np.int32)
    mask[0, 2] = mask[2, 2] = 0  # a place that no text uses
    with torch.no_grad():
        expected = gpt2(
            torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).long(),
            output_hidden_states=True,
        ).hidden_states[1:]  # fmt: skip
    inputs: Mapping[str, Any] = {
        "input_word_ids": ids, "input_mask": mask, "input_type_ids": np.ones_like(ids),
    }  # fmt: skip
    outputs = tf.saved_model.load(str(tmp_path / "out"))(
        {name: tf.constant(value) for name, value in inputs.items()}
    )
    tokens = mask == 1
    for ours, theirs in zip(outputs["encoder_outputs"], expected, strict=True):
        scale = np.abs(theirs.numpy()[tokens]).max()
        assert np.abs(ours.numpy() - theirs.numpy())[tokens].max() <= 2e-5 * max(1.0, scale)


def test_reference_and_gates(toy, model, tmp_path):
    """Nothing but the family's file tells transformers' class, and what the gates may ask for."""
    directory = model[1]
    export_encoder(checkpoint=directory, export_path=tmp_path / "out")
    make_reference(source="transformers", checkpoint=directory, output=tmp_path / "reference")
    report = run_gates(
        Request(
            saved_model=str(tmp_path / "out"),
            reference=str(tmp_path / "reference"),
            only=("numerics", "interface", "batch"),
        )
    )
    ran = {gate.name: gate for gate in report.gates if gate.status != "not run"}
    assert set(ran) == {"numerics", "interface", "batch"}
    assert not {name: gate.failures for name, gate in ran.items() if gate.failures}


def test_a_fused_tensor_must_be_taken_whole(toy, model, tmp_path, monkeypatch):
    monkeypatch.setattr(ToyGpt2, "leave_out_values", True)
    with pytest.raises(TensorMismatchError) as caught:
        export_encoder(checkpoint=model[1], export_path=tmp_path / "out")
    assert "h.0.attn.c_attn.weight: columns that no variable takes: 32 to 47" in str(caught.value)
    assert not (tmp_path / "out").exists()
