"""The limits of numeric differences: one rule, no constants for single models.

A number is kept with a relative error of at most u, the *unit roundoff* of its format. Two right
implementations differ because they round at other places:

- A sum of K products in the precision u32 of float32 has a relative error that grows with
  sqrt(K) u32 (the probabilistic bound of Higham and Mary, doi.org/10.1137/18M1226312).
- Where the factors are rounded to a shorter format first (TF32, bfloat16, float16; sums are kept in
  float32), each product carries an error of u; the errors are independent, so the sum's relative
  error is about u whatever K is.
- Layers add their errors as independent ones do: sqrt(n) after n layers. Layer norms keep the
  scale, so that relative errors neither grow nor shrink on the way. Where outputs are residual
  sums that are not normalized, an error is relative to the largest sum so far: `growth` is how many
  times that is the output's own scale.

So the relative Frobenius error after n layers may be `SAFETY * sqrt(n) * max(u, sqrt(K) * u32)`,
with K the longest sum of the model. The largest absolute error may be `SPREAD` times what that
error is on average, and the smallest cosine what a vector with that error can have.
"""

from __future__ import annotations

import dataclasses
import math
import re

from hubexport.families.heads import FORMS
from hubexport.validation.figures import Figures
from hubexport.validation.results import Measurement, at_most

UNIT_ROUNDOFF = {
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
"""Of the factors of matrix products; all others are float32's, or as the model itself says."""

ON_XLA_CPU = {"float16": "bfloat16"}
"""Formats for which XLA's CPU compiler is coarser than they are: it keeps some sums of float16
products in float16. Over 3,072 products that was a relative error of 0.0026, five times 2^-11."""

SAFETY = 4.0
SPREAD = 16.0
"""The largest of some million normally distributed values is under 6 standard deviations; errors
are not quite normal."""

_LAYER = re.compile(r"encoder_outputs\[(\d+)\]")
_HEAD_LAYERS = {output: head.layers for _, head in FORMS for output in head.outputs}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of one output's figures; see `Figures`."""

    max_abs: float
    relative_frobenius: float
    cosine: float


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The rule for one model in one precision.

    Attributes:
      precision: a key of `UNIT_ROUNDOFF`: the coarsest format in matrix products, by the model's
        own dtype or by the device's.
      num_hidden_layers: L.
      longest_sum: K: the largest of hidden size, intermediate size and sequence length.
    """

    precision: str
    num_hidden_layers: int
    longest_sum: int

    def limits(self, output: str, rms: float, growth: float = 1.0) -> Limits:
        """The limits of one output.

        Args:
          output: its name; `encoder_outputs[i]` is layer i, counted from 0.
          rms: of its reference.
          growth: how many times as large the sums are that it was made of.
        """
        layer = _LAYER.fullmatch(output)
        if layer:
            depth = int(layer[1]) + 1
        elif output == "sequence_output":
            depth = self.num_hidden_layers
        else:  # a pooler is one more layer
            depth = self.num_hidden_layers + _HEAD_LAYERS.get(output, 1)
        # The embeddings are a layer, too.
        relative = SAFETY * math.sqrt(depth + 1) * self.roundoff * growth
        return Limits(SPREAD * relative * rms, relative, 1 - (SPREAD * relative) ** 2 / 2)

    @property
    def roundoff(self) -> float:
        """Relative error of one layer, before `SAFETY`."""
        accumulated = math.sqrt(self.longest_sum) * UNIT_ROUNDOFF["float32"]
        return max(UNIT_ROUNDOFF[self.precision], accumulated)

    def measure(
        self, what: str, output: str, figures: Figures, growth: float = 1.0
    ) -> list[Measurement]:
        """The figures of one output against its limits; three measurements."""
        limits = self.limits(output, figures.rms, growth)
        return [
            at_most(
                f"{what}, relative Frobenius", figures.relative_frobenius, limits.relative_frobenius
            ),
            at_most(f"{what}, max abs", figures.max_abs, limits.max_abs),
            # Cosines near 1 have few digits: their distance from 1 is what can be compared.
            # float64 itself leaves 1e-15.
            at_most(f"{what}, 1 - cosine", 1 - figures.cosine, max(1 - limits.cosine, 1e-14)),
        ]
