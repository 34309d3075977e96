"""`manifest.json` of a bundle: what it holds, and the form that is checked before it is used.

`docs/validation.md` documents the format. Readers need numpy and the standard library only.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError
from hubexport.stablehlo.tensor_files import DTYPES, FileSpec, TensorSet, TensorSpec

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
PRECISIONS = ("HIGHEST", "DEFAULT")
"""XLA's precision of the dots of a program."""
FORMATS = ("float32", "tf32", "float16", "bfloat16")
"""That factors of matrix products may have."""
IDS = "input_word_ids"
SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size")

_PATH = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
_MOST_BYTES = 1 << 26
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Program:
    """A program for the inputs of some cases.

    Attributes:
      file: MLIR.
      part: "" for the root's outputs, "heads" for those that only heads have.
      precision: of `PRECISIONS`.
      arguments: in order: the name of an input, or the number of a weight.
      results: in order.
    """

    file: FileSpec
    part: str
    precision: str
    arguments: tuple[str | int, ...]
    results: tuple[TensorSpec, ...]


@dataclasses.dataclass(frozen=True)
class CaseFiles:
    """A case: its inputs, what the outputs should be, and the numbers of its programs.

    `expected` is empty where there is no reference, or where weights are drawn from a seed.
    """

    name: str
    inputs: TensorSet
    expected: TensorSet
    programs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A bundle.

    Attributes:
      artifact: see `identity.artifact_identity`.
      made_with: package -> version.
      dtype: that the model computes in; a key of `FORMATS`.
      sizes: `SIZES` of the model, by which limits are set.
      reference: provenance of the reference outputs; None without them.
      seed: that the weights are drawn from; None where their values are in files.
      weights, programs, cases: see there.
    """

    artifact: Mapping[str, str]
    made_with: Mapping[str, str]
    dtype: str
    sizes: Mapping[str, int]
    reference: Mapping[str, Any] | None
    seed: int | None
    weights: TensorSet
    programs: tuple[Program, ...]
    cases: tuple[CaseFiles, ...]

    def files(self) -> Iterator[FileSpec]:
        """Every file beside the manifest."""
        yield from self.weights.files
        for program in self.programs:
            yield program.file
        for case in self.cases:
            yield from (*case.inputs.files, *case.expected.files)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes `manifest.json`.

    Raises:
      OSError: it cannot be written.
    """
    fields = {"format_version": FORMAT_VERSION, **dataclasses.asdict(manifest)}
    text = json.dumps(fields, indent=1, ensure_ascii=False)
    (directory / MANIFEST).write_text(text + "\n", "utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Reads and checks a manifest, and that all its files are there in full.

    Raises:
      HubexportError: there is none, it is damaged or of another version, or files are not as it
        says; all of those are listed.
    """
    path = directory / MANIFEST
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        fields = json.loads(path.read_text("utf-8"))
        if fields["format_version"] != FORMAT_VERSION:
            found = fields["format_version"]
            raise ValueError(f"format_version {found!r}, this program reads {FORMAT_VERSION}")
        manifest = _manifest(fields)
    except OSError as error:
        raise HubexportError(
            "there is no readable bundle",
            [("looked for", str(path)), ("system", error.strerror or str(error))],
            "pass a directory that `hubexport validate --write_bundle` wrote.",
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        found = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise _refused(path, [found]) from error
    if faults := [*_faults(manifest), *_faults_of_files(directory, manifest)]:
        raise _refused(path, faults)
    return manifest


def _refused(path: Path, faults: list[str]) -> HubexportError:
    more = [("and", f"{len(faults) - _SHOWN} more")] if len(faults) > _SHOWN else []
    return HubexportError(
        "the bundle is damaged, or of another version",
        [("manifest", str(path)), *(("found", each) for each in faults[:_SHOWN]), *more],
        "copy the bundle again, or write it again.",
    )


def _manifest(fields: Mapping[str, Any]) -> Manifest:
    reference, seed = fields["reference"], fields["seed"]
    return Manifest(
        artifact={str(name): str(digest) for name, digest in fields["artifact"].items()},
        made_with={str(name): str(version) for name, version in fields["made_with"].items()},
        dtype=str(fields["dtype"]),
        sizes={name: _count(fields["sizes"][name]) for name in SIZES},
        reference=None if reference is None else dict(reference),
        seed=None if seed is None else _count(seed),
        weights=_set(fields["weights"]),
        programs=tuple(_program(each) for each in fields["programs"]),
        cases=tuple(
            CaseFiles(
                str(each["name"]),
                _set(each["inputs"]),
                _set(each["expected"]),
                tuple(_count(number) for number in each["programs"]),
            )
            for each in fields["cases"]
        ),
    )


def _program(fields: Mapping[str, Any]) -> Program:
    return Program(
        _file(fields["file"]),
        str(fields["part"]),
        str(fields["precision"]),
        tuple(each if isinstance(each, str) else _count(each) for each in fields["arguments"]),
        tuple(_tensor(each) for each in fields["results"]),
    )


def _set(fields: Mapping[str, Any]) -> TensorSet:
    return TensorSet(
        tuple(_tensor(each) for each in fields["tensors"]),
        tuple(_file(each) for each in fields["files"]),
    )


def _tensor(fields: Mapping[str, Any]) -> TensorSpec:
    dtype = str(fields["dtype"])
    if dtype not in DTYPES:
        raise ValueError(f"a tensor of the dtype {dtype!r}")
    return TensorSpec(str(fields["name"]), dtype, tuple(_count(dim) for dim in fields["shape"]))


def _file(fields: Mapping[str, Any]) -> FileSpec:
    return FileSpec(str(fields["path"]), _count(fields["nbytes"]), str(fields["sha256"]))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} for a number of things")
    return value


def _faults(manifest: Manifest) -> Iterator[str]:
    """What contradicts itself."""
    if manifest.dtype not in FORMATS:
        yield f"a model of the dtype {manifest.dtype!r}"
    if not manifest.cases or not manifest.programs:
        yield "no cases, or no programs"
    sets = [("weights", manifest.weights)] if manifest.seed is None else []
    for case in manifest.cases:
        sets += [(f"{case.name}: inputs", case.inputs), (f"{case.name}: expected", case.expected)]
    for name, tensors in sets:
        needed = sum(tensor.nbytes for tensor in tensors.tensors)
        if (found := sum(file.nbytes for file in tensors.files)) != needed:
            yield f"{name}: files of {found:,} bytes for tensors of {needed:,}"
    for i, program in enumerate(manifest.programs):
        if program.precision not in PRECISIONS:
            yield f"program {i}: precision {program.precision!r}"
        numbers = [each for each in program.arguments if isinstance(each, int)]
        if numbers and max(numbers) >= len(manifest.weights.tensors):
            yield f"program {i}: weight {max(numbers)} of {len(manifest.weights.tensors)}"
    for case in manifest.cases:
        inputs = {tensor.name for tensor in case.inputs.tensors}
        if not any(t.name == IDS and len(t.shape) == 2 for t in case.inputs.tensors):
            yield f"{case.name}: no {IDS} of two dimensions"
        if empty := [tensor.name for tensor in case.expected.tensors if not tensor.nbytes]:
            yield f"{case.name}: nothing in {', '.join(empty)}"
        for number in case.programs:
            if number >= len(manifest.programs):
                yield f"{case.name}: program {number} of {len(manifest.programs)}"
                continue
            taken = manifest.programs[number].arguments
            lacking = sorted({name for name in taken if isinstance(name, str)} - inputs)
            if lacking:
                yield f"{case.name}: no {', '.join(lacking)} for program {number}"


def _faults_of_files(directory: Path, manifest: Manifest) -> Iterator[str]:
    """Files that are not there in full, and names that lead elsewhere."""
    for file in manifest.files():
        path = directory / file.path
        if not _PATH.fullmatch(file.path) or path.is_symlink() or path.parent.is_symlink():
            yield f"{file.path!r}: not a plain name in the bundle"
        elif not path.is_file():
            yield f"{file.path}: missing"
        elif path.stat().st_size != file.nbytes:
            yield f"{file.path}: {path.stat().st_size:,} bytes, needed {file.nbytes:,}"
