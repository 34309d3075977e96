"""What sets fairseq's checkpoints apart: their tensors' names, and settings kept with the weights.

A file holds `{"args": argparse.Namespace, "cfg": ..., "model": state dict, ...}`: `args` are the
command line's values; newer programs leave them None and put those of the model into
`cfg["model"]`. Source: `fairseq/checkpoint_utils.py` and `fairseq/trainer.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.restricted_pickle import Namespace
from hubexport.errors import UnsafeCheckpointError

MODEL_FILE = "model.pt"
"""What fairseq calls the file in the directory of a released model."""

MAX_DEPTH = 16  # of values inside values; command lines have two or three levels
MAX_VALUES = 100_000  # a list that is there many times is counted, and copied, each time

_WORD_EMBEDDINGS = re.compile(r"(.*\.)?(decoder|encoder)\.sentence_encoder\.embed_tokens\.weight")
_SCALARS = (type(None), bool, int, float, str)
_LEFT_OUT = object()


def state_dict_layout(names: Iterable[str]) -> str:
    """The layout of a PyTorch state dict by its tensors' names: "fairseq" or "hugging_face"."""
    if any(_WORD_EMBEDDINGS.fullmatch(name) for name in names):
        return "fairseq"
    return "hugging_face"


def model_settings(path: Path, value: Any) -> dict[str, Any]:
    """The settings in a fairseq file, {} where it holds none.

    Args:
      path: for errors.
      value: what the file holds, as the restricted pickle machine gives it.

    Returns:
      Name -> None, bool, int, float, str, or lists, tuples and dicts of them; a Namespace
      inside another is a dict. What is anything else (a tensor, a device) is left out, and so is
      a list that holds such a thing.

    Raises:
      UnsafeCheckpointError: there are too many values, or they are nested too deep.
    """
    if not isinstance(value, dict):
        return {}
    found = value.get("args")
    if found is None:
        config = value.get("cfg")
        config = config.values if isinstance(config, Namespace) else config
        found = config.get("model") if isinstance(config, dict) else None
    if not isinstance(found, Namespace | dict):
        return {}
    return plain_values(path, found, "an argparse.Namespace")


def plain_values(path: Path, found: Namespace | dict[Any, Any], what: str) -> dict[str, Any]:
    """Settings that a file holds as `what`, for errors; the rest is as of `model_settings`."""
    settings = _Copy(path, what).plain(found, 0)
    return {name: item for name, item in settings.items() if type(name) is str}


class _Copy:
    """Makes plain values of what the pickle machine built, a bounded number of them."""

    def __init__(self, path: Path, what: str):
        self._path, self._what, self._left = path, what, MAX_VALUES

    def plain(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise self._unsafe(f"more than {MAX_VALUES:,} values")
        if type(value) in _SCALARS:
            return value
        if not isinstance(value, Namespace | dict | list | tuple):
            return _LEFT_OUT
        if depth == MAX_DEPTH:
            raise self._unsafe(f"values nested more than {MAX_DEPTH} deep")
        if isinstance(value, Namespace | dict):
            items = value.values if isinstance(value, Namespace) else value
            return self._entries(items, depth + 1)
        copies = [self.plain(item, depth + 1) for item in value]
        return _LEFT_OUT if any(item is _LEFT_OUT for item in copies) else type(value)(copies)

    def _entries(self, items: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        copies = {
            key: self.plain(item, depth) for key, item in items.items() if type(key) in _SCALARS
        }
        return {key: item for key, item in copies.items() if item is not _LEFT_OUT}

    def _unsafe(self, found: str) -> UnsafeCheckpointError:
        return UnsafeCheckpointError(
            "the checkpoint is refused: its settings are not a model's",
            [("file", str(self._path)), ("found", f"{self._what} with {found}")],
            "get the checkpoint from a source you trust, or save only the model's state dict "
            "and pass a configuration.",
        )
