"""A bundle on a device: weights there once, programs compiled."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.stablehlo.client import Client
from hubexport.stablehlo.manifest import CaseFiles, Manifest, Program, read_manifest
from hubexport.stablehlo.tensor_files import (
    TensorSet,
    numpy_dtype,
    read_bytes,
    read_tensors,
)

_STDDEV = 0.02
_THREADS = 4  # compiling takes memory, too


class LoadedBundle:
    """A bundle whose weights are on a device.

    Attributes:
      manifest: what it holds.
      platform: of the device.
    """

    def __init__(
        self, directory: Path, client: Client, progress: Callable[[str], None] = lambda what: None
    ):
        """Checks the bundle, loads its weights and compiles its programs.

        Raises:
          HubexportError: it is damaged.
        """
        self.manifest: Manifest = read_manifest(directory)
        self.platform = client.platform
        self._directory, self._client = directory, client
        progress("loading weights")
        self._weights = [client.put(value) for value in self._values()]
        self._compiled = self._compile(progress)

    def _values(self) -> Iterator[np.ndarray]:
        """The weights one by one, so that a copy of all is never here and on the device."""
        if self.manifest.seed is None:
            for _, value in read_tensors(self._directory, self.manifest.weights):
                yield value
        else:
            yield from draw(self.manifest.weights, self.manifest.seed)

    def _compile(self, progress: Callable[[str], None]) -> list[Any]:
        """Executables, or the error, by the programs' numbers."""

        def compile(program: Program) -> Any:
            text = read_bytes(self._directory, program.file)
            try:
                return self._client.compile(text.decode())
            except (RuntimeError, UnicodeDecodeError) as error:
                return error

        threads = min(_THREADS, os.cpu_count() or 1)
        compiled = []
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            programs = self.manifest.programs
            for each in pool.map(compile, programs):
                compiled.append(each)
                progress(f"compiled {len(compiled)} of {len(programs)} programs")
        return compiled

    def inputs(self, case: CaseFiles) -> dict[str, np.ndarray]:
        """A case's inputs by name."""
        return {spec.name: value for spec, value in read_tensors(self._directory, case.inputs)}

    def expected(self, case: CaseFiles) -> dict[str, np.ndarray]:
        """What a case's outputs should be, by name."""
        return {spec.name: value for spec, value in read_tensors(self._directory, case.expected)}

    def outputs(
        self, case: CaseFiles, inputs: Mapping[str, np.ndarray], precision: str
    ) -> dict[str, np.ndarray]:
        """Runs a case's programs of a precision.

        Raises:
          RuntimeError: one could not be compiled, or cannot be run.
        """
        outputs: dict[str, np.ndarray] = {}
        for number in case.programs:
            program = self.manifest.programs[number]
            if program.precision != precision:
                continue
            results = self._client.fetch(self._start(number, self._arguments(program, inputs)))
            names = [spec.name for spec in program.results]
            if [(each.dtype.name, each.shape) for each in results] != [
                (spec.dtype, spec.shape) for spec in program.results
            ]:
                raise RuntimeError(f"{program.file.path} gives other results than it should")
            outputs |= zip(names, results, strict=True)
        return outputs

    def runner(self, number: int, inputs: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A function that runs a program once and waits for its results.

        Raises:
          RuntimeError: it could not be compiled.
        """
        arguments = self._arguments(self.manifest.programs[number], inputs)
        return lambda: self._client.wait(self._start(number, arguments))

    def _start(self, number: int, arguments: list[Any]) -> list[Any]:
        executable = self._compiled[number]
        if isinstance(executable, Exception):
            raise RuntimeError(str(executable)) from executable
        return self._client.start(executable, arguments)

    def _arguments(self, program: Program, inputs: Mapping[str, np.ndarray]) -> list[Any]:
        return [
            self._client.put(inputs[each]) if isinstance(each, str) else self._weights[each]
            for each in program.arguments
        ]


def draw(weights: TensorSet, seed: int) -> Iterator[np.ndarray]:
    """Values for a model that is only timed: normal with deviation 0.02, norms' gammas 1.

    What is not floating is 0.
    """
    generator = np.random.default_rng(seed)
    for spec in weights.tensors:
        dtype = numpy_dtype(spec.dtype)
        if spec.name.endswith("gamma"):
            yield np.ones(spec.shape, dtype)
        elif "float" in spec.dtype:
            yield (generator.standard_normal(spec.shape, np.float32) * _STDDEV).astype(dtype)
        else:
            yield np.zeros(spec.shape, dtype)
