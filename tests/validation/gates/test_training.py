"""What the training gate says of dropout that is noisy, and of outputs that it destroys."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubexport.validation.gates import training


class Context:
    record = None


class Encoder:
    """Outputs without dropout are drawn once; those with it are `kept` times them, and noise."""

    def __init__(self, kept: float, noise: float) -> None:
        self.random = np.random.default_rng(5)
        self.still = self.random.normal(size=(2, 3, 4))
        self.kept, self.noise, self.passes = kept, noise, 0
        self.heads: dict[str, Any] = {}

    def __call__(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        x = self.still
        if training:
            self.passes += 1
            x = self.kept * x + self.random.normal(0, self.noise, x.shape)
        return {"sequence_output": x, "pooled_output": x[:, 0]}


def distance(encoder: Encoder) -> Any:
    return list(training._dropout(Context(), encoder, {}))[-1]  # type: ignore[arg-type]


def test_noise_is_averaged_out() -> None:
    encoder = Encoder(kept=1.0, noise=2.5)
    assert distance(encoder).passed and 4 < encoder.passes <= 32


def test_little_noise_takes_few_passes() -> None:
    encoder = Encoder(kept=1.0, noise=0.3)
    assert distance(encoder).passed and encoder.passes == 4


def test_outputs_that_are_lost_stay_lost() -> None:
    encoder = Encoder(kept=0.0, noise=1.0)
    assert not distance(encoder).passed and encoder.passes == 32
