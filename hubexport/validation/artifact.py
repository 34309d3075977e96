"""A SavedModel as the gates see it: loaded as users load it, its outputs as flat arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.families.heads import (
    ENCODER_LEAD,
    FLOATS,
    INTERFACES,
    Axes,
    Interface,
    OptionalInput,
)
from hubexport.validation.cases import ENCODER_INPUTS, Tensors, input_of
from hubexport.validation.devices import Device
from hubexport.validation.reference_file import layer_name

Outputs = dict[str, np.ndarray]


class LoadedEncoder:
    """An encoder SavedModel, anybody's, on a device.

    Attributes:
      directory: where it lies.
      root: what `tf.saved_model.load` gave.
      heads: those that it has, as its record declares them; without one, those that it has by the
        names and with the interfaces of TF-Hub's common API.
      functions: of heads, those that take what the encoder takes: "lm.score", say.
      optional: inputs that root and heads can do without, as the record declares them.
    """

    def __init__(self, directory: Path, device: Device, record: Mapping[str, Any] | None = None):
        self.directory, self._device = directory, device
        self._for_all_shapes: dict[Any, Any] = {}
        self.root = device.load(directory)
        known = INTERFACES if record is None else {**INTERFACES, **heads_of(record)}
        self.heads = {
            name: interface
            for name, interface in known.items()
            if callable(getattr(self.root, name, None))
        }
        self.optional = optional_inputs_of(record or {})
        self.functions = {
            f"{name}.{each}": function
            for name, interface in self.heads.items()
            for each, function in interface.functions.items()
            if not function.inputs and callable(getattr(self.part(name), each, None))
        }

    def part(self, name: str) -> Any:
        """The root for "", or the head or the function of that name."""
        return functools.reduce(getattr, name.split("."), self.root) if name else self.root

    def call(
        self,
        name: str,
        inputs: Mapping[str, np.ndarray],
        *,
        training: bool = False,
        run: Callable[..., Any] | None = None,
    ) -> Any:
        """What the root ("") or a head gives for inputs that may hold more than it takes.

        Heads that take several choices for each row get every row as the one choice of its own.
        `run` is as of `with_rows`; None for the device's.
        """
        import tensorflow as tf

        tensors = {
            key: tf.constant(value, tf.float32 if key in FLOATS else tf.int32)
            for key, value in self.inputs_of(name, inputs).items()
        }
        return self.with_rows(name, tensors, run or self._device.run, training)

    def with_rows(
        self, name: str, tensors: Mapping[str, Any], run: Callable[..., Any], training: bool = False
    ) -> Any:
        """As `call`, of tensors; `run` is called with the function, its inputs and keywords."""
        import tensorflow as tf

        function = self.part(name)
        keyword = training_keyword(function, training)
        if name not in self.heads or self.heads[name].lead == ENCODER_LEAD:
            return run(function, dict(tensors), **keyword)
        choices = {key: tf.expand_dims(value, 1) for key, value in tensors.items()}
        own = self.heads[name].outputs
        return {
            key: value if key in own else tf.nest.map_structure(lambda x: tf.squeeze(x, 1), value)
            for key, value in run(function, choices, **keyword).items()
        }

    def takes(self, name: str) -> tuple[str, ...]:
        """Names of the inputs that the root (""), a head or a function must have."""
        return (*ENCODER_INPUTS, *(self.heads[name].inputs if name in self.heads else ()))

    def inputs_of(self, name: str, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Those inputs of the root (""), a head or a function that a case has."""
        optional = [
            key for key, each in self.optional.items()
            if each.of_functions or name not in self.functions
        ]  # fmt: skip
        names = (*self.takes(name), *optional)
        found = {key: input_of(key, inputs) for key in names}
        return {key: value for key, value in found.items() if value is not None}

    def head_of(self, output: str) -> str:
        """The first head that gives an output, itself or by a function; "" for the root's."""
        return next((name for name, head in self.heads.items() if output in head.given()), "")

    def axes_of(self, output: str, head: str = "") -> Axes:
        """A head's output's axes, less those of choices: each row is one (see `call`)."""
        axes = self.heads[head or self.head_of(output)].given()[output]
        return tuple(1 if axis == "C" else axis for axis in axes)

    def __call__(self, inputs: Mapping[str, np.ndarray], *, training: bool = False) -> Outputs:
        """Every output of the root, and of each head and function what none before it gives.

        Layers are `encoder_outputs[i]`. A head is left out where `inputs` lacks what it takes.
        """
        outputs = flatten(self.call("", inputs, training=training, run=self._run))
        for name in (*self.heads, *self.functions):
            if self.inputs_of(name, inputs).keys() >= set(self.takes(name)):
                of_head = flatten(self.call(name, inputs, training=training, run=self._run))
                outputs |= {key: value for key, value in of_head.items() if key not in outputs}
        return outputs

    def _run(self, function: Any, tensors: Mapping[str, Any], **keywords: bool) -> Any:
        """`Device.run`, but of a function that is traced once, and not for each shape anew."""
        key = (id(function), *keywords.items(), *sorted(tensors))
        if key not in self._for_all_shapes:
            self._for_all_shapes[key] = self._device.for_all_shapes(function, tensors, keywords)
        traced = self._for_all_shapes[key]
        if traced is None:
            return self._device.run(function, tensors, **keywords)
        return self._device.run(traced, tensors)


def heads_of(record: Mapping[str, Any]) -> dict[str, Interface]:
    """The heads that a record declares."""
    return {name: Interface.of_record(fields) for name, fields in record["heads"].items()}


def optional_inputs_of(record: Mapping[str, Any]) -> dict[str, OptionalInput]:
    """The inputs that, as a record declares, the encoder can do without."""
    declared = record.get("conventions", {}).get("optional_inputs", {})
    return {name: OptionalInput.of_record(fields) for name, fields in declared.items()}


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
