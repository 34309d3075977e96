"""The tensors of PyTorch checkpoints by PyTorch and safetensors; nothing is executed."""

from __future__ import annotations

import argparse
import codecs
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import CheckpointError
from hubexport.validation.references.sources import first_line

_NESTED = ("state_dict", "model_state_dict", "model")
_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_ARRAYS: list[Any] = [
    *((_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64")),
    codecs.encode,
]
"""What arrays are pickled by, in releases of NumPy before and after 2."""

_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)


def read_state_dict(files: Sequence[Path]) -> dict[str, Any]:
    """Name -> tensor, of all files; indexes of shards (*.json) are left out.

    Raises:
      CheckpointError: PyTorch or safetensors cannot read a file, pickles under the restriction
        that they hold tensors, plain values and parsed arguments only.
    """
    state: dict[str, Any] = {}
    for path in files:
        if path.suffix != ".json":
            state |= _read(path)
    return state


def _read(path: Path) -> Mapping[str, Any]:
    import safetensors
    import safetensors.torch
    import torch

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        # Training programs keep more with the weights, which only holds values: fairseq its
        # command line as a Namespace, XLM an array.
        with torch.serialization.safe_globals([argparse.Namespace, *_ARRAYS]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (*_ERRORS, safetensors.SafetensorError) as error:
        raise CheckpointError(
            "PyTorch cannot read the checkpoint",
            [("file", str(path)), ("torch", first_line(error))],
            "save its state dict again, with safetensors.",
        ) from error
    nested = (loaded.get(key) for key in _NESTED) if isinstance(loaded, dict) else ()
    state = next((each for each in nested if isinstance(each, dict)), loaded)
    tensors = isinstance(state, dict) and {
        name: value for name, value in state.items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise CheckpointError(
            "the file holds no state dict",
            [("file", str(path)), ("found", type(loaded).__name__)],
            "save the model's state dict.",
        )
    return tensors
