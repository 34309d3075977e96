"""Reference files against the outputs of models that the test itself has built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.families.heads import POSITIONS
from hubexport.validation.reference_file import Reference, layer_name, read_reference

TOLERANCE = 1e-5
"""Largest absolute difference, of values around 1."""

RANDOM_CASES = ["one_token", "plain", "segments", "ragged", "batch_1", "full_length"]
LEFT_PADDED = ["left_padded"]
"""After the others, of models that may be padded on either side."""

Expected = Callable[[dict[str, np.ndarray]], Mapping[str, Any]]
"""Inputs, masked_lm_positions among them -> outputs, the layers as the list `encoder_outputs`."""


def flat(outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Outputs under the names of reference files."""
    layers = {layer_name(i): value for i, value in enumerate(outputs["encoder_outputs"])}
    return layers | {name: value for name, value in outputs.items() if name != "encoder_outputs"}


def assert_outputs(path: Path, expected: Expected, least: float = 0.02) -> Reference:
    """Asserts that a reference holds exactly these outputs for its inputs; gives it.

    Args:
      least: how far apart the values of an output must be for the comparison to mean something.
    """
    reference = read_reference(path)
    for name, case in reference.cases.items():
        inputs = dict(case.inputs)
        inputs.setdefault(POSITIONS, np.zeros((len(inputs["input_mask"]), 1), np.int32))
        wanted = flat(expected(inputs))
        if POSITIONS not in case.inputs:
            wanted.pop("mlm_logits", None)
        assert set(reference.outputs(name)) == set(wanted), name
        for output, value in wanted.items():
            found = reference.output(name, output)
            assert found.dtype == np.float32
            # One score of one row is not variety.
            assert np.ptp(found) >= least or found.size == 1, f"{name}: {output} hardly varies"
            np.testing.assert_allclose(found, value, rtol=0, atol=TOLERANCE, err_msg=output)
    return reference
