"""Where TensorFlow runs an artifact: CPU, GPU, TPU."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, UsageError

DEVICES = ("cpu", "gpu", "tpu")
_PATIENCE = 20.0
"""Seconds to wait for a TPU's address to accept a connection."""


@dataclasses.dataclass(frozen=True)
class Precision:
    """How a device multiplies matrices of float32.

    Attributes:
      label: for the report; "" where the device has only one way.
      format: a key of `tolerance.UNIT_ROUNDOFF`.
      tensor_float_32: the setting that TensorFlow is given; None to leave it alone.
    """

    label: str
    format: str
    tensor_float_32: bool | None = None

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Within, TensorFlow computes so."""
        if self.tensor_float_32 is None:
            yield
            return
        import tensorflow as tf

        before = tf.config.experimental.tensor_float_32_execution_enabled()
        tf.config.experimental.enable_tensor_float_32_execution(self.tensor_float_32)
        try:
            yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(before)


@dataclasses.dataclass(frozen=True)
class Device:
    """One kind of device, connected.

    Attributes:
      name: of `DEVICES`.
      hardware: for people: "Intel(R) Xeon(R) Processor, 2 cores".
      precisions: the ways to run on it, the most exact one first.
      placed: a function -> a context in which objects are loaded and functions run on the device.
      strategy: the `tf.distribute.Strategy` that runs functions; None to call them directly.
    """

    name: str
    hardware: str
    precisions: tuple[Precision, ...]
    placed: Callable[[], contextlib.AbstractContextManager[Any]]
    strategy: Any = None
    _compiled: dict[int, tuple[Any, Any]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    def load(self, directory: Path) -> Any:
        """`tf.saved_model.load` onto the device."""
        import tensorflow as tf

        # The workers of a TPU cannot read the files of this machine: its own CPU does.
        options = (
            tf.saved_model.LoadOptions(experimental_io_device="/job:localhost")
            if self.strategy is not None
            else None
        )
        with self.placed():
            return tf.saved_model.load(str(directory), options=options)

    def for_all_shapes(
        self, function: Any, tensors: Mapping[str, Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A function of tensors such as these, of any size that it was saved for, that calls a
        restored one.

        Called eagerly, the restored one is traced for every shape that it has not seen.

        Returns:
          None where it must be called itself: a strategy has its own way, and what was not saved
          for such tensors is to refuse them in its own words.
        """
        import tensorflow as tf

        specs = None if self.strategy is not None else _saved_for(function, tensors)
        if specs is None:
            return None
        traced = tf.function(
            lambda given: function(given, **keywords), input_signature=[specs], autograph=False
        )
        try:
            with self.placed():
                traced.get_concrete_function()
        except Exception:
            return None
        return traced

    def run(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Calls a restored function; under a strategy, on its first replica, compiled there."""
        import tensorflow as tf

        if self.strategy is None:
            with self.placed():
                return function(*arguments, **keywords)

        # One for each function: a new one would be traced and compiled anew in every call.
        if id(function) not in self._compiled:

            @tf.function
            def everywhere(arguments: Any, keywords: Any) -> Any:
                return self.strategy.run(function, arguments, keywords)

            self._compiled[id(function)] = function, everywhere
        outputs = self._compiled[id(function)][1](arguments, keywords)
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0],
            outputs,
            expand_composites=False,
        )


def _saved_for(function: Any, tensors: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the trace of a restored function takes that takes such tensors by name; None if none
    does, or sizes of its are not even known by number."""
    import tensorflow as tf

    call = getattr(function, "__call__", function)  # noqa: B004  of a restored object
    traces = (getattr(each, "concrete_functions", ()) for each in (function, call))
    for trace in itertools.chain(*traces):
        for given in trace.structured_input_signature[0]:
            if (
                isinstance(given, Mapping)
                and given.keys() == tensors.keys()
                and all(
                    isinstance(spec, tf.TensorSpec)
                    and spec.shape.rank is not None
                    and spec.is_compatible_with(tensors[name])
                    for name, spec in given.items()
                )
            ):
                return {n: tf.TensorSpec(spec.shape, spec.dtype) for n, spec in given.items()}
    return None


def connect(name: str, tpu: str | None = None) -> Device:
    """The device of that name, of this machine or (TPU) of the network.

    Args:
      name: of `DEVICES`.
      tpu: name or address of a TPU, as `TPUClusterResolver` takes it.

    Raises:
      UsageError: --tpu without the device, or none for it.
      HubexportError: TensorFlow sees no such device.
    """
    if (name == "tpu") != (tpu is not None):
        raise UsageError(
            "--device=tpu and --tpu go together",
            [("--device", name), ("--tpu", str(tpu))],
            "pass --device=tpu --tpu=NAME (or --tpu=local on a TPU machine), or neither.",
        )
    if tpu is not None:
        return _tpu(tpu)
    return {"cpu": _cpu, "gpu": _gpu}[name]()


def _cpu() -> Device:
    def placed() -> contextlib.AbstractContextManager[Any]:
        import tensorflow as tf  # when it is needed: a gate may wait for other processes first

        cpu: contextlib.AbstractContextManager[Any] = tf.device("/device:CPU:0")
        return cpu

    return Device("cpu", cpu_name(), (Precision("", "float32"),), placed)


def _gpu() -> Device:
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if not found:
        raise _absent("gpu", "this TensorFlow sees no GPU", "--runtime=pjrt may run on it.")
    details = tf.config.experimental.get_device_details(found[0])
    return Device(
        "gpu",
        str(details.get("device_name", found[0].name)),
        (Precision("TF32 off", "float32", False), Precision("TF32 on", "tf32", True)),
        lambda: tf.device("/device:GPU:0"),
    )


def _tpu(address: str) -> Device:
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
        _try_to_reach(resolver.master())
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    # Whatever the system and the network may say.
    except Exception as error:
        raise _absent("tpu", str(error).strip(), "look at --tpu, and at TPU_NAME.") from error
    return with_strategy("tpu", f"TPU {address}", strategy, "bfloat16")


def _try_to_reach(master: str) -> None:
    """Fails where nothing listens: TensorFlow would wait for ever, deaf to interrupts.

    Args:
      master: `grpc://HOST:PORT`, or "" or "local" for this machine's TPU.

    Raises:
      OSError: no connection.
    """
    import socket

    host, _, port = master.rpartition("//")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def with_strategy(name: str, hardware: str, strategy: Any, format: str) -> Device:
    """A device behind a `tf.distribute.Strategy`.

    Args:
      format: of the factors of matrix products there; a TPU's are bfloat16.
    """
    return Device(name, hardware, (Precision("", format),), strategy.scope, strategy)


def cpu_name() -> str:
    """The processor, and how many of its cores may be used."""
    import os

    model = "CPU"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                model = value.strip()
                break
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return f"{model}, {len(affinity(0)) if affinity else os.cpu_count()} cores"


def _absent(name: str, found: str, hint: str) -> HubexportError:
    return HubexportError("the device cannot be used", [("--device", name), ("found", found)], hint)
