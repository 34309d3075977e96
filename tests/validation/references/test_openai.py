"""OpenAI's releases are read and translated into what transformers has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.checkpoints.opening import open_checkpoint
from hubexport.errors import CheckpointError
from hubexport.validation.references import openai
from hubexport.validation.references.sources import MAKERS, layout_of
from tests import tiny
from tests.oracles.openai import write_gpt, write_gpt2

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SIZES = {"vocab_size": 50, "n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 2}


def model_of(name: str) -> Any:
    """Of random weights, no bias or norm left as it is initialized."""
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**SIZES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)
    return model


def assert_state(state: dict[str, Any], model: Any) -> None:
    expected = dict(model.named_parameters())
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("pieces", [1, 10])
def test_gpt(tmp_path: Path, pieces: int) -> None:
    model = model_of("OpenAIGPT")
    source = open_checkpoint(write_gpt(tmp_path, model, pieces))
    assert layout_of(source) == source.layout == "openai"
    assert_state(openai.read_state_dict(source), model)


def test_kernels_without_the_axis_of_one(tmp_path: Path) -> None:
    model = model_of("OpenAIGPT")
    path = write_gpt(tmp_path, model)
    path.write_text(path.read_text().replace("[1, ", "["))
    assert_state(openai.read_state_dict(open_checkpoint(path)), model)


def test_gpt2(tmp_path: Path) -> None:
    """An optimizer's slots and counters are not part of it."""
    model = model_of("GPT2")
    slots = {"model/wte/Adam": np.zeros((50, 16)), "beta1_power": np.zeros(())}
    source = open_checkpoint(write_gpt2(tmp_path, model, **slots))
    assert (source.layout, layout_of(source)) == ("tf1", "openai")
    assert_state(openai.read_state_dict(source), model)


def test_other_tensors(tmp_path: Path) -> None:
    others = {"model/h0/attn/c_attn/v": np.zeros(3), "model/clf/w": np.zeros(3)}
    source = open_checkpoint(write_gpt2(tmp_path, model_of("GPT2"), **others))
    with pytest.raises(CheckpointError, match="not known: model/clf/w, model/h0/attn/c_attn/v"):
        openai.read_state_dict(source)


def test_damaged(tmp_path: Path) -> None:
    """What the export would refuse, the reference's own readers refuse, too."""
    source = open_checkpoint(write_gpt(tmp_path / "gpt", model_of("OpenAIGPT")))
    np.save(tmp_path / "gpt" / "params_3.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(CheckpointError, match="NumPy cannot read the checkpoint"):
        openai.read_state_dict(source)
    source = open_checkpoint(write_gpt2(tmp_path / "gpt2", model_of("GPT2")))
    (tmp_path / "gpt2" / "model.ckpt.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(CheckpointError, match="TensorFlow cannot read the checkpoint"):
        openai.read_state_dict(source)


def test_who_reads_what(tmp_path: Path) -> None:
    """Model Garden has BERT, and transformers no longer reads TensorFlow's checkpoints of it."""
    bert = open_checkpoint(tiny.write_checkpoint(tmp_path / "bert"))
    gpt2 = open_checkpoint(write_gpt2(tmp_path / "gpt2", model_of("GPT2")))
    assert layout_of(bert) == "tf1"
    readers = [
        {name for name, maker in MAKERS.items() if layout_of(source) in maker.layouts}
        for source in (bert, gpt2)
    ]
    assert readers == [{"model_garden", "file"}, {"transformers", "file"}]


def test_configuration() -> None:
    released = {"n_vocab": 50, "n_ctx": 12, "n_embd": 16, "n_layer": 2, "n_head": 2}
    assert openai.configuration(released) == SIZES
    config = transformers.GPT2Config(**openai.configuration(released))
    assert (config.vocab_size, config.n_positions, config.activation_function) == (
        50, 12, "gelu_new",
    )  # fmt: skip
