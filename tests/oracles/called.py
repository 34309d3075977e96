"""Encoders of transformers' models, called as their records declare, and what is near to that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.saved_model.record import load_record
from hubexport.validation.artifact import LoadedEncoder
from hubexport.validation.devices import connect
from hubexport.validation.reference_file import layer_name
from tests.artifacts import export_encoder
from tests.oracles.inputs import Tensors
from tests.unsaved import Unsaved

TOLERANCE = 2e-5
"""Largest difference, of values around 1, or in terms of the largest where they are larger."""


class Called:
    """An encoder, as users load it or without having been saved.

    Attributes:
      root: what was loaded.
      record: of the artifact.
    """

    def __init__(self, encoder: LoadedEncoder, record: Mapping[str, Any]):
        self.encoder, self.root, self.record = encoder, encoder.root, record

    def tensors(self, batch: Mapping[str, np.ndarray], *names: str) -> dict[str, Any]:
        """What the encoder takes, of a batch that may have more; and the inputs of these names."""
        import tensorflow as tf

        given = self.encoder.inputs_of("", batch)
        return {k: tf.constant(v) for k, v in (given | {n: batch[n] for n in names}).items()}

    def __call__(self, batch: Tensors) -> dict[str, Any]:
        """What the encoder, its heads and their functions give for a batch that may have more than
        they take, `encoder_outputs` as a list."""
        outputs = self.encoder(batch)
        count = self.record["architecture"]["num_hidden_layers"]
        layers = [outputs.pop(layer_name(i)) for i in range(count)]
        return {**outputs, "encoder_outputs": layers}


def loaded(path: Path) -> Called:
    """An artifact, reloaded."""
    record = load_record(path)
    return Called(LoadedEncoder(path, connect("cpu"), record), record)


def unsaved(checkpoint: Path, **options: Any) -> Called:
    """What an export of a checkpoint with these options would save."""
    encoder = Unsaved(checkpoint, **options)
    return Called(encoder, encoder.record)


def exported(model: Any, work: Path, *, saved: bool = True, **options: Any) -> Called:
    """A model of transformers, saved as it does that and exported with these options.

    Args:
      model: to be saved.
      work: a directory for `model` and `out`.
      saved: whether there is to be an artifact, which is then loaded; what networks compute can be
        seen sooner without.
      options: of `export_encoder`.
    """
    model.save_pretrained(work / "model")
    if not saved:
        return unsaved(work / "model", **options)
    export_encoder(checkpoint=work / "model", export_path=work / "out", **options)
    return loaded(work / "out")


def assert_near(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Asserts equal shapes, and values within `TOLERANCE`."""
    assert actual.shape == expected.shape, what
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))
    assert np.abs(actual - expected).max(initial=0) <= limit, what
