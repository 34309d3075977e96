"""References by transformers are its models' own outputs, of complete checkpoints only.

Which classes, and what each gives, is in test_transformers_heads.py.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import (
    CheckpointError,
    ConfigurationError,
    HubexportError,
    TensorMismatchError,
)
from hubexport.validation.reference_file import ReferenceError
from hubexport.validation.references.job import make_reference
from tests.material import material
from tests.validation.references.expected import RANDOM_CASES, assert_outputs


@pytest.fixture(scope="module")
def hf() -> Any:
    """`tests.oracles.hugging_face`, imported when needed."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import hugging_face

    return hugging_face


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`make_reference` into `tmp_path / "reference"`."""

    def call(checkpoint: Path, **arguments: Any) -> dict[str, Any]:
        return make_reference(
            source="transformers",
            checkpoint=checkpoint,
            output=tmp_path / "reference",
            **arguments,
        )

    return call


@pytest.fixture
def refused(
    tmp_path: Path, make: Callable[..., dict[str, Any]]
) -> Callable[[type[HubexportError], Path], str]:
    """Expects an error and no file; gives the message."""

    def call(error: type[HubexportError], checkpoint: Path) -> str:
        with pytest.raises(error) as caught:
            make(checkpoint)
        assert not (tmp_path / "reference").exists()
        assert not list(tmp_path.glob(".reference*"))
        return str(caught.value)

    return call


@pytest.mark.parametrize(
    "saver",
    [
        "sharded safetensors", "sharded bin", "gamma and beta", "tar.gz",
        *(pytest.param(each, marks=pytest.mark.exhaustive)
          for each in ("a named safetensors file", "bin", "legacy bin")),
    ],
)  # fmt: skip
def test_every_file_format(saver: str, hf: Any, make: Any, tmp_path: Path) -> None:
    model = hf.build("BertForPreTraining")
    (tmp_path / "model").mkdir()
    make(hf.SAVERS[saver](model, tmp_path / "model"))
    assert_outputs(tmp_path / "reference", lambda inputs: hf.expected_outputs(model, inputs))


@pytest.mark.parametrize("saver", ["gamma and beta", "sharded bin"])
def test_without_the_prefix(saver: str, hf: Any, make: Any, tmp_path: Path) -> None:
    model = hf.build("BertModel")
    (tmp_path / "model").mkdir()
    make(hf.SAVERS[saver](model, tmp_path / "model"))
    assert_outputs(tmp_path / "reference", lambda inputs: hf.expected_outputs(model, inputs))


def save_state(hf: Any, model: Any, state: dict[str, Any], directory: Path) -> Path:
    import safetensors.torch

    directory.mkdir()
    hf.write_config(model, directory, "config.json")
    safetensors.torch.save_file(state, directory / "model.safetensors", {"format": "pt"})
    return directory


def test_a_pooler_beside_the_masked_language_model(hf: Any, make: Any, tmp_path: Path) -> None:
    """As older releases saved BertForMaskedLM: today's class would drop the pooler."""
    model = hf.build("BertForPreTraining")
    state = {k: v for k, v in hf.state_of(model).items() if "seq_relationship" not in k}
    make(save_state(hf, model, state, tmp_path / "model"))

    def expected(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        outputs = hf.expected_outputs(model, inputs)
        outputs.pop("nsp_logits")
        return outputs

    assert_outputs(tmp_path / "reference", expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_are_computed_in_float32(
    dtype: str, hf: Any, make: Any, tmp_path: Path
) -> None:
    model = hf.build("BertForPreTraining")
    model = {"float16": model.half, "bfloat16": model.bfloat16}[dtype]()
    make(hf.save_safetensors(model, tmp_path / "model"))
    widened = model.float()
    assert_outputs(tmp_path / "reference", lambda inputs: hf.expected_outputs(widened, inputs))


def test_activation_and_epsilon_of_the_configuration(hf: Any, make: Any, tmp_path: Path) -> None:
    model = hf.build("BertForPreTraining", hidden_act="gelu_new", layer_norm_eps=1e-3)
    make(hf.save_safetensors(model, tmp_path / "model"))
    assert_outputs(tmp_path / "reference", lambda inputs: hf.expected_outputs(model, inputs))


@pytest.mark.parametrize(
    ("pooling", "modes", "normalize", "newer"),
    [
        ({"pooling_mode_mean_tokens": True}, ("mean",), True, False),
        ({"pooling_mode_cls_token": True}, ("cls",), False, False),
        ({"pooling_mode": ["max", "mean"]}, ("max", "mean"), True, True),
        ({"pooling_mode": "weightedmean"}, ("weightedmean",), False, True),
    ],
)
def test_sentence_embedding(
    pooling: dict[str, Any],
    modes: tuple[str, ...],
    normalize: bool,
    newer: bool,
    hf: Any,
    make: Any,
    tmp_path: Path,
) -> None:
    pytest.importorskip("sentence_transformers")
    model = hf.build("BertModel")
    checkpoint = hf.save_safetensors(model, tmp_path / "model")
    hf.write_sentence_transformers(checkpoint, pooling, normalize=normalize, newer=newer)
    summary = make(checkpoint)
    assert any("by sentence-transformers" in note for note in summary["provenance"]["notes"])

    def expected(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        outputs = hf.expected_outputs(model, inputs)
        outputs["sentence_embedding"] = hf.sentence_embedding(
            outputs["sequence_output"], inputs["input_mask"], modes, normalize=normalize
        )
        return outputs

    assert_outputs(tmp_path / "reference", expected)


def test_a_sentence_embedding_with_other_steps_is_left_out(
    hf: Any, make: Any, tmp_path: Path
) -> None:
    checkpoint = hf.save_safetensors(hf.build("BertModel"), tmp_path / "model")
    modules = [{"type": f"sentence_transformers.models.{k}"} for k in ("Transformer", "Dense")]
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    summary = make(checkpoint)
    assert "sentence_embedding" not in summary["outputs"]
    assert any("no sentence_embedding" in note for note in summary["provenance"]["notes"])


@pytest.mark.parametrize(
    "tensor",
    [
        "bert.encoder.layer.1.output.dense.bias",
        "bert.embeddings.LayerNorm.weight",
        "bert.pooler.dense.bias",
        "cls.predictions.transform.dense.weight",
        "cls.seq_relationship.bias",
    ],
)
def test_a_missing_tensor_is_never_random(
    tensor: str, hf: Any, refused: Any, tmp_path: Path
) -> None:
    model = hf.build("BertForPreTraining")
    state = hf.state_of(model)
    del state[tensor]
    message = refused(TensorMismatchError, save_state(hf, model, state, tmp_path / "model"))
    assert f"missing (1): {tensor}" in message


def test_the_next_sentence_head_needs_the_pooler(hf: Any, refused: Any, tmp_path: Path) -> None:
    model = hf.build("BertForNextSentencePrediction")
    state = {k: v for k, v in hf.state_of(model).items() if "pooler" not in k}
    message = refused(TensorMismatchError, save_state(hf, model, state, tmp_path / "model"))
    assert "missing (2): bert.pooler.dense.bias, bert.pooler.dense.weight" in message


def change_config(directory: Path, **values: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_another_size_than_configured(hf: Any, refused: Any, tmp_path: Path) -> None:
    checkpoint = hf.save_safetensors(hf.build("BertForPreTraining"), tmp_path / "model")
    change_config(checkpoint, num_hidden_layers=1, max_position_embeddings=13)
    message = refused(TensorMismatchError, checkpoint)
    assert "not used (16): bert.encoder.layer.1." in message
    assert "bert.embeddings.position_embeddings.weight [12, 16], needed [13, 16]" in message
    change_config(checkpoint, num_hidden_layers=3, max_position_embeddings=12)
    assert "missing (16): bert.encoder.layer.2." in refused(TensorMismatchError, checkpoint)


def test_a_model_of_no_known_family(hf: Any, refused: Any, tmp_path: Path) -> None:
    checkpoint = hf.save_safetensors(hf.build("BertModel"), tmp_path / "model")
    change_config(checkpoint, model_type="albert")
    assert "model_type albert" in refused(ConfigurationError, checkpoint)


def test_weights_that_are_not_finite(hf: Any, refused: Any, tmp_path: Path) -> None:
    model = hf.build("BertModel")
    state = hf.state_of(model)
    state["encoder.layer.0.output.dense.bias"][3] = float("inf")
    message = refused(ReferenceError, save_state(hf, model, state, tmp_path / "model"))
    assert "not finite" in message


def test_no_pickle_is_executed(hf: Any, refused: Any, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "model").mkdir()
    hf.write_config(hf.build("BertModel"), tmp_path / "model", "config.json")
    file = tmp_path / "model" / "pytorch_model.bin"
    hf.torch.save({"embeddings": Malicious()}, file)
    with pytest.raises(pickle.UnpicklingError):
        hf.torch.load(file, weights_only=True)  # or the test would prove nothing
    refused(CheckpointError, tmp_path / "model")
    assert not (tmp_path / "executed").exists()


def test_a_real_toy_checkpoint(hf: Any, make: Any, tmp_path: Path) -> None:
    """camphr's test model, with its own tokenizer."""
    directory = material("checkpoints/hf_camphr_bert-test")
    model = hf.transformers.BertModel.from_pretrained(directory, attn_implementation="eager")
    summary = make(directory)
    assert [*RANDOM_CASES, "texts", "text_pairs"] == list(summary["cases"])
    # Of its two hidden values a norm leaves only the signs.
    reference = assert_outputs(
        tmp_path / "reference", lambda inputs: hf.expected_outputs(model, inputs), least=0
    )
    tokenizer = hf.transformers.BertTokenizer.from_pretrained(directory)
    for name in ("texts", "text_pairs"):
        case = reference.cases[name]
        rows = [
            tokenizer(*segments, padding="max_length", truncation=True, max_length=64)
            for segments in case.texts
        ]
        for key, ours in (
            ("input_ids", "input_word_ids"),
            ("attention_mask", "input_mask"),
            ("token_type_ids", "input_type_ids"),
        ):
            np.testing.assert_array_equal(case.inputs[ours], [row[key] for row in rows])
        assert case.inputs["input_mask"].all(axis=1).any(), "nothing is cut off"
