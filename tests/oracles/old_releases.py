"""Names and configurations of older releases: pytorch_pretrained_bert, pytorch_transformers 1 and
transformers 3 and 4, as their sources have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import transformers

State = dict[str, torch.Tensor]

_BIAS_OF_DECODER = ("cls.predictions.decoder.bias", "lm_head.decoder.bias")

_COMMON: Mapping[str, Any] = {
    "finetuning_task": None,
    "output_attentions": False,
    "output_hidden_states": False,
    "pruned_heads": {},
    "torchscript": False,
}

_BERT_KEYS = (
    "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size",
    "initializer_range", "intermediate_size", "layer_norm_eps", "max_position_embeddings",
    "num_attention_heads", "num_hidden_layers", "type_vocab_size", "vocab_size",
)  # fmt: skip

_DISTILBERT_KEYS = (
    "activation", "attention_dropout", "dim", "dropout", "hidden_dim", "initializer_range",
    "max_position_embeddings", "n_heads", "n_layers", "qa_dropout", "seq_classif_dropout",
    "sinusoidal_pos_embds", "vocab_size",
)  # fmt: skip


def with_old_norm_names(state: State) -> State:
    """LayerNorm's weights as pytorch_pretrained_bert called them."""
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in state.items():
        for new_end, old_end in old.items():
            name = name.removesuffix(new_end) + old_end if name.endswith(new_end) else name
        renamed[name] = tensor
    return renamed


def without_bias_of_decoder(state: State) -> State:
    """Masked language models up to 2.x: the head has a bias, and its decoder none of its own."""
    return {name: tensor for name, tensor in state.items() if name not in _BIAS_OF_DECODER}


def pytorch_transformers_config(model: transformers.PreTrainedModel) -> dict[str, Any]:
    """The content of config.json by release 1: no family, no padding id, no classes' names."""
    config = {**_COMMON, "num_labels": model.config.num_labels}
    if type(model).__name__.endswith("ForSequenceClassification"):
        config["finetuning_task"] = "mnli"
    distilbert = model.config.model_type == "distilbert"
    keys = _DISTILBERT_KEYS if distilbert else _BERT_KEYS
    config |= {key: getattr(model.config, key) for key in keys}
    return config | ({"tie_weights_": True} if distilbert else {})


def index_buffers(model: transformers.PreTrainedModel) -> State:
    """`position_ids`, and `token_type_ids` where there are types, int64 [1, P]."""
    encoder = getattr(model, model.base_model_prefix, model)
    prefix = "" if encoder is model else f"{model.base_model_prefix}."
    positions = torch.arange(model.config.max_position_embeddings)[None]
    buffers = {f"{prefix}embeddings.position_ids": positions}
    if model.config.model_type != "distilbert":
        buffers[f"{prefix}embeddings.token_type_ids"] = torch.zeros_like(positions)
    return buffers
