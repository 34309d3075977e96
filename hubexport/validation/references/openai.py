"""OpenAI's releases of GPT and GPT-2 as transformers knows them: read, and translated.

Names, order and meanings are those of transformers' scripts `convert_openai_original_tf_checkpoint_
to_pytorch` and `convert_gpt2_original_tf_checkpoint_to_pytorch`, read independently of what the
export goes by; the numbers are read by NumPy and TensorFlow.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.training_state import training_state
from hubexport.errors import CheckpointError, some_of
from hubexport.validation.references.sources import first_line

_TABLES = {"model/wte": "wte.weight", "model/wpe": "wpe.weight"}
_LAYER = re.compile(
    r"model/(?:h(\d+)/)?(attn/c_attn|attn/c_proj|mlp/c_fc|mlp/c_proj|ln_1|ln_2|ln_f)/([wgb])"
)
_LEAVES = {"w": "weight", "g": "weight", "b": "bias"}
_IN_ORDER = ("attn/c_attn", "attn/c_proj", "ln_1", "mlp/c_fc", "mlp/c_proj", "ln_2")
"""Layers of a block in GPT's release; each has two tensors, the second of them a bias."""
_KEYS = {
    "n_vocab": "vocab_size",
    "vocab_size_or_config_json_file": "vocab_size",
    "n_ctx": "n_positions",
}
"""What other programs' configurations call transformers' values."""


def read_state_dict(source: TensorSource) -> dict[str, Any]:
    """The release's tensors, as PyTorch's, under transformers' names.

    Raises:
      CheckpointError: NumPy or TensorFlow cannot read it, or a tensor is not one of GPT's.
    """
    import torch

    arrays = _read_pieces(source) if source.layout == "openai" else _read_tf1(source)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _cannot_read(source: TensorSource, by: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{by} cannot read the checkpoint",
        [("checkpoint", str(source.path)), (by, first_line(error))],
        "copy or download the checkpoint again.",
    )


def _read_pieces(source: TensorSource) -> dict[str, np.ndarray]:
    """GPT's: pieces of a vector, and shapes whose order tells what they are of."""
    listed, *pieces = source.files
    shapes = json.loads(listed.read_text("utf-8"))
    try:
        vector = np.concatenate([np.load(piece, allow_pickle=False) for piece in pieces])
    except (OSError, ValueError) as error:
        raise _cannot_read(source, "NumPy", error) from error
    parts = np.split(vector, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    names = ["positions_embed.weight", "tokens_embed.weight"]
    names += [
        _translated(f"model/h{number}/{layer}/{leaf}")
        for number in range((len(shapes) - len(names)) // (2 * len(_IN_ORDER)))
        for layer in _IN_ORDER
        for leaf in "wb"
    ]
    return {
        name: _without_width(part.reshape(shape))
        for name, part, shape in zip(names, parts, shapes, strict=True)
    }


def _read_tf1(source: TensorSource) -> dict[str, np.ndarray]:
    """GPT-2's: a TensorFlow checkpoint, whose names say it all."""
    import tensorflow as tf

    (index,) = (file for file in source.files if file.suffix == ".index")
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    names = sorted(reader.get_variable_to_shape_map().keys() - training_state(source).keys())
    if strangers := [name for name in names if not _translated(name)]:
        raise CheckpointError(
            "the checkpoint is of another model than GPT-2",
            [("not known", some_of(strangers))],
            "record the outputs in the model's own code, and pass --source=file.",
        )
    try:
        return {_translated(name): _without_width(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, LookupError, RuntimeError) as error:
        raise _cannot_read(source, "TensorFlow", error) from error


def _translated(name: str) -> str:
    """transformers' name of a tensor, "" where it is not one of GPT's."""
    if name in _TABLES:
        return _TABLES[name]
    match = _LAYER.fullmatch(name)
    if not match:
        return ""
    block = f"h.{match[1]}." if match[1] else ""
    return f"{block}{match[2].replace('/', '.')}.{_LEAVES[match[3]]}"


def _without_width(array: np.ndarray) -> np.ndarray:
    """A kernel of convolutions of width one, [1, in, out], as that of a dense layer."""
    return array[0] if array.ndim == 3 else array


def configuration(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values by the names of transformers' configurations."""
    return {_KEYS.get(name, name): value for name, value in values.items()}
