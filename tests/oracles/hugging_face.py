"""transformers' own models and their files, and sentence-transformers' pooling by its published
formulas."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.oracles.families import SIZES, build, expected_outputs
from tests.oracles.saving import SAVERS, save_safetensors, state_of, write_config

__all__ = [
    "POOLINGS", "SAVERS", "SIZES", "build", "expected_outputs", "save_safetensors",
    "sentence_embedding", "state_of", "torch", "transformers", "write_config",
    "write_sentence_transformers",
]  # fmt: skip


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
