"""What sentence-transformers directories declare from text to embedding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.checkpoints.sentence_model import (
    DenseModule,
    NormalizeModule,
    SentenceModel,
    read_sentence_model,
)
from hubexport.errors import ConfigurationError, TensorMismatchError

safetensors = pytest.importorskip("safetensors.numpy")

DENSE = {
    "in_features": 4,
    "out_features": 3,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.Tanh",
}
WEIGHTS = {"linear.weight": (3, 4), "linear.bias": (3,)}


def write(
    directory: Path,
    kinds: tuple[str, ...] = ("Transformer", "Pooling", "Dense", "Normalize"),
    dense: dict[str, Any] = DENSE,
    weights: dict[str, tuple[int, ...]] = WEIGHTS,
    **files: Any,
) -> Path:
    modules = []
    for number, kind in enumerate(kinds):
        path = f"{number}_{kind}" if number else ""
        (directory / path).mkdir(exist_ok=True)
        modules.append({"path": path, "type": f"sentence_transformers.models.{kind}"})
        if kind == "Pooling":
            said = {"pooling_mode": "mean", "include_prompt": False}
            (directory / path / "config.json").write_text(json.dumps(said))
        if kind == "Dense":
            (directory / path / "config.json").write_text(json.dumps(dense))
            tensors = {name: np.ones(shape, np.float32) for name, shape in weights.items()}
            safetensors.save_file(tensors, directory / path / "model.safetensors")
    (directory / "modules.json").write_text(json.dumps(modules))
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def read(directory: Path) -> SentenceModel:
    model = read_sentence_model(directory)
    assert model is not None
    return model


def test_nothing_is_declared(tmp_path: Path) -> None:
    assert read_sentence_model(tmp_path) is None
    assert read_sentence_model(write(tmp_path, ("Transformer",))) is None


def test_everything(tmp_path: Path) -> None:
    write(
        tmp_path,
        sentence_bert_config={"max_seq_length": 256, "do_lower_case": True},
        config_sentence_transformers={
            "prompts": {"query": "q: ", "document": None}, "default_prompt_name": "query",
            "similarity_fn_name": "dot",
        },
    )  # fmt: skip
    model = read(tmp_path)
    assert (model.modes, model.include_prompt) == (("mean",), False)
    dense, normalize = model.steps
    assert isinstance(dense, DenseModule) and isinstance(normalize, NormalizeModule)
    assert (dense.path, dense.size, dense.activation) == ("2_Dense", 3, "tanh")
    assert dense.bias is not None and dense.kernel.shape == (3, 4)
    assert (model.max_seq_length, model.do_lower_case) == (256, True)
    assert (model.prompts, model.default_prompt) == ({"query": "q: ", "document": ""}, "query")
    assert model.similarity == "dot"
    assert {file.name for file in model.files} == {
        "modules.json", "config.json", "model.safetensors", "sentence_bert_config.json",
        "config_sentence_transformers.json",
    }  # fmt: skip


def test_defaults(tmp_path: Path) -> None:
    dense = {key: value for key, value in DENSE.items() if key != "activation_function"}
    model = read(write(tmp_path, dense={**dense, "bias": False},
                       weights={"linear.weight": (3, 4)}))  # fmt: skip
    assert model.layers[0].activation == "tanh" and model.layers[0].bias is None
    assert (model.max_seq_length, model.prompts, model.similarity) == (None, {}, "cosine")


LENGTHS = "sentence_bert_config"
PROMPTS = "config_sentence_transformers"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kinds": ("Transformer", "Pooling", "LSTM")}, "Transformer -> Pooling -> LSTM"),
        ({"kinds": ("WordEmbeddings", "Pooling")}, "WordEmbeddings -> Pooling"),
        ({"dense": {**DENSE, "use_residual": True}}, "use_residual"),
        ({"dense": {**DENSE, "module_input_name": "token_embeddings"}}, "token_embeddings"),
        ({"dense": {**DENSE, "activation_function": "torch.nn.modules.activation.GELU"}}, "GELU"),
        ({"dense": {**DENSE, "activation_function": "mine.Tanh"}}, "mine.Tanh"),
        ({LENGTHS: {"query_length": 8}}, "query_length: 8"),
        ({LENGTHS: {"transformer_task": "fill-mask"}}, "fill-mask"),
        ({LENGTHS: {"max_seq_length": "long"}}, "max_seq_length: 'long'"),
        ({PROMPTS: {"default_prompt_name": "query"}}, "default_prompt_name: 'query'"),
        ({PROMPTS: {"prompts": {"query": 3}}}, "not texts: query"),
        ({PROMPTS: ["prompts"]}, "something else than an object"),
    ],
)
def test_what_is_not_reproduced(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_sentence_model(write(tmp_path, **changes))
    assert said in str(caught.value)
    assert ".json" in str(caught.value)


@pytest.mark.parametrize(
    "weights",
    [
        {"linear.weight": (4, 3), "linear.bias": (3,)},
        {"linear.weight": (3, 4)},
        {**WEIGHTS, "residual.weight": (3, 4)},
    ],
)
def test_weights_that_do_not_fit(weights: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    with pytest.raises(TensorMismatchError, match="not those of its configuration") as caught:
        read_sentence_model(write(tmp_path, weights=weights))
    assert "linear.weight [3, 4], linear.bias [3]" in str(caught.value)
