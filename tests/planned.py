"""What an export would write, decided and read but not traced (cheap, where many are compared),
and checkpoints that differ from what transformers saves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import unpacked
from hubexport.exporting.job import make_job
from hubexport.exporting.options import EncoderOptions


def planned(
    checkpoint: Path, *, read: bool = True, **options: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The record of `export_encoder` with these options, as far as it is known before the
    export, and the bytes of every variable; none unless they are to be `read`.

    Raises:
      HubexportError: as `export_encoder` does.
    """
    asked = EncoderOptions(checkpoint=checkpoint, export_path="", **options)
    with unpacked(checkpoint) as path:
        job = make_job(path, asked, asked.read_tokenizer())
        filled = job.plan.values.items() if read else ()
        values = {name: b"".join(value.pieces()) for name, value in filled}
        return job.record(), values


def rewritten(
    model: Any,
    directory: Path,
    *,
    config: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    tensors: Mapping[str, Any] | None = None,
) -> Path:
    """A model of transformers as one safetensors file with all its tensors, and config.json.

    Args:
      model: of `tests.oracles.families.build`.
      directory: is made.
      config: entries of the configuration that are to be others; None takes one out.
      without: tensors that are to be left out.
      tensors: further ones, or others.
    """
    import safetensors.torch

    from tests.oracles import saving

    directory.mkdir(parents=True)
    saving.write_config(model, directory, "config.json")
    values = json.loads((directory / "config.json").read_text()) | dict(config or {})
    kept = {key: value for key, value in values.items() if value is not None}
    (directory / "config.json").write_text(json.dumps(kept))
    state = {**saving.state_of(model), **(tensors or {})}
    assert state.keys() >= {*without}, "what is to be left out is not there"
    state = {name: value.clone() for name, value in state.items() if name not in without}
    safetensors.torch.save_file(state, directory / "model.safetensors", {"format": "pt"})
    return directory
