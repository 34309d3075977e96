"""Exported encoders converted for other runtimes, and run there.

A converter takes the artifact, the name of a signature and the file to write. A runner takes that
file, and gives a function from a signature's inputs to its outputs, both by name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

Tensors = dict[str, np.ndarray]
Run = Callable[[Tensors], Tensors]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What converts, and what runs.

    Attributes:
      packages: that both need beside TensorFlow, as they are imported.
      suffix: of the file.
    """

    packages: tuple[str, ...]
    suffix: str
    convert: Callable[[Path, str, Path], None]
    load: Callable[[Path, str], Run]


def to_tensorflow_lite(
    artifact: Path, signature: str, path: Path, *, quantized: bool = False
) -> None:
    """Without TensorFlow's own ops ("Flex"); `quantized` stores large kernels as int8."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(artifact), signature_keys=[signature])
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path.write_bytes(converter.convert())


def to_quantized_tensorflow_lite(artifact: Path, signature: str, path: Path) -> None:
    to_tensorflow_lite(artifact, signature, path, quantized=True)


def run_tensorflow_lite(path: Path, signature: str, *, threads: int | None = None) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    runner = interpreter.get_signature_runner(signature)
    return lambda inputs: runner(**inputs)


def to_onnx(artifact: Path, signature: str, path: Path) -> None:
    """By tf2onnx' command line, which sets TensorFlow's log level for the whole process."""
    arguments = ["--saved-model", artifact, "--signature_def", signature, "--output", path]
    with (
        mock.patch("sys.argv", ["tf2onnx.convert", *map(str, arguments)]),
        mock.patch.dict(os.environ),
    ):
        runpy.run_module("tf2onnx.convert", run_name="__main__")


def run_onnx(path: Path, signature: str, *, threads: int = 0) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


@contextlib.contextmanager
def _silent_openvino() -> Iterator[None]:
    """Imported or converting, OpenVINO sends usage statistics, except in continuous integration."""
    with mock.patch.dict(os.environ, CI="true"):
        yield


def to_openvino(artifact: Path, signature: str, path: Path) -> None:
    """A directory holds one model to OpenVINO, that of `serving_default`."""
    with _silent_openvino():
        import openvino

        if signature == "serving_default":
            model = openvino.convert_model(artifact)
        else:
            import tensorflow as tf

            loaded = tf.saved_model.load(str(artifact))
            model = openvino.convert_model(loaded.signatures[signature])
        openvino.save_model(model, path, compress_to_fp16=False)


def run_openvino(path: Path, signature: str, *, threads: int = 0) -> Run:
    with _silent_openvino():
        import openvino

        options: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = openvino.compile_model(path, "CPU", options)

    def run(inputs: Tensors) -> Tensors:
        results = compiled(inputs)
        # An output may have several names.
        return {name: value for output, value in results.items() for name in output.names}

    return run


def require(runtime: Runtime) -> None:
    """Skips the test where a package is not installed; does not import any."""
    for package in runtime.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'hubexport[runtimes]'")


RUNTIMES: dict[str, Runtime] = {
    "TensorFlow Lite": Runtime(
        ("ai_edge_litert",), ".tflite", to_tensorflow_lite, run_tensorflow_lite
    ),
    "TensorFlow Lite, int8": Runtime(
        ("ai_edge_litert",), ".int8.tflite", to_quantized_tensorflow_lite, run_tensorflow_lite
    ),
    "ONNX": Runtime(("tf2onnx", "onnxruntime"), ".onnx", to_onnx, run_onnx),
    "OpenVINO": Runtime(("openvino",), ".xml", to_openvino, run_openvino),
}
