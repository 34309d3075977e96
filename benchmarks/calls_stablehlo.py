"""Calls of an exported encoder lowered to StableHLO, on a PJRT device of JAX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from inputs import NAMES, Inputs

from hubexport.stablehlo.client import Client
from hubexport.stablehlo.loading import LoadedBundle


def load(path: str, device: str, precision: str) -> tuple[dict[str, Any], int]:
    """The call `encoder`, at the shapes of a bundle's cases, and the vocabulary's size.

    What is timed is a program with its inputs and results on the device.
    """
    bundle = LoadedBundle(Path(path), Client(device))
    programs = {}
    for case in bundle.manifest.cases:
        for number in case.programs:
            program = bundle.manifest.programs[number]
            if program.precision == precision:
                programs[bundle.inputs(case)[NAMES[0]].shape] = number

    def encoder(inputs: Inputs) -> Callable[[], None]:
        return bundle.runner(programs[inputs[NAMES[0]].shape], inputs)

    table = next(
        spec for spec in bundle.manifest.weights.tensors if spec.name.endswith("word_embeddings")
    )
    return {"encoder": encoder}, table.shape[0]
