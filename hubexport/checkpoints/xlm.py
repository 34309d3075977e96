"""What sets facebookresearch/XLM's checkpoints apart: its settings are kept with the weights.

A file holds `{"model": state dict, "params": dict, "dico_id2word": ..., "dico_word2id": ...,
"dico_counts": ...}`, and of a training that can go on more. `params` are the program's arguments
and what it made of them, an array and a tensor among them. Source: `xlm/trainer.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubexport.checkpoints.fairseq import plain_values

PARAMS = "params"
"""The key of the settings, which hold a tensor that is none of the model's."""

LAYOUT = "xlm_original"
"""transformers' names, but without a prefix, and perhaps behind `module.`."""


def is_original(value: Any) -> bool:
    """Whether that is what a file of the program holds."""
    if not isinstance(value, dict):
        return False
    params = value.get(PARAMS)
    return isinstance(params, dict) and "emb_dim" in params and "dico_word2id" in value


def params_of(path: Path, value: Any) -> dict[str, Any]:
    """The settings in a file of the program, as far as they are plain values.

    Args:
      path: for errors.
      value: what the file holds, as the restricted pickle machine gives it.

    Raises:
      UnsafeCheckpointError: there are too many values, or they are nested too deep.
    """
    return plain_values(path, value[PARAMS], PARAMS)
