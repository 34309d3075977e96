"""Outputs of an exported artifact against expected ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.families.heads import INTERFACES
from tests.oracles.inputs import Tensors
from tests.unsaved import Unsaved

TOLERANCE = 2e-5
"""Largest absolute difference, of values around 1."""

ENCODER_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")

Expected = Mapping[str, Any]
"""Output name -> array, or a list of arrays for `encoder_outputs`."""


class Artifact:
    """An exported encoder, reloaded as a user would.

    Args:
      given: where it is; or one that has not been saved, for tests of what networks compute.
    """

    def __init__(self, given: Path | Unsaved):
        import tensorflow as tf

        saved = isinstance(given, Path)
        self.root = tf.saved_model.load(str(given)) if saved else given.root
        self.heads = [name for name in INTERFACES if hasattr(self.root, name)]
        self._traced: dict[str, Any] = {}

    def __call__(self, inputs: Tensors) -> dict[str, Any]:
        """Every output of the encoder and of each head, which must repeat the encoder's.

        Args:
          inputs: as the model takes them: the encoder's [B, S], of multiple choice [B, C, S].

        Returns:
          The outputs by name; the encoder's of multiple choice are those of B * C rows.
        """
        rows = {name: inputs[name].reshape(-1, inputs[name].shape[-1]) for name in ENCODER_INPUTS}
        encoded = self._call("", rows, ENCODER_INPUTS)
        outputs = dict(encoded)
        for name in self.heads:
            takes = (*ENCODER_INPUTS, *INTERFACES[name].inputs)
            of_head = self._call(name, inputs, takes)
            given = {key: of_head.pop(key) for key in INTERFACES[name].outputs}
            lead = inputs["input_word_ids"].shape[:-1]
            repeated = {key: _as_rows(value, len(lead)) for key, value in of_head.items()}
            assert repeated.keys() == encoded.keys(), (name, sorted(repeated))
            difference = worst_difference(repeated, encoded, encoded)
            assert difference <= 1e-6, f"{name} changes the encoder's outputs by {difference}"
            outputs |= given
        return outputs

    def _call(self, head: str, inputs: Tensors, names: Sequence[str]) -> dict[str, Any]:
        """The root for "", or a head; traced once, which eagerly each shape is anew."""
        import tensorflow as tf

        tensors = {name: tf.constant(inputs[name]) for name in names}
        if head not in self._traced:
            function = getattr(self.root, head) if head else self.root
            specs = {
                name: tf.TensorSpec([None] * tensor.shape.rank, tensor.dtype)
                for name, tensor in tensors.items()
            }
            self._traced[head] = tf.function(
                lambda given: function(given, training=False),
                input_signature=[specs],
                autograph=False,
            )
        outputs = self._traced[head](tensors)
        return {
            key: [each.numpy() for each in value] if key == "encoder_outputs" else value.numpy()
            for key, value in outputs.items()
        }

    def variable(self, name: str) -> np.ndarray:
        """The value of the variable of that name, of the encoder or of one of its heads."""
        found = {
            variable.name: variable.numpy()
            for owner in (self.root, *(getattr(self.root, head) for head in self.heads))
            for variable in owner.variables
        }
        return found[f"{name}:0"]


def _as_rows(value: Any, lead: int) -> Any:
    """An output of the encoder whose first `lead` axes are one."""
    if isinstance(value, list):
        return [_as_rows(each, lead) for each in value]
    return value.reshape(-1, *value.shape[lead:])


def worst_difference(
    actual: Mapping[str, Any], expected: Mapping[str, Any], names: Iterable[str]
) -> float:
    """The largest absolute difference in the outputs of these names."""
    worst = 0.0
    for name in names:
        assert name in actual, f"{name} is missing; there are {sorted(actual)}"
        assert name in expected, f"{name} is not expected; there are {sorted(expected)}"
        pairs = (
            zip(actual[name], expected[name], strict=True)
            if name == "encoder_outputs"
            else [(actual[name], expected[name])]
        )
        for got, wanted in pairs:
            assert got.shape == wanted.shape, f"{name}: {got.shape}, expected {wanted.shape}"
            assert got.dtype == np.float32, f"{name}: {got.dtype}"
            assert np.isfinite(got).all(), f"{name} has values that are not finite"
            difference = float(np.max(np.abs(got - wanted), initial=0.0))
            worst = max(worst, difference)
    return worst


def assert_same(actual: Mapping[str, Any], expected: Expected, least: float = 0.05) -> float:
    """Asserts that both hold the same outputs with the same values.

    Args:
      actual: outputs of an artifact.
      expected: what they should be; `default` is `pooled_output` unless it is given.
      least: how large values must be, and how far apart, for the comparison to mean something.

    Returns:
      The largest difference.
    """
    expected = {"default": expected["pooled_output"], **expected}
    assert set(actual) == set(expected), (sorted(actual), sorted(expected))
    assert np.array_equal(actual["sequence_output"], actual["encoder_outputs"][-1])
    for name in expected:
        assert_not_trivial(name, expected[name], least)
    differences = {name: worst_difference(actual, expected, [name]) for name in expected}
    assert max(differences.values()) <= TOLERANCE, differences
    return max(differences.values())


def assert_not_trivial(name: str, value: Any, least: float) -> None:
    """Equality of outputs means little where they are constant, tiny, or all the same."""
    arrays = value if name == "encoder_outputs" else [value]
    for array in arrays:
        assert np.max(np.abs(array)) >= least, f"{name} is nearly zero"
        assert np.ptp(array) >= least / 50, f"{name} is nearly constant"
        if array.shape[0] > 1:
            assert np.max(np.std(array, axis=0)) >= least / 200, f"{name} is the same in every row"
    for before, after in itertools.pairwise(arrays):
        assert np.max(np.abs(before - after)) >= least / 200, f"{name} repeats a layer"
