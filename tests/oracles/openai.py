"""GPT's original release, written as openai/finetune-transformer-lm reads it.

`train.py` there concatenates `params_0.npy` to `params_9.npy`, splits the vector by
`params_shapes.json`, and hands the parts to its variables in the order of their creation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Shape = tuple[int, ...]


def shapes(
    *, words: int = 11, positions: int = 7, hidden: int = 4, layers: int = 2
) -> dict[str, Shape]:
    """Name of a variable -> its shape, in the release's order; tables change places there."""
    H = hidden
    found: dict[str, Shape] = {"model/pe": (positions, H), "model/we": (words, H)}
    for n in range(layers):
        for name, size_in, size_out in (("attn/c_attn", H, 3 * H), ("attn/c_proj", H, H)):
            found[f"model/h{n}/{name}/w"] = (1, size_in, size_out)
            found[f"model/h{n}/{name}/b"] = (size_out,)
        found |= {f"model/h{n}/ln_1/{leaf}": (H,) for leaf in "gb"}
        for name, size_in, size_out in (("mlp/c_fc", H, 4 * H), ("mlp/c_proj", 4 * H, H)):
            found[f"model/h{n}/{name}/w"] = (1, size_in, size_out)
            found[f"model/h{n}/{name}/b"] = (size_out,)
        found |= {f"model/h{n}/ln_2/{leaf}": (H,) for leaf in "gb"}
    return found


def arrays(**sizes: int) -> dict[str, np.ndarray]:
    """Name -> float32 array, no two numbers equal."""
    found, start = {}, 0
    for name, shape in shapes(**sizes).items():
        stop = start + int(np.prod(shape))
        found[name] = np.arange(start, stop, dtype=np.float32).reshape(shape)
        start = stop
    return found


def write_release(
    directory: Path, tensors: Mapping[str, np.ndarray], pieces: Sequence[int] | int = 10
) -> Path:
    """Writes a release.

    Args:
      directory: made if it is not there.
      tensors: in the release's order; their names go nowhere.
      pieces: how many files, or where in the vector all but the first of them begin.

    Returns:
      Its list of shapes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    vector = np.concatenate([np.asarray(t, np.float32).reshape(-1) for t in tensors.values()])
    cuts = pieces if isinstance(pieces, int) else list(pieces)
    for number, piece in enumerate(np.array_split(vector, cuts)):
        np.save(directory / f"params_{number}.npy", piece)
    path = directory / "params_shapes.json"
    path.write_text(json.dumps([list(tensor.shape) for tensor in tensors.values()]))
    return path
