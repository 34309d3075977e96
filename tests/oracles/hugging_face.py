"""transformers' own models, checkpoints as its releases wrote them, and sentence-transformers'
pooling by its published formulas."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import safetensors.torch
import torch
import transformers

from tests.oracles.inputs import Tensors, random_weight

State = dict[str, torch.Tensor]

SIZES: Mapping[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "type_vocab_size": 3,
}


def build(name: str, **config: Any) -> transformers.PreTrainedModel:
    """A tiny model of that class, every weight random, as float32."""
    model = getattr(transformers, name)(
        transformers.BertConfig(**{**SIZES, **config}, attn_implementation="eager")
    )
    generator = np.random.default_rng(4)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            value = random_weight(generator, key, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(value))
    return model.eval()


def state_of(model: transformers.PreTrainedModel) -> State:
    """All tensors under the names that checkpoints had before tied tensors were left out."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def with_old_norm_names(state: State) -> State:
    """LayerNorm's weights as pytorch_pretrained_bert called them."""
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in state.items():
        for new_end, old_end in old.items():
            name = name.removesuffix(new_end) + old_end if name.endswith(new_end) else name
        renamed[name] = tensor
    return renamed


def write_config(model: transformers.PreTrainedModel, directory: Path, name: str) -> None:
    """transformers' config.json, or with google-research/bert's keys only, bert_config.json."""
    config = {**model.config.to_dict(), "model_type": "bert"}
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
    """PyTorch's format before 1.6, which is no zip."""
    write_config(model, directory, "config.json")
    _torch_save(model.state_dict(), directory, _use_new_zipfile_serialization=False)
    return directory


def save_old_names(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """gamma and beta, in a non-zip file, with the index buffer that models used to have."""
    write_config(model, directory, "config.json")
    state = with_old_norm_names(state_of(model))
    prefix = "bert." if any(name.startswith("bert.") for name in state) else ""
    state[f"{prefix}embeddings.position_ids"] = torch.arange(SIZES["max_position_embeddings"])
    _torch_save(state, directory, _use_new_zipfile_serialization=False)
    return directory


def save_archive(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """pytorch_pretrained_bert's bert-base-uncased.tar.gz."""
    write_config(model, directory, "bert_config.json")
    state = with_old_norm_names(state_of(model))
    # It had no bias of its own in the decoder.
    state.pop("cls.predictions.decoder.bias", None)
    _torch_save(state, directory, _use_new_zipfile_serialization=False)
    archive = directory / "bert-tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("bert_config.json", "pytorch_model.bin"):
            tar.add(directory / name, arcname=f"./{name}")
            (directory / name).unlink()
    return archive


def save_safetensors_file(model: transformers.PreTrainedModel, directory: Path) -> Path:
    """One file by safetensors itself, given by its name, the configuration beside it."""
    write_config(model, directory, "config.json")
    state = state_of(model)
    safetensors.torch.save_file(state, directory / "weights.safetensors", {"format": "pt"})
    return directory / "weights.safetensors"


SAVERS: dict[str, Callable[[transformers.PreTrainedModel, Path], Path]] = {
    "safetensors": save_safetensors,
    "a named safetensors file": save_safetensors_file,
    "sharded safetensors": save_sharded_safetensors,
    "bin": save_bin,
    "sharded bin": save_sharded_bin,
    "legacy bin": save_legacy_bin,
    "gamma and beta": save_old_names,
    "tar.gz": save_archive,
}
"""How a model is saved -> what writes it into a directory and returns the checkpoint's path."""


def expected_outputs(model: transformers.PreTrainedModel, batch: Tensors) -> dict[str, Any]:
    """The outputs under the names of the exported artifact, of those that the model has."""
    with torch.no_grad():
        outputs = model(
            input_ids=torch.from_numpy(batch["input_word_ids"]).long(),
            attention_mask=torch.from_numpy(batch["input_mask"]).long(),
            token_type_ids=torch.from_numpy(batch["input_type_ids"]).long(),
            output_hidden_states=True,
            return_dict=True,
        )
        layers = [layer.numpy() for layer in outputs.hidden_states[1:]]
        expected: dict[str, Any] = {"encoder_outputs": layers, "sequence_output": layers[-1]}
        encoder = getattr(model, "bert", model)
        if encoder.pooler is not None:
            expected["pooled_output"] = encoder.pooler(outputs.hidden_states[-1]).numpy()
        mlm = outputs.get("prediction_logits")
        if isinstance(model, transformers.BertForMaskedLM):
            mlm = outputs.logits
        if mlm is not None:
            rows = torch.arange(mlm.shape[0])[:, None]
            expected["mlm_logits"] = mlm[rows, batch["masked_lm_positions"]].numpy()
        nsp = outputs.get("seq_relationship_logits")
        if isinstance(model, transformers.BertForNextSentencePrediction):
            nsp = outputs.logits
        if nsp is not None:
            expected["nsp_logits"] = nsp.numpy()
    return expected


def write_sentence_transformers(
    directory: Path, pooling: Mapping[str, Any], *, normalize: bool, newer: bool
) -> None:
    """The files that make a directory of transformers one of sentence-transformers.

    Args:
      directory: holds the model itself.
      pooling: content of the pooling's configuration, less the dimension.
      normalize: whether the pipeline ends in Normalize.
      newer: whether classes and dimension are called as in release 6.
    """
    types = {
        "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
        "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "Normalize": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
    }
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": paths[i],
            "type": types[kind] if newer else f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(list(types)[: 3 if normalize else 2])
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    for module in modules[1:]:
        (directory / module["path"]).mkdir()
    dimension = "embedding_dimension" if newer else "word_embedding_dimension"
    (directory / "1_Pooling" / "config.json").write_text(
        json.dumps({dimension: SIZES["hidden_size"], **pooling})
    )


def _cls(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return tokens[:, 0]


def _max(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return tokens.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(dim=1)


def _mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (tokens * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _mean_sqrt_len(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (tokens * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).sqrt()


def _weighted_mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask * torch.arange(1, mask.shape[1] + 1)
    return (tokens * weights[:, :, None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)


def _last_token(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.stack([row[int(m.nonzero()[-1])] for row, m in zip(tokens, mask, strict=True)])


POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last_token,
}
"""What sentence_transformers' Pooling computes, for rows of at least one token."""


def sentence_embedding(
    sequence: np.ndarray, mask: np.ndarray, modes: Sequence[str], *, normalize: bool
) -> np.ndarray:
    """Pooled vectors of token vectors [B, S, H] with their mask [B, S]: [B, len(modes) * H]."""
    tokens, float_mask = torch.from_numpy(sequence), torch.from_numpy(mask).float()
    pooled = torch.cat([POOLINGS[mode](tokens, float_mask) for mode in modes], dim=1)
    return (torch.nn.functional.normalize(pooled, p=2, dim=1) if normalize else pooled).numpy()
