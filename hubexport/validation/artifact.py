"""A SavedModel as the gates see it: loaded as users load it, its outputs as flat arrays."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.validation.cases import ENCODER_INPUTS, POSITIONS
from hubexport.validation.devices import Device
from hubexport.validation.reference_file import layer_name

HEADS: Mapping[str, tuple[str, ...]] = {"mlm": (POSITIONS,), "nsp": ()}
"""Sub-objects that are run where an artifact has them, with the inputs beside the encoder's."""

Outputs = dict[str, np.ndarray]


class LoadedEncoder:
    """An encoder SavedModel, anybody's, on a device.

    Attributes:
      directory: where it lies.
      root: what `tf.saved_model.load` gave.
      heads: names of `HEADS` that it has.
    """

    def __init__(self, directory: Path, device: Device):
        self.directory, self._device = directory, device
        self.root = device.load(directory)
        self.heads = [name for name in HEADS if callable(getattr(self.root, name, None))]

    def part(self, name: str) -> Any:
        """The root for "", or the head of that name."""
        return getattr(self.root, name) if name else self.root

    def call(self, name: str, inputs: Mapping[str, np.ndarray], *, training: bool = False) -> Any:
        """What the root ("") or a head gives for inputs that may hold more than it takes."""
        import tensorflow as tf

        names = (*ENCODER_INPUTS, *HEADS.get(name, ()))
        tensors = {key: tf.constant(inputs[key], tf.int32) for key in names}
        function = self.part(name)
        return self._device.run(function, tensors, **training_keyword(function, training))

    def __call__(self, inputs: Mapping[str, np.ndarray], *, training: bool = False) -> Outputs:
        """Every output of the root, and of each head what the root does not give.

        Layers are `encoder_outputs[i]`. A head is left out where `inputs` lacks what it takes.
        """
        outputs = flatten(self.call("", inputs, training=training))
        for name in self.heads:
            if all(key in inputs for key in HEADS[name]):
                of_head = flatten(self.call(name, inputs, training=training))
                outputs |= {key: value for key, value in of_head.items() if key not in outputs}
        return outputs


def flatten(outputs: Mapping[str, Any]) -> Outputs:
    """Tensors by name, those of lists numbered."""
    flat: Outputs = {}
    for name, value in outputs.items():
        if isinstance(value, list | tuple):
            names = [
                layer_name(i) if name == "encoder_outputs" else f"{name}[{i}]"
                for i in range(len(value))
            ]
            flat |= {key: each.numpy() for key, each in zip(names, value, strict=True)}
        else:
            flat[name] = value.numpy()
    return flat


def training_keyword(function: Any, training: bool) -> dict[str, bool]:
    """`training=...` where a restored function takes it.

    hub.KerasLayer decides in the same way: by the function's argument list.
    """
    call = getattr(function, "__call__", function)  # noqa: B004  of a restored object
    try:
        arguments = inspect.getfullargspec(call)
    except TypeError:
        return {"training": training}
    spec = getattr(call, "function_spec", None) or getattr(call, "_function_spec", None)
    names = spec.fullargspec.args if spec is not None else arguments.args + arguments.kwonlyargs
    return {"training": training} if "training" in names else {}
