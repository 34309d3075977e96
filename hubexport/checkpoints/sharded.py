"""Reads a checkpoint in several files by its index (`model.safetensors.index.json` and alike).

The index maps every tensor's name to the shard that holds it. What the index says and what the
shards hold must be the same, or a weight would be lost without a word.
Written by `save_pretrained(max_shard_size=...)` of transformers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from hubexport.checkpoints.fairseq import state_dict_layout
from hubexport.checkpoints.source import LazyTensor, TensorSource
from hubexport.checkpoints.untrusted import clipped, reading
from hubexport.errors import CheckpointError, UnsafeCheckpointError, some_of

MAX_INDEX_BYTES = 64 << 20  # the largest published ones are under 1 MiB


def open_sharded(index_path: Path, open_shard: Callable[[Path], TensorSource]) -> TensorSource:
    """The tensors of all shards, in the index's order.

    Args:
      index_path: `model.safetensors.index.json`, `pytorch_model.bin.index.json` or alike.
      open_shard: opens one shard: `open_safetensors` or `open_torch`.

    Returns:
      A TensorSource of the shards' format; `files` are the index and the shards.

    Raises:
      UnsafeCheckpointError: a shard's name leads out of the index's directory.
      CheckpointError: the index cannot be read, shards are missing (all are named), or the
        index and the shards disagree (all differences are named).
    """
    weight_map = _read_weight_map(index_path)
    shard_names = list(dict.fromkeys(weight_map.values()))
    _check_names(index_path, shard_names)
    paths = {name: index_path.parent / name for name in shard_names}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        raise CheckpointError(
            "shards of the checkpoint are missing",
            [
                ("index", str(index_path)),
                (f"missing ({len(missing)} of {len(paths)})", some_of(missing, shown=100)),
            ],
            "copy or download all shards into the directory of the index.",
        )
    shards = {name: open_shard(path) for name, path in paths.items()}
    _check_agreement(index_path, weight_map, shards)
    tensors: dict[str, LazyTensor] = {
        name: shards[shard].tensors[name] for name, shard in weight_map.items()
    }
    first = shards[shard_names[0]]
    return TensorSource(
        path=index_path,
        format=first.format,
        layout=state_dict_layout(tensors),
        files=(index_path, *paths.values()),
        tensors=tensors,
    )


def _read_weight_map(index_path: Path) -> dict[str, str]:
    """Tensor name -> shard name, as the index has them; never empty."""
    with reading(index_path), open(index_path, "rb") as file:
        text = file.read(MAX_INDEX_BYTES + 1)
    try:
        if len(text) > MAX_INDEX_BYTES:
            raise ValueError(f"more than {MAX_INDEX_BYTES:,} bytes")
        index = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError("no weight_map of tensor names to shards")
        if not all(isinstance(shard, str) for shard in weight_map.values()):
            raise ValueError("a weight_map with values that are not file names")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            "the checkpoint's index cannot be used",
            [("index", str(index_path)), ("found", clipped(error))],
            "copy or download the index again.",
        ) from error
    return weight_map


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key that is there twice")
    return found


def _check_names(index_path: Path, shard_names: list[str]) -> None:
    """Shards lie in the index's directory or below it, on any system."""
    outside = []
    for name in shard_names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if (
            not name
            or "\0" in name
            or parts.is_absolute()
            or ".." in parts.parts
            or not parts.parts
            or ":" in parts.parts[0]
        ):
            outside.append(clipped(repr(name)))
    if outside:
        raise UnsafeCheckpointError(
            "the checkpoint's index names files outside its directory",
            [("index", str(index_path)), (f"refused ({len(outside)})", some_of(outside))],
            "get the checkpoint from a source you trust; nothing of these files was read.",
        )


def _check_agreement(
    index_path: Path, weight_map: dict[str, str], shards: dict[str, TensorSource]
) -> None:
    lost = [
        f"{clipped(name)} (in {shard})"
        for name, shard in weight_map.items()
        if name not in shards[shard].tensors
    ]
    extra = [
        f"{clipped(name)} (in {shard})"
        for shard, source in shards.items()
        for name in source.tensors
        if weight_map.get(name) != shard
    ]
    if lost or extra:
        facts = [("index", str(index_path))]
        if lost:
            facts.append((f"in the index, not in the shard ({len(lost)})", some_of(lost)))
        if extra:
            facts.append((f"in a shard, not in the index ({len(extra)})", some_of(extra)))
        raise CheckpointError(
            "the checkpoint's index and its shards do not belong together",
            facts,
            "copy or download the index and all shards of the same revision.",
        )
