"""Reference outputs on disk: one safetensors file with a JSON header.

`docs/validation.md` documents the format. Tensors are `CASE/inputs/NAME`, `CASE/outputs/NAME`; the
header is the file's metadata entry `hubexport_reference`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.files import replaced
from hubexport.validation.cases import Case
from hubexport.validation.reference_checks import (
    OUTPUTS,
    ReferenceError,
    check_outputs,
    check_shapes,
    read_case,
)

FORMAT_VERSION = 1
HEADER = "hubexport_reference"


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a reference comes from.

    Attributes:
      source: `transformers`, `model_garden` or `file`.
      made_by: the program and its version, for people: "transformers 5.23.0 (BertForPreTraining)".
      checkpoint: its files as `saved_model.record.source_file` describes them, by name.
      architecture: `num_hidden_layers`, `hidden_size`, `intermediate_size` at least.
      notes: what users should know of it.
    """

    source: str
    made_by: str
    checkpoint: Sequence[Mapping[str, Any]]
    architecture: Mapping[str, Any]
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Reference:
    """An open reference file; tensors are read when asked for.

    Attributes:
      path: the file.
      provenance: where it comes from.
      cases: the inputs, by name.
    """

    path: Path
    provenance: Provenance
    cases: Mapping[str, Case]
    _outputs: Mapping[str, Sequence[str]]

    def outputs(self, case: str) -> list[str]:
        """Names of the outputs that the file holds for a case, layers first, in order."""
        return list(self._outputs[case])

    def output(self, case: str, name: str) -> np.ndarray:
        """One output, float32."""
        from safetensors import safe_open

        with safe_open(self.path, framework="np") as file:
            return file.get_tensor(f"{case}/outputs/{name}")


def write_reference(
    path: Path,
    provenance: Provenance,
    cases: Sequence[Case],
    outputs: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Writes a reference file; it appears complete or not at all.

    Args:
      path: the file; its directory is made.
      provenance: where the outputs come from.
      cases: the inputs.
      outputs: case -> output -> float32 array.

    Raises:
      ReferenceError: an output is missing, misshaped or not finite, or has a name unknown here; or
        the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    for case in cases:
        check_outputs(path, case, outputs[case.name])
        named = {f"inputs/{name}": value.astype(np.int32) for name, value in case.inputs.items()}
        if case.masked_lm_ids is not None:
            named["inputs/masked_lm_ids"] = case.masked_lm_ids.astype(np.int32)
        named |= {
            f"outputs/{name}": np.asarray(value, np.float32)
            for name, value in outputs[case.name].items()
        }
        tensors |= {f"{case.name}/{name}": np.ascontiguousarray(v) for name, v in named.items()}
    header = {
        "format_version": FORMAT_VERSION,
        **dataclasses.asdict(provenance),
        "cases": [{"name": case.name, "texts": case.texts} for case in cases],
    }
    try:
        with replaced(path) as partial:
            save_file(tensors, partial, metadata={HEADER: json.dumps(header, ensure_ascii=False)})
    except (OSError, SafetensorError) as error:
        raise ReferenceError(
            "the reference cannot be written",
            [("file", str(path)), ("system", getattr(error, "strerror", "") or str(error))],
            "make room, or choose a path that you may write to.",
        ) from error


def read_reference(path: Path) -> Reference:
    """Opens a reference file and checks that it is whole.

    Raises:
      ReferenceError: it is not there, no such file, of another version, or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if HEADER not in metadata:
                raise ReferenceError(
                    "the file is not a reference",
                    [("file", str(path)), ("found", "safetensors without the header " + HEADER)],
                    "make one with `hubexport reference`.",
                )
            header = json.loads(metadata[HEADER])
            if header["format_version"] != FORMAT_VERSION:
                raise ReferenceError(
                    "the reference is of another version",
                    [
                        ("file", str(path)),
                        ("format_version", f"{header['format_version']}, needed {FORMAT_VERSION}"),
                    ],
                    "make it again with `hubexport reference`.",
                )
            names = list(file.keys())
            cases, outputs = {}, {}
            for fields in header["cases"]:
                case = read_case(fields, names, file)
                if case.name in cases:
                    raise ValueError(f"two cases {case.name}")
                cases[case.name] = case
                prefix = f"{case.name}/outputs/"
                found = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
                check_shapes(path, case, {
                    name: tuple(file.get_slice(prefix + name).get_shape()) for name in found
                })  # fmt: skip
                outputs[case.name] = sorted(found, key=_order)
            if not cases:
                raise ValueError("no cases")
            provenance = Provenance(
                **{field.name: header[field.name] for field in dataclasses.fields(Provenance)}
            )
            for each in provenance.checkpoint:
                _ = each["name"], each["bytes"], each["sha256"]
            return Reference(path, provenance, cases, outputs)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceError(
            "the reference cannot be read",
            [("file", str(path)), ("found", str(error))],
            "pass a file that `hubexport reference` wrote.",
        ) from error


def layer_name(index: int) -> str:
    """The name of layer `index`'s output, counted from 0."""
    return f"encoder_outputs[{index}]"


def _order(name: str) -> tuple[int, int, str]:
    if name.startswith("encoder_outputs["):
        return 0, int(name[len("encoder_outputs[") : -1]), name
    return 1, OUTPUTS.index(name) if name in OUTPUTS else len(OUTPUTS), name
