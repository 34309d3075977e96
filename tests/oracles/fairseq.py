"""RoBERTa as fairseq's releases wrote it, made of transformers' models.

The names are those of fairseq's `models/roberta` and `modules/transformer_sentence_encoder.py`
through their releases, with `upgrade_state_dict_named` there; which of transformers' tensors is
which, those of transformers' `convert_roberta_original_pytorch_checkpoint_to_pytorch.py`. The
files around the tensors are those of `checkpoint_utils.py` and `trainer.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.oracles import families
from tests.oracles.inputs import Tensors
from tests.oracles.old_releases import State


@dataclasses.dataclass(frozen=True)
class Layout:
    """What releases called what they all have.

    Attributes:
      root: the encoder's module; the first releases took it for a decoder.
      embedding_norm: the norm after the tables.
      fused: queries, keys and values are one matrix [3 H, H], in this order.
      transformer: the encoder is that of translation: it has a buffer for its version, and
        `encoder_normalize_before` moves its norms, where it had no effect before.
      settings: the file's key that holds them.
    """

    root: str
    embedding_norm: str
    fused: bool = False
    transformer: bool = False
    settings: str = "args"


LAYOUTS: Mapping[str, Layout] = {
    "old": Layout("decoder", "emb_layer_norm", fused=True),
    "intermediate": Layout("decoder", "emb_layer_norm"),
    "renamed": Layout("encoder", "emb_layer_norm"),
    "new": Layout("encoder", "layernorm_embedding", transformer=True),
    "new, cfg": Layout("encoder", "layernorm_embedding", transformer=True, settings="cfg"),
}
"""The names of the releases from 2019 to 2021, oldest first."""

_TABLES = {"word_embeddings": "embed_tokens", "position_embeddings": "embed_positions"}

_OF_LAYER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}
"""transformers' modules of a layer -> fairseq's."""

_ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "gelu_new": "gelu_accurate"}


def build(name: str, **config: Any) -> transformers.PreTrainedModel:
    """`families.build` of a RoBERTa, without what fairseq has none of: token types, a pooler."""
    model = families.build(name, **config)
    encoder = families.encoder_of(model)
    with torch.no_grad():
        encoder.embeddings.token_type_embeddings.weight.zero_()
    encoder.pooler = None
    return model


def state_of(
    model: transformers.PreTrainedModel,
    layout: str,
    heads: Mapping[str, transformers.PreTrainedModel] | None = None,
) -> State:
    """The tensors under fairseq's names, tied ones in one storage.

    Args:
      model: of `build`: its encoder, and its masked language model, if it has one.
      layout: a key of `LAYOUTS`.
      heads: name -> RobertaForSequenceClassification around the same encoder.
    """
    of = LAYOUTS[layout]
    encoder = families.encoder_of(model)
    ours = encoder.state_dict()
    assert not ours["embeddings.token_type_embeddings.weight"].any(), "fairseq has no token types"
    scope = f"{of.root}.sentence_encoder"
    state = {}
    if of.transformer:
        state[f"{scope}.version"] = torch.tensor([3.0])
    for name, theirs in _TABLES.items():
        state[f"{scope}.{theirs}.weight"] = ours[f"embeddings.{name}.weight"]
    for leaf in ("weight", "bias"):
        state[f"{scope}.{of.embedding_norm}.{leaf}"] = ours[f"embeddings.LayerNorm.{leaf}"]
        for i in range(model.config.num_hidden_layers):
            layer = {
                f"{scope}.layers.{i}.{theirs}.{leaf}": ours[f"encoder.layer.{i}.{name}.{leaf}"]
                for name, theirs in _OF_LAYER.items()
            }
            if of.fused:
                attention = f"{scope}.layers.{i}.self_attn"
                parts = [layer.pop(f"{attention}.{part}_proj.{leaf}") for part in "qkv"]
                layer[f"{attention}.in_proj_{leaf}"] = torch.cat(parts)
            state |= layer
    if isinstance(model, transformers.RobertaForMaskedLM):
        head = model.lm_head.state_dict()
        for name in ("dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias"):
            state[f"{of.root}.lm_head.{name}"] = head[name]
        state[f"{of.root}.lm_head.weight"] = head["decoder.weight"]
    for name, classifier in (heads or {}).items():
        for key, tensor in families.encoder_of(classifier).state_dict().items():
            assert torch.equal(tensor, ours[key]), f"{name} is around another encoder: {key}"
        for key, tensor in classifier.classifier.state_dict().items():
            state[f"classification_heads.{name}.{key}"] = tensor
    return state


def settings(
    model: transformers.PreTrainedModel, layout: str, **changed: Any
) -> argparse.Namespace:
    """The command line of a pre-training, as the file keeps it."""
    c = model.config
    values = {
        "activation_dropout": 0.0,
        "activation_fn": _ACTIVATIONS[c.hidden_act],
        "adam_betas": "(0.9, 0.98)",
        "adam_eps": 1e-06,
        "arch": "roberta_base",
        "attention_dropout": 0.1,
        "criterion": "masked_lm",
        "data": "/data/books:/data/news",
        "dropout": 0.1,
        "encoder_attention_heads": c.num_attention_heads,
        "encoder_embed_dim": c.hidden_size,
        "encoder_ffn_embed_dim": c.intermediate_size,
        "encoder_layers": c.num_hidden_layers,
        "encoder_normalize_before": not LAYOUTS[layout].transformer,
        "fp16": True,
        "lr": [0.0006],
        "max_positions": families.longest(model),
        "max_update": 500000,
        "no_save_optimizer_state": False,
        "pooler_activation_fn": "tanh",
        "pooler_dropout": 0.0,
        "sample_break_mode": "complete",
        "task": "masked_lm",
        "tokens_per_sample": families.longest(model),
        "update_freq": [16],
        "user_dir": None,
    }
    if LAYOUTS[layout].transformer:
        values |= {
            "encoder_learned_pos": True,
            "encoder_layers_to_keep": None,
            "encoder_layerdrop": 0.0,
            "layernorm_embedding": True,
            "no_scale_embedding": True,
            "quant_noise_pq": 0,
            "spectral_norm_classification_head": False,
            "untie_weights_roberta": False,
        }
    return argparse.Namespace(**{**values, **changed})


def write_checkpoint(
    path: Path,
    model: transformers.PreTrainedModel,
    *,
    layout: str = "old",
    heads: Mapping[str, transformers.PreTrainedModel] | None = None,
    legacy: bool = False,
    optimizer: bool = True,
    **changed: Any,
) -> Path:
    """Writes model.pt.

    Args:
      path: of the file.
      model: of `build`. A RobertaForSequenceClassification is written as the head "mnli".
      layout: a key of `LAYOUTS`.
      heads: further heads, as `state_of` takes them.
      legacy: in PyTorch's format before 1.6, which is not a zip.
      optimizer: with the state of the optimizer, as the files of a training have it.
      **changed: settings that are to be others.
    """
    heads = dict(heads or {})
    if isinstance(model, transformers.RobertaForSequenceClassification):
        heads["mnli"] = model
    arguments = settings(model, layout, **changed)
    content: dict[str, Any] = {"args": arguments}
    if LAYOUTS[layout].settings == "cfg":
        config = {"_name": None, "common": {"fp16": True, "seed": 1}, "model": arguments}
        content = {"args": None, "cfg": config, "criterion": None, "task_state": {}}
    state = state_of(model, layout, heads)
    history = {
        "criterion_name": "MaskedLmLoss",
        "optimizer_name": "MemoryEfficientFP16Optimizer",
        "lr_scheduler_state": {"best": 3.25},
        "num_updates": 500000,
    }
    content |= {
        "model": state,
        "optimizer_history": [history],
        "extra_state": {
            "train_iterator": {"epoch": 3, "iterations_in_epoch": 7, "shuffle": True},
            "val_loss": 3.25,
            "best": 3.25,
        },
    }
    if optimizer:
        moments = {
            i: {"step": 500000, "exp_avg": value + 1.0, "exp_avg_sq": value**2}
            for i, value in enumerate(state.values())
        }
        groups = [{"lr": 0.0006, "betas": (0.9, 0.98), "params": list(moments)}]
        content["last_optimizer_state"] = {"state": moments, "param_groups": groups}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def expected_outputs(
    model: transformers.PreTrainedModel,
    batch: Tensors,
    heads: Mapping[str, transformers.PreTrainedModel] | None = None,
) -> dict[str, Any]:
    """`families.expected_outputs`, with `<name>_logits` [B, C] of further heads.

    Padding has to have the padding's id: fairseq knows no other mask.
    """
    expected = families.expected_outputs(model, batch)
    for name, classifier in (heads or {}).items():
        outputs = families.expected_outputs(classifier, batch)
        assert np.array_equal(outputs["sequence_output"], expected["sequence_output"])
        expected[f"{name}_logits"] = outputs["classifier_logits"]
    return expected
