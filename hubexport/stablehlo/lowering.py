"""A restored function at fixed shapes as a StableHLO program (TensorFlow's side)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from hubexport.errors import HubexportError, some_of
from hubexport.stablehlo import program_text
from hubexport.stablehlo.tensor_files import TensorSpec

PRECISIONS: Mapping[str, bool] = {"HIGHEST": False, "DEFAULT": True}
"""XLA's precision of every dot of a program -> whether TensorFlow must allow TF32 to write it so.

It concerns factors of float32; those of narrower models are what they are either way.
"""

_STAGE = "stablehlo"
_OLDEST = "2.19"
# Calls that XLA itself defines; others are of one device's library.
_PORTABLE_CALLS = "mhlo."


class Encoder(Protocol):
    """What is lowered; `hubexport.validation.artifact.LoadedEncoder` is one."""

    def takes(self, part: str) -> Any:
        """Names of a part's inputs."""

    def with_rows(self, part: str, inputs: Any, run: Any) -> Any:
        """A part's outputs for rows, calling it as `run(function, inputs)` does."""


class Weights:
    """The tensors that programs take beside their inputs, each one once.

    Attributes:
      names: of variables, as the artifact has them.
      values: variables, and constants that functions capture.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.values: list[Any] = []
        self._index: dict[int, int] = {}
        self._captured: list[Any] = []  # keeps what the ids are of

    def index(self, captured: Any, variables: Sequence[tf.Variable]) -> int:
        """The number of a captured tensor, which is new or was met in another program.

        Raises:
          HubexportError: it is a table or another resource, which no program can take.
        """
        if id(captured) in self._index:
            return self._index[id(captured)]
        variable = next((each for each in variables if each.handle is captured), None)
        if variable is None and captured.dtype in (tf.resource, tf.variant, tf.string):
            raise HubexportError(
                "the encoder cannot be lowered to StableHLO",
                [("it uses", f"a tensor of the type {captured.dtype.name}: a table or the like")],
                "take strings and look-ups out of the encoder.",
            )
        index = self._index[id(captured)] = len(self.values)
        self._captured.append(captured)
        self.names.append(f"constant_{index}" if variable is None else _name(variable))
        self.values.append(captured if variable is None else variable)
        return index

    def numpy(self, index: int) -> np.ndarray:
        """A value, as the loaded artifact holds it."""
        return np.asarray(self.values[index].numpy())


def _name(variable: tf.Variable) -> str:
    return str(variable.name).partition(":")[0]


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A program.

    Attributes:
      text: MLIR.
      arguments: in order: the name of an input, or the number of a weight.
      results: in order.
    """

    text: str
    arguments: tuple[str | int, ...]
    results: tuple[TensorSpec, ...]


def lower(
    encoder: Encoder,
    parts: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    precision: str,
    weights: Weights,
    without: Sequence[str] = (),
) -> Lowered | None:
    """Lowers parts of an artifact, in inference mode, into one program.

    Args:
      encoder: a loaded artifact.
      parts: "" for the root, or names of heads.
      shapes: of all inputs that the parts take, which are int32.
      precision: of `PRECISIONS`.
      weights: where captured tensors get their numbers.
      without: outputs to leave out.

    Returns:
      The program, or None where the parts have no other outputs.

    Raises:
      HubexportError: TensorFlow is too old, or cannot lower this artifact.
    """
    taken = {key for part in parts for key in encoder.takes(part)}
    names = [name for name in shapes if name in taken]
    specs = [tf.TensorSpec(shapes[name], tf.int32, name) for name in names]
    outputs: list[str] = []

    def encode(*tensors: tf.Tensor) -> list[tf.Tensor]:
        inputs = dict(zip(names, tensors, strict=True))
        found: dict[str, tf.Tensor] = {}
        for part in parts:
            its = {key: inputs[key] for key in encoder.takes(part)}
            found_of_part = encoder.with_rows(part, its, lambda call, *a, **k: call(*a, **k))
            for name, value in _named(found_of_part).items():
                found.setdefault(name, value)
        chosen = {name: found[name] for name in sorted(found) if name not in without}
        outputs[:] = chosen  # the names, in the order of the results
        return list(chosen.values())

    with _tensor_float_32(PRECISIONS[precision]):
        text, concrete = _compiler_ir(tf.function(encode, jit_compile=True), specs)
    if not outputs:
        return None
    captured = concrete.captured_inputs
    numbers = [weights.index(each, concrete.graph.variables) for each in captured]
    arguments = [("int32", tuple(shapes[name])) for name in names]
    arguments += [_type(weights.values[number]) for number in numbers]
    results = [_type(tensor) for tensor in concrete.outputs]
    _check(text, arguments, results)
    return Lowered(
        text,
        (*names, *numbers),
        tuple(
            TensorSpec(name, dtype, shape)
            for name, (dtype, shape) in zip(outputs, results, strict=True)
        ),
    )


