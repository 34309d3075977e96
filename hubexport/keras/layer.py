"""The layer: a SavedModel's call, and its variables as Keras knows variables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from hubexport.errors import HubexportError
from hubexport.keras.parts import is_remote, load_part
from hubexport.saved_model.record import find_record

_FLOAT32 = "float32"


@keras.saving.register_keras_serializable(package="hubexport")
class HubLayer(keras.Layer):
    """A SavedModel in TF-Hub's format as a layer of Keras 3, which trains its variables.

    Encoders, their heads and preprocessors that hubexport made, and other reusable SavedModels
    (tensorflow.org/hub/reusable_saved_models). The layer is called with what the SavedModel takes,
    and gives what it gives: of an encoder a dict, in which `encoder_outputs` is a list.

    Dropout is active where the layer is called with `training=True` and is `trainable`: a frozen
    encoder gives the same in training as ever, as in `hub.KerasLayer`.

    The SavedModel computes in the dtype that it was exported for, whatever Keras' policy is;
    numbers are cast to those that it takes.

    Example:
      encoder = HubLayer("out/encoder")
      names = ("input_word_ids", "input_mask", "input_type_ids")
      inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
      logits = keras.layers.Dense(2)(encoder(inputs)["pooled_output"])
      model = keras.Model(inputs, logits)

    Args:
      handle: the SavedModel's directory, or an address that tensorflow_hub resolves. A saved model
        keeps the handle; what is there is loaded again with it, and then given the saved weights.
      trainable: whether the variables are trained. It may be changed before the model is compiled.
      part: an object or a function in the SavedModel, to be called in its place: `mlm`, or
        `encoder.mlm` by way of another.
      arguments: passed by keyword in each call, as `{"seq_length": 64}` of `bert_pack_inputs`.
      load_options: a tf.saved_model.LoadOptions; it is not saved with a model.
      **kwargs: of every layer, such as `name`.

    Raises:
      HubexportError: there is no SavedModel, or no such part; or a dtype is asked for.
    """

    def __init__(
        self,
        handle: str | os.PathLike[str],
        trainable: bool = True,
        part: str | None = None,
        *,
        arguments: Mapping[str, Any] | None = None,
        load_options: Any = None,
        **kwargs: Any,
    ):
        dtype = kwargs.pop("dtype", None)
        super().__init__(trainable=trainable, dtype=_FLOAT32, autocast=False, **kwargs)
        self.handle = os.fspath(handle)
        self.part = part
        self._arguments = tuple((arguments or {}).items())
        self._check_dtype(dtype)
        loaded = load_part(self.handle, part, load_options)
        self._loaded = loaded
        # Keras hands what an attribute tracks to TensorFlow: tables and files go into exports.
        self._module = loaded.root
        self.supports_jit = not loaded.takes_strings
        names: dict[str, int] = {}
        with keras.name_scope(self.name):
            for number, variable in enumerate(loaded.variables):
                held = _Held(variable, _unique(variable.name, names), number < loaded.num_trainable)
                self._track_variable(held)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Calls the SavedModel.

        Args:
          inputs: what it takes: of an encoder a dict of int32 [batch, sequence].
          training: whether dropout is active, unless the layer is frozen.

        Raises:
          HubexportError: inputs are missing, or others are there; or the call is stateless.
        """
        if any(weight.value is not weight.held for weight in self.weights):
            raise HubexportError(
                "a SavedModel cannot be called with other weights than its own",
                [("layer", self.name), ("called by", "stateless_call, or in a StatelessScope")],
                "train with fit, or with tf.GradientTape.",
            )
        arguments = dict(self._arguments)
        if self._loaded.takes_training:
            arguments["training"] = bool(training and self.trainable)
        if self.trainable:
            for loss in self._loaded.losses:
                self.add_loss(loss())
        fitted = self._loaded.fitted(inputs, self.name)
        from hubexport.keras.gradients import differentiated, is_compiled

        def function(given: Any) -> Any:
            return self._loaded.call(given, **arguments)

        sized = arguments.get("training") and is_compiled()
        return _plain(differentiated(function, fitted) if sized else function(fitted))

    def save_own_variables(self, store: Any) -> None:
        """Writes each variable by its name."""
        for weight in self.weights:
            store[weight.name] = weight

    def load_own_variables(self, store: Any) -> None:
        """Reads each variable by its name.

        Raises:
          HubexportError: the weights are those of another SavedModel.
        """
        weights = {weight.name: weight for weight in self.weights}
        found = {name: store[name] for name in store.keys()}  # noqa: SIM118  no mapping
        wrong = [f"{name} is not in the file" for name in weights if name not in found]
        wrong += [f"{name} is in the file alone" for name in found if name not in weights]
        wrong += [
            f"{name} is {list(found[name].shape)} in the file, {list(weight.shape)} here"
            for name, weight in weights.items()
            if name in found and tuple(found[name].shape) != tuple(weight.shape)
        ]
        if wrong:
            raise HubexportError(
                "the weights are those of another SavedModel",
                [
                    ("layer", self.name),
                    ("handle", self.handle),
                    ("differences", str(len(wrong))),
                    ("first", wrong[0]),
                ],
                "load them into a layer of the SavedModel that they were saved from.",
            )
        for name, weight in weights.items():
            weight.assign(found[name])

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of, but for its weights."""
        config = super().get_config()
        del config["dtype"]
        arguments = dict(self._arguments) or None
        return {**config, "handle": self.handle, "part": self.part, "arguments": arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubLayer:
        """The layer of a configuration.

        Raises:
          HubexportError: as of the layer; or a file that Keras loads in its safe mode would have a
            program downloaded.
        """
        # Internal: nothing else tells. None outside of a file's loading.
        from keras.src.saving.serialization_lib import in_safe_mode

        if is_remote(config["handle"]) and in_safe_mode():
            raise HubexportError(
                "the model would download a SavedModel, which is a program",
                [("handle", config["handle"])],
                "if you trust the file and the address, load it with safe_mode=False.",
            )
        return cls(**config)

    def _check_dtype(self, dtype: Any) -> None:
        """Refuses a dtype that is asked for; warns of a policy that has no effect."""
        policy = keras.dtype_policies.get(dtype)
        if policy.compute_dtype == _FLOAT32:
            return
        if dtype is not None:
            raise HubexportError(
                "a SavedModel computes in the dtype that it was exported for",
                [("layer", self.name), ("dtype", policy.name)],
                "export it with `hubexport encoder --dtype=bfloat16`, and pass no dtype here.",
            )
        record = None if is_remote(self.handle) else find_record(Path(self.handle))
        computes = (record or {}).get("architecture", {}).get("dtype", _FLOAT32)
        if computes != policy.compute_dtype:
            warnings.warn(
                f"{self.name}: the policy {policy.name} has no effect on the SavedModel, which "
                f"computes in the dtype that it was exported for. Export it with `hubexport "
                f"encoder --dtype={policy.compute_dtype}` to change that.",
                stacklevel=3,
            )


class _Held(keras.Variable):
    """A variable of a SavedModel as Keras knows it: the same numbers, and not a copy of them.

    The SavedModel's functions read their own variables, so that those are what an optimizer has to
    change. Keras' own variable would make another from the first one's numbers.
    """

    def __init__(self, variable: Any, name: str, trainable: bool):
        self.held = variable
        super().__init__(
            variable, dtype=variable.dtype.name, trainable=trainable, autocast=False, name=name
        )

    def _initialize(self, value: Any) -> None:
        self._value = self.held


def _unique(name: str, taken: dict[str, int]) -> str:
    """`encoder/layer_0/output/LayerNorm/gamma:0` -> `encoder.layer_0.output.LayerNorm.gamma`.

    Keras has no slashes in names, and makes them scopes of TensorFlow's, which have no colons. A
    name that is `taken` gets a number.
    """
    name = name.partition(":")[0].replace("/", ".")
    count = taken[name] = taken.get(name, 0) + 1
    return name if count == 1 else _unique(f"{name}_{count}", taken)


def _plain(outputs: Any) -> Any:
    """Dicts and lists in place of those that TensorFlow wraps, which Keras takes for tensors."""
    if isinstance(outputs, Mapping):
        return {key: _plain(value) for key, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return [_plain(value) for value in outputs]
    return outputs
