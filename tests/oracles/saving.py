"""transformers' models as files, in every format and layout that its releases wrote."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers

from tests.oracles import old_releases
from tests.oracles.families import SIZES
from tests.oracles.old_releases import State


def state_of(model: transformers.PreTrainedModel) -> State:
    """All tensors under the names that checkpoints had before tied tensors were left out."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def write_config(model: transformers.PreTrainedModel, directory: Path, name: str) -> None:
    """transformers' config.json, or with google-research/bert's keys only, bert_config.json."""
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    if name == "bert_config.json":
        keys = [
            *SIZES, "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob",
            "initializer_range",
        ]  # fmt: skip
        config = {key: config[key] for key in keys}
    (directory / name).write_text(json.dumps(config))


def _torch_save(state: State, directory: Path, **options: Any) -> None:
    torch.save(state, directory / "pytorch_model.bin", **options)


def save_safetensors(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """As transformers saves today."""
    model.save_pretrained(directory)
    assert (directory / "model.safetensors").is_file()
    return directory


def save_sharded_safetensors(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """As transformers saves what is larger than a shard."""
    model.save_pretrained(directory, max_shard_size="8KB")
    assert len(list(directory.glob("*.safetensors"))) > 2
    return directory


def save_safetensors_file(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """One file by safetensors itself, given by its name, the configuration beside it."""
    write_config(model, directory, "config.json")
    state = state_of(model)
    safetensors.torch.save_file(state, directory / "weights.safetensors", {"format": "pt"})
    return directory / "weights.safetensors"


def save_bin(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """PyTorch's zip format, tied tensors included."""
    write_config(model, directory, "config.json")
    _torch_save(model.state_dict(), directory)
    return directory


def save_sharded_bin(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """Several *.bin with an index; the tied tensors' copies are no longer the same storage."""
    write_config(model, directory, "config.json")
    state, weight_map = state_of(model), {}
    for i in range(3):
        file = f"pytorch_model-{i + 1:05}-of-00003.bin"
        names = list(state)[i::3]
        torch.save({name: state[name] for name in names}, directory / file)
        weight_map |= dict.fromkeys(names, file)
    (directory / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
    )
    return directory


def save_legacy_bin(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """PyTorch's format before 1.6, which is not a zip."""
    write_config(model, directory, "config.json")
    _torch_save(model.state_dict(), directory, _use_new_zipfile_serialization=False)
    return directory


def save_index_buffers(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """With the index buffers that releases 3 and 4 kept beside the weights."""
    write_config(model, directory, "config.json")
    _torch_save(model.state_dict() | old_releases.index_buffers(model), directory)
    return directory


def save_pytorch_transformers(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """As pytorch_transformers 1 saved: names and configuration of 2019, in a non-zip file."""
    config = old_releases.pytorch_transformers_config(model)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (directory / "config.json").write_text(text)
    state = old_releases.without_bias_of_decoder(model.state_dict())
    _torch_save(state, directory, _use_new_zipfile_serialization=False)
    return directory


def save_old_names(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """gamma and beta, in a non-zip file, with the index buffer that models used to have."""
    write_config(model, directory, "config.json")
    state = old_releases.with_old_norm_names(state_of(model))
    prefix = "bert." if any(name.startswith("bert.") for name in state) else ""
    state[f"{prefix}embeddings.position_ids"] = torch.arange(SIZES["max_position_embeddings"])
    _torch_save(state, directory, _use_new_zipfile_serialization=False)
    return directory


def save_archive(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """pytorch_pretrained_bert's bert-base-uncased.tar.gz."""
    write_config(model, directory, "bert_config.json")
    state = old_releases.with_old_norm_names(state_of(model))
    state = old_releases.without_bias_of_decoder(state)
    _torch_save(state, directory, _use_new_zipfile_serialization=False)
    archive = directory / "bert-tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("bert_config.json", "pytorch_model.bin"):
            tar.add(directory / name, arcname=f"./{name}")
            (directory / name).unlink()
    return archive


SAVERS: dict[str, Callable[[transformers.PreTrainedModel, Path], Path]] = {
    "safetensors": save_safetensors,
    "a named safetensors file": save_safetensors_file,
    "sharded safetensors": save_sharded_safetensors,
    "bin": save_bin,
    "sharded bin": save_sharded_bin,
    "legacy bin": save_legacy_bin,
    "index buffers": save_index_buffers,
    "pytorch_transformers": save_pytorch_transformers,
    "gamma and beta": save_old_names,
    "tar.gz": save_archive,
}
"""How a model is saved -> what writes it into a directory and returns the checkpoint's path."""

ONLY_BERT = ("gamma and beta", "tar.gz")
"""Those of releases that had BERT alone."""

SAVERS_OF_ALL = tuple(name for name in SAVERS if name not in ONLY_BERT)
