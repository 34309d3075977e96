"""What the shapes of GPT's release say of its model: it comes without a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.untrusted import clipped
from hubexport.errors import ConfigurationError

_ALIASES = {
    "vocab_size": ("n_vocab", "vocab_size_or_config_json_file"),
    "n_positions": ("n_ctx", "max_position_embeddings"),
    "n_embd": ("hidden_size",),
    "n_layer": ("num_hidden_layers",),
}
"""What the shapes say -> what else programs call it in their files."""

_HEADS = ("n_head", "num_attention_heads")
_PUBLISHED = {"vocab_size": 40478, "n_positions": 512, "n_embd": 768, "n_layer": 12}
_PUBLISHED_HEADS = 12
"""What train.py of openai/finetune-transformer-lm, which loads the release, takes if not told
otherwise: a model of these very shapes is that one."""


def complete(
    checkpoint: Path,
    shapes: Mapping[str, Any],
    given: Mapping[str, Any],
    file: Path | None,
) -> dict[str, Any]:
    """The model's values: those of its shapes, and those of a file that says more.

    Args:
      checkpoint: for errors.
      shapes: what they say (`TensorSource.settings`).
      given: what the file says, {} without one.
      file: the file, for errors.

    Raises:
      ConfigurationError: the file disagrees with the shapes, or nothing tells the number of
        attention heads.
    """
    said = {name: value for name, value in given.items() if value is not None}
    wrong = [
        f"{key}: {clipped(repr(said[key]))}, but {shapes[name]} in the checkpoint"
        for name, others in _ALIASES.items()
        for key in (name, *others)
        if key in said and (type(said[key]) is not int or said[key] != shapes[name])
    ]
    if wrong:
        raise ConfigurationError(
            "the configuration is not that of the checkpoint",
            [
                ("configuration", str(file)),
                ("checkpoint", str(checkpoint)),
                *(("found", text) for text in wrong),
            ],
            "pass --bert_config FILE.json of this model: it may leave out what the shapes say.",
        )
    values = {**said, **shapes}
    if not any(key in said for key in _HEADS):
        if dict(shapes) != _PUBLISHED:
            raise _no_heads(checkpoint, shapes, file)
        values[_HEADS[0]] = _PUBLISHED_HEADS
    return values


def _no_heads(checkpoint: Path, shapes: Mapping[str, Any], file: Path | None) -> ConfigurationError:
    sizes = ", ".join(f"{name} {value}" for name, value in shapes.items())
    facts = [("checkpoint", str(checkpoint)), ("found", f"{sizes}: not the published model's")]
    if file is not None:
        facts.insert(0, ("configuration", f"{file}, without n_head"))
    return ConfigurationError(
        "nothing tells the number of attention heads",
        facts,
        'pass --bert_config FILE.json with {"n_head": ...}: the rest is in the shapes.',
    )
