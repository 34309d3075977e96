"""Writes a bundle: programs, weights, inputs and expected outputs, for any PJRT client.

TensorFlow writes it; `python -m hubexport.validation.pjrt` runs it where only JAX and numpy are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hubexport.errors import UsageError
from hubexport.saved_model.identity import artifact_identity
from hubexport.saved_model.target import staged_directory
from hubexport.stablehlo.manifest import (
    PRECISIONS,
    SIZES,
    CaseFiles,
    Manifest,
    Program,
    write_manifest,
)
from hubexport.stablehlo.tensor_files import (
    FileSpec,
    TensorSet,
    TensorSpec,
    write_tensors,
)
from hubexport.validation.cases import Case
from hubexport.validation.context import Context
from hubexport.validation.expected import along_sequence, defined, expected_outputs
from hubexport.validation.provenance import describe
from hubexport.validation.reference_file import HEAD_OUTPUTS
from hubexport.version import __version__

SHARD_BYTES = 512 << 20
SEED = 0
HEADS_PART = "heads"


def write_bundle(
    context: Context,
    directory: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    weights: Literal["values", "seed"] = "values",
    overwrite: bool = False,
) -> Manifest:
    """Writes a bundle; it appears complete or not at all.

    Args:
      context: of the encoder, with its reference where there is one. Its cases give the shapes.
      directory: the bundle.
      shard_bytes: no file of tensors is larger.
      weights: "seed" for bundles that are to be timed only: no values, and no expected outputs.
      overwrite: whether a directory that is not empty may be replaced.

    Raises:
      UsageError: `shard_bytes` is not positive, or `weights` is another word.
      ExportPathError: the directory must not be replaced, or cannot be written.
      HubexportError: the artifact cannot be lowered.
    """
    if shard_bytes < 1 or weights not in ("values", "seed"):
        raise UsageError(
            "no such bundle can be written",
            [("shard_bytes", str(shard_bytes)), ("weights", str(weights))],
            "pass a positive size, and `values` or `seed`.",
        )
    assert context.saved_model is not None
    with staged_directory(directory, overwrite=overwrite) as staging:
        writer = _Writer(context, staging, shard_bytes, with_values=weights == "values")
        cases = tuple(writer.case(i, case) for i, case in enumerate(context.cases))
        reference = context.reference if weights == "values" else None
        manifest = Manifest(
            artifact=artifact_identity(context.saved_model),
            made_with=_versions(),
            dtype=context.dtype,
            sizes={name: context.sizes[name] for name in SIZES},
            reference=describe(reference),
            seed=None if weights == "values" else SEED,
            weights=writer.write_weights(),
            programs=tuple(writer.programs),
            cases=cases,
        )
        write_manifest(staging, manifest)
    return manifest


class _Writer:
    """Fills a bundle's directory."""

    def __init__(self, context: Context, directory: Path, limit: int, *, with_values: bool):
        from hubexport.stablehlo.lowering import Weights

        self._context, self._directory, self._limit = context, directory, limit
        self._with_values = with_values
        self._weights = Weights()
        self._of_shapes: dict[Any, tuple[int, ...]] = {}  # cases of one shape share programs
        self.programs: list[Program] = []

    def case(self, number: int, case: Case) -> CaseFiles:
        stem, encoder = f"cases/{number:02}", self._context.encoder
        of_heads = [encoder.inputs_of(name, case.inputs) for name in encoder.heads]
        given = {key: value for each in (case.inputs, *of_heads) for key, value in each.items()}
        inputs = write_tensors(self._directory, f"{stem}-inputs", given.items(), self._limit)
        expected = write_tensors(
            self._directory, f"{stem}-expected", self._expected(case), self._limit
        )
        shapes = {name: value.shape for name, value in given.items()}
        key = tuple(shapes.items())
        if key not in self._of_shapes:
            self._of_shapes[key] = tuple(self._lower(shapes))
        return CaseFiles(case.name, inputs, expected, self._of_shapes[key])

    def _expected(self, case: Case) -> Iterator[tuple[str, np.ndarray]]:
        if not self._with_values or self._context.reference is None:
            return
        of_all = defined(self._context, case).all()
        for name, load in expected_outputs(self._context, case).items():
            if along_sequence(name) and not of_all:
                continue
            if name not in HEAD_OUTPUTS or self._context.encoder.head_of(name):
                yield name, load()

    def _lower(self, shapes: dict[str, tuple[int, ...]]) -> Iterator[int]:
        from hubexport.stablehlo.lowering import lower

        encoder = self._context.encoder
        heads = [name for name in encoder.heads if shapes.keys() >= set(encoder.takes(name))]
        for precision in PRECISIONS:
            seen: list[str] = []
            for part, names in (("", [""]), (HEADS_PART, heads)):
                lowered = (
                    lower(encoder, names, shapes, precision, self._weights, without=seen)
                    if names
                    else None
                )
                if lowered is None:
                    continue
                seen += [result.name for result in lowered.results]
                path = f"programs/{len(self.programs):03}.mlir"
                file = _write(self._directory, path, lowered.text.encode())
                program = Program(file, part, precision, lowered.arguments, lowered.results)
                yield len(self.programs)
                self.programs.append(program)

    def write_weights(self) -> TensorSet:
        weights = self._weights
        if not self._with_values:
            return TensorSet(tuple(_specs(weights)), ())
        # One at a time: a copy of all would need the model's size once more.
        values = ((name, weights.numpy(i)) for i, name in enumerate(weights.names))
        return write_tensors(self._directory, "weights/values", values, self._limit)


def _specs(weights: Any) -> Iterator[TensorSpec]:
    for name, value in zip(weights.names, weights.values, strict=True):
        yield TensorSpec(name, value.dtype.name, tuple(value.shape))


def _write(directory: Path, path: str, data: bytes) -> FileSpec:
    (directory / path).parent.mkdir(exist_ok=True)
    (directory / path).write_bytes(data)
    return FileSpec(path, len(data), hashlib.sha256(data).hexdigest())


def _versions() -> dict[str, str]:
    import tensorflow as tf

    return {"hubexport": __version__, "tensorflow": tf.__version__}
