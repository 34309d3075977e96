"""What a gate works on."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.saved_model.graph import dtype_of_products
from hubexport.saved_model.reading import SavedModelSummary, read_saved_model
from hubexport.validation.artifact import LoadedEncoder, optional_inputs_of
from hubexport.validation.cases import TYPES, Case, random_cases
from hubexport.validation.devices import Device, Precision
from hubexport.validation.reference_file import Reference
from hubexport.validation.sizes import POSITION_LIMIT, sizes_of
from hubexport.validation.tolerance import ON_XLA_CPU, UNIT_ROUNDOFF, Tolerance


@dataclasses.dataclass
class Context:
    """One validation.

    Attributes:
      saved_model: the encoder's directory, or None.
      preprocessor: the preprocessor's, or None.
      record, preprocessor_record: their records; None for artifacts without one.
      reference: reference outputs, or None.
      reference_tokenizer: a directory of tokenizer files for `tokenizers`, or None.
      device: where it runs.
      precision: how; of `device.precisions`.
    """

    saved_model: Path | None
    preprocessor: Path | None
    record: Mapping[str, Any] | None
    preprocessor_record: Mapping[str, Any] | None
    reference: Reference | None
    reference_tokenizer: Path | None
    device: Device
    precision: Precision
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    @functools.cached_property
    def encoder(self) -> LoadedEncoder:
        """The encoder, loaded once."""
        assert self.saved_model is not None
        return LoadedEncoder(self.saved_model, self.device, self.record)

    @functools.cached_property
    def loaded_preprocessor(self) -> Any:
        """The preprocessor, loaded once, on the CPU: it works on strings."""
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  registers the ops

        with tf.device("/device:CPU:0"):
            return tf.saved_model.load(str(self.preprocessor))

    @functools.cached_property
    def summary(self) -> SavedModelSummary:
        """What the encoder's saved_model.pb says."""
        assert self.saved_model is not None
        return read_saved_model(self.saved_model)

    @functools.cached_property
    def scratch(self) -> Path:
        """A directory for the time being."""
        self._scratch = tempfile.TemporaryDirectory(prefix="hubexport-validate-")
        return Path(self._scratch.name)

    def close(self) -> None:
        """Removes what was written for the time being, and lets go of what was loaded."""
        for name in ("encoder", "loaded_preprocessor", "scratch"):
            self.__dict__.pop(name, None)
        if self._scratch is not None:
            self._scratch.cleanup()

    @functools.cached_property
    def cases(self) -> list[Case]:
        """The reference's inputs that the model has positions for, or random ones of its sizes."""
        if self.reference is not None:
            return [case for case in self.reference.cases.values() if self.fits(case)]
        return list(self._random_cases.values())

    @property
    def longest(self) -> int | None:
        """How many positions the model has; None for no limit."""
        return self.sizes.get(POSITION_LIMIT)

    def fits(self, case: Case) -> bool:
        """Whether the model has positions enough."""
        return self.longest is None or case.shape[1] <= self.longest

    def case(self, name: str) -> Case:
        """The random case of that name: gates that need no reference do not depend on one."""
        return self._random_cases[name]

    @functools.cached_property
    def _random_cases(self) -> dict[str, Case]:
        sizes = self.sizes
        made = random_cases(
            sizes["vocab_size"],
            self.longest,
            sizes["type_vocab_size"],
            pad_token_id=self.pad_token_id,
            padding_side=str(self.conventions["padding_side"]),
            optional=optional_inputs_of(self.record or {}),
        )
        return {case.name: case for case in made}

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """See `sizes_of`."""
        return sizes_of(self.record, self.summary, self.reference)

    @property
    def conventions(self) -> Mapping[str, Any]:
        """What the record says of inputs (`Family.conventions`); BERT's without a record."""
        default = {
            "padding_side": "right",
            "causal": False,
            "ignored_inputs": [],
            "layer_scale": "normalized",
        }
        return {**default, **(self.record or {}).get("conventions", {})}

    def reads(self, name: str) -> bool:
        """Whether an input of the encoder has an influence on what it gives."""
        if name == TYPES and not self.sizes["type_vocab_size"]:
            return False
        return name not in self.conventions["ignored_inputs"]

    @property
    def skips_padding(self) -> bool:
        """Whether outputs are 0 at padding, and not what the network makes of it."""
        architecture = (self.record or {}).get("architecture", {})
        return bool(architecture.get("padding") == "skip")

    @property
    def pad_token_id(self) -> int:
        """What sequences are padded with."""
        return int((self.record or {}).get("architecture", {}).get("pad_token_id", 0))

    @functools.cached_property
    def dtype(self) -> str:
        """What the encoder multiplies matrices in, as its graph says; see `dtype_of_products`."""
        assert self.saved_model is not None
        return dtype_of_products(self.saved_model, UNIT_ROUNDOFF)

    def tolerance(self, sequence_length: int, *, compiled: bool = False) -> Tolerance:
        """The limits for sequences of that length; `compiled` by XLA or not."""
        sizes = self.sizes
        longest = max(sizes["hidden_size"], sizes["intermediate_size"], sequence_length)
        coarsest = max(self.dtype, self.precision.format, key=lambda name: UNIT_ROUNDOFF[name])
        if compiled and self.device.name == "cpu":
            coarsest = ON_XLA_CPU.get(coarsest, coarsest)
        return Tolerance(coarsest, sizes["num_hidden_layers"], longest)
