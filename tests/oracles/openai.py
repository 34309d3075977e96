"""GPT's and GPT-2's original releases, written as OpenAI's programs read them.

`train.py` of openai/finetune-transformer-lm concatenates `params_0.npy` to `params_9.npy`, splits
the vector by `params_shapes.json`, and hands the parts to its variables in the order of their
creation. `src/model.py` of openai/gpt-2 restores a TensorFlow checkpoint by its variables' names,
and reads `hparams.json` beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


PUBLISHED = {"words": 40478, "positions": 512, "hidden": 768, "layers": 12}
NUMBERS = 116_534_784
"""In the published model: `PUBLISHED` are arguments of `shapes`."""


def sparse_release(directory: Path) -> Path:
    """Files of the published model's sizes whose numbers take no space on the disk, all zeros."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        size = NUMBERS // 10 + (number < NUMBERS % 10)
        with open(directory / f"params_{number}.npy", "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 4 * size)
    path = directory / "params_shapes.json"
    path.write_text(json.dumps([list(shape) for shape in shapes(**PUBLISHED).values()]))
    return path


_TABLES = {
    "positions_embed.weight": "model/pe",
    "tokens_embed.weight": "model/we",
    "wpe.weight": "model/wpe",
    "wte.weight": "model/wte",
}


def variables(model: Any) -> dict[str, np.ndarray]:
    """The variables of OpenAI's programs that a GPT or GPT-2 of transformers has the numbers of.

    Args:
      model: of transformers; of its heads nothing is kept, as OpenAI's releases have none.
    """
    encoder = getattr(model, model.base_model_prefix, model)
    found = {}
    for name, parameter in encoder.named_parameters():
        array = parameter.detach().numpy()
        if name not in _TABLES:
            layer, leaf = re.sub(r"^h\.", "h", name).replace(".", "/").rsplit("/", 1)
            of_norm = "/ln_" in f"/{layer}"
            short = "b" if leaf == "bias" else "g" if of_norm else "w"
            found[f"model/{layer}/{short}"] = array[None] if short == "w" else array
        else:
            found[_TABLES[name]] = array
    return found


def write_gpt(directory: Path, model: Any, pieces: Sequence[int] | int = 10) -> Path:
    """A GPT of transformers as OpenAI released it; gives the list of shapes."""
    found, config = variables(model), model.config
    order = shapes(
        words=config.vocab_size, positions=config.n_positions, hidden=config.n_embd,
        layers=config.n_layer,
    )  # fmt: skip
    assert {name: array.shape for name, array in found.items()} == order
    return write_release(directory, {name: found[name] for name in order}, pieces)


def write_gpt2(directory: Path, model: Any, **others: np.ndarray) -> Path:
    """A GPT-2 of transformers as OpenAI released it; gives the prefix of the checkpoint.

    Args:
      **others: further variables.
    """
    import tensorflow as tf

    directory.mkdir(parents=True, exist_ok=True)
    found, config = {**variables(model), **others}, model.config
    prefix = directory / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(found), shape_and_slices=[""] * len(found),
        tensors=list(map(tf.constant, found.values())),
    )  # fmt: skip
    hparams = {
        "n_vocab": config.vocab_size, "n_ctx": config.n_positions, "n_embd": config.n_embd,
        "n_head": config.n_head, "n_layer": config.n_layer,
    }  # fmt: skip
    (directory / "hparams.json").write_text(json.dumps(hparams))
    (directory / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    return prefix
