"""Encoders as an export would save them, called without having been saved and loaded.

What is traced is what is called, of all the forms in which an artifact can be; that is a small part
of what an export takes. For tests of what networks compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.checkpoints.opening import unpacked
from hubexport.exporting.job import make_job
from hubexport.exporting.options import EncoderOptions
from hubexport.families.heads import ENCODER_LEAD, Axes
from hubexport.validation.artifact import LoadedEncoder
from hubexport.validation.devices import connect


class Unsaved(LoadedEncoder):
    """The root and the heads of an export with these options.

    Whatever is patched in the code that exports has to stay so until it has been called.

    Attributes:
      record: as far as it is known before an export.
    """

    def __init__(self, checkpoint: Path, **options: Any):
        import tensorflow as tf

        from hubexport.exporting.network import encoder_parts, variables_of

        asked = EncoderOptions(checkpoint=checkpoint, export_path="", **options)
        with unpacked(checkpoint) as path:
            job = make_job(path, asked, asked.read_tokenizer())
            values = {
                name: np.frombuffer(b"".join(value.pieces()), np.float32).reshape(value.shape)
                for name, value in job.plan.values.items()
            }
        variables = variables_of(job)
        parts = encoder_parts(job, variables)
        for name, variable in variables.made().items():
            # As in `Variables`: `assign` does not take another shape than that of no elements.
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=values[name])
        self.record = job.record()
        super().__init__(Path("unsaved"), _Device(_root(parts)), self.record)  # type: ignore[arg-type]


class _Function:
    """What is called with the inputs, of which not all must be given."""

    def __init__(self, call: Any, axes: Mapping[str, Axes]):
        from hubexport.saved_model import reusable

        self._call, self.specs = call, reusable._specs(axes)

    def __call__(self, inputs: Mapping[str, Any]) -> Any:
        return self._call(inputs)


class _Part(_Function):
    """The root or a head."""

    def __init__(self, call: Any, axes: Mapping[str, Axes], variables: Sequence[Any]):
        super().__init__(call, axes)
        self.variables = self.trainable_variables = list(variables)

    def __call__(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        return self._call(inputs, training=training)


def _root(parts: Any) -> _Part:
    """As `reusable_encoder`, less what is traced for saving."""
    from hubexport.saved_model import reusable

    call = reusable._encoding(parts, parts.encoder)

    def axes(lead: Axes) -> dict[str, Axes]:
        return {**dict.fromkeys(reusable.INPUTS, lead), **reusable._optional(parts, lead)}

    root = _Part(call, axes(ENCODER_LEAD), parts.variables)
    for name, head in parts.heads.items():
        interface = head.interface
        head_call = reusable._with_head(call, parts, head)
        own = {**axes(interface.lead), **interface.inputs}
        part = _Part(head_call, own, [*parts.variables, *head.variables])
        for each, function in interface.functions.items():
            if not function.inputs:
                traced = reusable._function(call, head.network, each, function, {})
                setattr(part, each, _Function(traced, axes(ENCODER_LEAD)))
        setattr(root, name, part)
    return root


class _Device:
    """The CPU, where what would be loaded is already."""

    def __init__(self, root: _Part):
        self._root, self._cpu = root, connect("cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cpu, name)

    def load(self, directory: Path) -> Any:
        return self._root

    def for_all_shapes(
        self, function: _Function, tensors: Mapping[str, Any], keywords: Mapping[str, Any]
    ) -> Any:
        import tensorflow as tf

        specs = {name: function.specs[name] for name in tensors}
        return tf.function(
            lambda given: function(given, **keywords), input_signature=[specs], autograph=False
        )