@contextlib.contextmanager
def _tensor_float_32(allowed: bool) -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _compiler_ir(function: Any, specs: Sequence[tf.TensorSpec]) -> tuple[str, Any]:
    """The program's text, and the concrete function whose arguments and results it has."""
    try:
        concrete = function.get_concrete_function(*specs)
        if not concrete.outputs:
            return "", concrete
        # Of the CPU, so that nothing of a GPU's libraries gets in where TensorFlow has one.
        make = function.experimental_get_compiler_ir(*specs)
        text = make(stage=_STAGE, platform_name="CPU")
    except Exception as error:  # whatever the artifact and the compiler do
        if "Invalid stage" in str(error):
            raise HubexportError(
                "this TensorFlow cannot write StableHLO",
                [("TensorFlow", tf.__version__), ("needed", f"{_OLDEST} or newer")],
                "install a newer TensorFlow; it reads the same artifact.",
            ) from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise HubexportError(
            "the encoder cannot be lowered to StableHLO",
            [("TensorFlow", f"{type(error).__name__}: {lines[0] if lines else ''}")],
            "look at the operations that XLA does not have.",
        ) from error
    return program_text.plain(text), concrete


def _named(outputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Tensors by name, those of lists numbered: `encoder_outputs[0]`."""
    named: dict[str, tf.Tensor] = {}
    for name, value in outputs.items():
        if not isinstance(value, list | tuple):
            named[name] = value
            continue
        for i, each in enumerate(value):
            named[f"{name}[{i}]"] = each
    return named


def _type(value: Any) -> tuple[str, tuple[int, ...]]:
    return value.dtype.name, tuple(value.shape)


def _check(text: str, arguments: program_text.Signature, results: program_text.Signature) -> None:
    """Fails where the program takes or gives something else than the function it was made from.

    XLA leaves out what it can compute beforehand, and the order would be lost without a word.
    """
    try:
        found = program_text.signature(text)
    except ValueError as error:
        raise HubexportError(
            "the program that TensorFlow wrote is not understood",
            [("found", str(error)), ("TensorFlow", tf.__version__)],
            "use a TensorFlow that hubexport supports.",
        ) from error
    if foreign := [
        name for name in program_text.custom_calls(text) if not name.startswith(_PORTABLE_CALLS)
    ]:
        raise HubexportError(
            "the encoder needs functions that not every device has",
            [("functions", some_of(foreign))],
            "validate it with --runtime=tensorflow.",
        )
    kinds = ("argument", "result")
    wrong = [
        f"{kind} {i}: {have} for {want}"
        for kind, haves, wants in zip(kinds, found, (arguments, results), strict=True)
        for i, (have, want) in enumerate(zip(haves, wants, strict=False))
        if have != want
    ]
    wrong += [
        f"{len(haves)} {kind}s for {len(wants)}"
        for kind, haves, wants in zip(kinds, found, (arguments, results), strict=True)
        if len(haves) != len(wants)
    ]
    if wrong:
        raise HubexportError(
            "the program that TensorFlow wrote has another signature than its function",
            [("program", some_of(wrong)), ("TensorFlow", tf.__version__)],
            "validate the artifact with --runtime=tensorflow.",
        )
