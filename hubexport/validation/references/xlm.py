"""XLM's own checkpoints as transformers knows them: names and configuration translated.

Meanings are those of transformers' script `convert_xlm_original_pytorch_checkpoint_to_pytorch`,
read independently of what the export goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = "pred_layer."
_KEYS = ("emb_dim", "n_layers", "n_heads", "dropout", "attention_dropout", "gelu_activation",
         "n_langs", "use_lang_emb", "id2lang", "lang2id")  # fmt: skip
"""Values of the program that transformers calls the same and that shape the network."""


def as_transformers(state: Mapping[str, Any]) -> dict[str, Any]:
    """The program's tensors under transformers' names."""
    names = {name: name.removeprefix("module.") for name in state}
    return {
        new if new.startswith(_HEAD) else f"transformer.{new}": state[old]
        for old, new in names.items()
    }


def configuration(params: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """transformers' configuration of the program's arguments; `state` is the translated one."""
    found = {key: params[key] for key in _KEYS if key in params}
    words, positions = (
        state[f"transformer.{name}.weight"] for name in ("embeddings", "position_embeddings")
    )
    found |= {"vocab_size": words.shape[0], "max_position_embeddings": positions.shape[0]}
    return {**found, "pad_token_id": params.get("pad_index", 2), "layer_norm_eps": 1e-12}
