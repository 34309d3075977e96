"""Exported BERTs give what transformers' own give with the same weights: dtypes, settings, poolers.

Every class in every format: test_against_every_class.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import CheckpointError, ConfigurationError, TensorMismatchError
from tests.material import material
from tests.oracles import compare, inputs
from tests.tiers import examples
from tests.unsaved import Unsaved


@pytest.fixture(scope="session")
def hf() -> Any:
    """`tests.oracles.hugging_face`, imported once per worker."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import hugging_face

    return hugging_face


@pytest.fixture
def same(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Asserts that an artifact gives what a function of the batch gives, for several shapes."""

    def check(
        exported: Path | Unsaved,
        expected: Callable[[inputs.Tensors], compare.Expected],
        *,
        vocab_size: int = 50,
        positions: int = 12,
        types: int = 3,
        least: float = 0.05,
    ) -> None:
        artifact = compare.Artifact(exported)
        batches = inputs.batches(vocab_size, positions, types)
        worst = max(
            compare.assert_same(artifact(batch), expected(batch), least) for batch in batches
        )
        request.node.user_properties.append(("largest difference", worst))

    return check


def test_a_checkpoint_without_a_pooler_is_refused(hf: Any, tmp_path: Path) -> None:
    checkpoint = hf.save_safetensors(hf.build("BertForMaskedLM"), tmp_path / "model")
    with pytest.raises(CheckpointError, match="no pooler"):
        hubexport.export_encoder(checkpoint=checkpoint, export_path=tmp_path / "out")


@pytest.mark.parametrize(
    "saver", examples(["bin", "gamma and beta", "sharded safetensors"], ["gamma and beta"])
)
def test_without_the_prefix(saver: str, hf: Any, same: Callable[..., None], tmp_path: Path) -> None:
    model = hf.build("BertModel")
    (tmp_path / "model").mkdir()
    checkpoint = hf.SAVERS[saver](model, tmp_path / "model")
    encoder = Unsaved(checkpoint)
    assert not any(row["tensor"].startswith("bert.") for row in encoder.record["tensors"])
    same(encoder, lambda batch: hf.expected_outputs(model, batch))


@pytest.mark.parametrize(
    ("dtype", "saver"),
    [
        ("float16", "safetensors"),
        pytest.param("float16", "legacy bin", marks=pytest.mark.exhaustive),
        pytest.param("bfloat16", "safetensors", marks=pytest.mark.exhaustive),
        ("bfloat16", "bin"),
    ],
)
def test_narrow_floats_are_widened(
    dtype: str, saver: str, hf: Any, same: Callable[..., None], tmp_path: Path
) -> None:
    model = hf.build("BertModel")
    model = {"float16": model.half, "bfloat16": model.bfloat16}[dtype]()
    (tmp_path / "model").mkdir()
    checkpoint = hf.SAVERS[saver](model, tmp_path / "model")
    record = hubexport.export_encoder(checkpoint=checkpoint, export_path=tmp_path / "out")
    assert {row["dtype"] for row in record["tensors"]} == {dtype}
    widened = model.float()  # in place: the same values, each exactly representable
    same(tmp_path / "out", lambda batch: hf.expected_outputs(widened, batch))


@pytest.mark.parametrize(
    ("hidden_act", "layer_norm_eps", "computes"),
    examples(
        [
            ("gelu", 1e-5, "gelu_erf"),
            ("gelu_new", 1e-12, "gelu_tanh"),
            ("gelu_pytorch_tanh", 1e-3, "gelu_tanh"),
            ("relu", 1e-5, "relu"),
        ],
        ["gelu", "gelu_pytorch_tanh"],
    ),
)
def test_activation_and_epsilon_of_the_configuration(
    hidden_act: str,
    layer_norm_eps: float,
    computes: str,
    hf: Any,
    same: Callable[..., None],
    tmp_path: Path,
) -> None:
    model = hf.build("BertForPreTraining", hidden_act=hidden_act, layer_norm_eps=layer_norm_eps)
    checkpoint = hf.save_safetensors(model, tmp_path / "model")
    encoder = Unsaved(checkpoint)
    assert encoder.record["architecture"]["hidden_act"] == computes
    assert encoder.record["architecture"]["layer_norm_eps"] == layer_norm_eps
    same(encoder, lambda batch: hf.expected_outputs(model, batch))


def test_activations_and_epsilons_differ_by_more_than_the_tolerance(hf: Any) -> None:
    """Otherwise the tests of them would prove nothing."""
    batch = inputs.batches(50, 12, 3)[-1]
    plain = hf.expected_outputs(hf.build("BertModel"), batch)
    for config in ({"hidden_act": "gelu_new"}, {"hidden_act": "relu"}, {"layer_norm_eps": 1e-5}):
        other = hf.expected_outputs(hf.build("BertModel", **config), batch)
        difference = compare.worst_difference(plain, other, ["sequence_output"])
        assert difference > compare.TOLERANCE, (config, difference)


def test_overrides_replace_the_configuration(
    hf: Any, same: Callable[..., None], tmp_path: Path
) -> None:
    """A configuration that says too little, or wrong, and a user who knows better."""
    model = hf.build("BertForPreTraining", hidden_act="gelu_new", layer_norm_eps=1e-4)
    said = hf.build("BertForPreTraining").config
    model.config, right = said, model.config
    checkpoint = hf.save_safetensors(model, tmp_path / "model")
    model.config = right
    record = hubexport.export_encoder(
        checkpoint=checkpoint,
        export_path=tmp_path / "out",
        hidden_act="gelu_tanh",
        layer_norm_eps=1e-4,
        max_position_embeddings=8,
    )
    assert record["overrides"] == {
        "hidden_act": "gelu_tanh", "layer_norm_eps": 1e-4, "max_position_embeddings": 8
    }  # fmt: skip
    same(tmp_path / "out", lambda batch: hf.expected_outputs(model, batch), positions=8)


def test_more_positions_than_trained_are_refused(hf: Any, tmp_path: Path) -> None:
    checkpoint = hf.save_safetensors(hf.build("BertModel"), tmp_path / "model")
    with pytest.raises(ConfigurationError, match="more positions"):
        hubexport.export_encoder(
            checkpoint=checkpoint, export_path=tmp_path / "out", max_position_embeddings=13
        )


@pytest.mark.parametrize("tensor", ["decoder.weight", "decoder.bias"])
def test_an_untied_decoder_is_refused(tensor: str, hf: Any, tmp_path: Path) -> None:
    """Its own values would be lost: the exported head is tied to the embeddings."""
    import torch

    model = hf.build("BertForPreTraining")
    hf.write_config(model, tmp_path, "config.json")
    state = hf.state_of(model)
    state[f"cls.predictions.{tensor}"].view(-1)[7] += 0.5
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(TensorMismatchError, match=rf"tied(.|\n)*cls\.predictions\.{tensor}"):
        hubexport.export_encoder(checkpoint=tmp_path, export_path=tmp_path / "out")
    assert not (tmp_path / "out").exists()


FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""Mode -> its key in configurations of sentence-transformers before release 6."""


def _flags(*modes: str) -> dict[str, bool]:
    return {flag: mode in modes for mode, flag in FLAGS.items()}


@pytest.mark.parametrize(
    ("modes", "pooling", "normalize", "newer"),
    [
        *(
            pytest.param(
                (mode,),
                _flags(mode),
                False,
                False,
                id=f"{mode}, flags",
                marks=[] if mode == "mean" else [pytest.mark.exhaustive],
            )
            for mode in FLAGS
        ),
        pytest.param(
            ("mean",),
            _flags("mean"),
            True,
            False,
            id="mean, normalized, flags",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(("cls", "mean"), _flags("mean", "cls"), True, False, id="cls + mean, flags"),
        pytest.param(("lasttoken",), {"pooling_mode": "lasttoken"}, True, True, id="lasttoken"),
        pytest.param(
            ("max",),
            {"pooling_mode": "max"},
            False,
            True,
            id="max",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            ("weightedmean", "cls"),
            {"pooling_mode": ["weightedmean", "cls"], "include_prompt": True},
            False,
            True,
            id="weightedmean + cls, in the order of the list",
        ),
    ],
)
def test_sentence_transformers(
    modes: tuple[str, ...],
    pooling: dict[str, Any],
    normalize: bool,
    newer: bool,
    hf: Any,
    same: Callable[..., None],
    tmp_path: Path,
) -> None:
    """`default` is the sentence's vector; `pooled_output` stays the checkpoint's pooler."""
    model = hf.build("BertModel")
    checkpoint = hf.save_safetensors(model, tmp_path / "model")
    hf.write_sentence_transformers(checkpoint, pooling, normalize=normalize, newer=newer)
    encoder = Unsaved(checkpoint)
    pooler = encoder.record["pooler"]
    assert pooler["pooled_output"] == "checkpoint"
    assert pooler["sentence_embedding"] == {"modes": list(modes), "normalize": normalize}

    def expected(batch: inputs.Tensors) -> compare.Expected:
        outputs = hf.expected_outputs(model, batch)
        default = hf.sentence_embedding(
            outputs["sequence_output"], batch["input_mask"], modes, normalize=normalize
        )
        return {**outputs, "default": default}

    same(encoder, expected)


@pytest.mark.parametrize(
    ("modes", "normalize"), [(("mean",), True), (("max", "mean_sqrt_len_tokens"), False)],
    ids=["mean, normalized", "max + mean_sqrt_len_tokens"],
)  # fmt: skip
def test_sentence_transformers_without_a_pooler(
    modes: tuple[str, ...],
    normalize: bool,
    hf: Any,
    same: Callable[..., None],
    tmp_path: Path,
) -> None:
    """Without a pooler in the checkpoint the sentence's vector is `pooled_output` as well."""
    model = hf.build("BertForMaskedLM")
    checkpoint = hf.save_safetensors(model, tmp_path / "model")
    hf.write_sentence_transformers(checkpoint, _flags(*modes), normalize=normalize, newer=False)

    def expected(batch: inputs.Tensors) -> compare.Expected:
        outputs = hf.expected_outputs(model, batch)
        outputs["pooled_output"] = hf.sentence_embedding(
            outputs["sequence_output"], batch["input_mask"], modes, normalize=normalize
        )
        return outputs

    same(Unsaved(checkpoint), expected)


def test_a_pooler_that_is_asked_for_replaces_the_sentence_embedding(
    hf: Any, same: Callable[..., None], tmp_path: Path
) -> None:
    model = hf.build("BertModel")
    checkpoint = hf.save_safetensors(model, tmp_path / "model")
    hf.write_sentence_transformers(checkpoint, _flags("mean"), normalize=True, newer=False)
    same(Unsaved(checkpoint, pooler="checkpoint"), lambda batch: hf.expected_outputs(model, batch))


def test_a_real_toy_checkpoint(hf: Any, same: Callable[..., None], tmp_path: Path) -> None:
    """camphr's test model, saved by an early transformers."""
    directory = material("checkpoints/hf_camphr_bert-test")
    model = hf.transformers.BertModel.from_pretrained(directory, attn_implementation="eager")
    model.eval()
    hubexport.export_encoder(checkpoint=directory, export_path=tmp_path / "out")
    same(
        tmp_path / "out",
        lambda batch: hf.expected_outputs(model, batch),
        vocab_size=1000,
        positions=64,
        types=2,
        least=0,
    )
    # Of two values a norm leaves only the signs, so look at the weights too.
    artifact = compare.Artifact(tmp_path / "out")
    for i, layer in enumerate(model.encoder.layer):
        for name, linear in (
            ("attention/self/query", layer.attention.self.query),
            ("attention/output/dense", layer.attention.output.dense),
            ("intermediate/dense", layer.intermediate.dense),
            ("output/dense", layer.output.dense),
        ):
            kernel = artifact.variable(f"encoder/layer_{i}/{name}/kernel")
            np.testing.assert_array_equal(kernel, linear.weight.detach().numpy().T)
