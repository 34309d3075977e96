"""Every variable has its tensor, every tensor its reason: checked before anything is written."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

from hubexport.checkpoints.source import LazyTensor, TensorSource
from hubexport.checkpoints.training_state import training_state
from hubexport.errors import TensorMismatchError, some_of
from hubexport.families.family import Family
from hubexport.families.tensor_map import Weight
from hubexport.families.transforms import AS_IS, uncovered
from hubexport.saved_model.weights import Value

WIDENED = ("float16", "bfloat16")
"""Dtypes whose every value float32 holds exactly."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What fills every variable of the network.

    Attributes:
      values: by variable.
      tensors: variable -> name of the checkpoint's tensor, or how the value was generated.
      skipped: reason -> tensors that are known and not exported.
    """

    values: Mapping[str, Value]
    tensors: Mapping[str, str]
    skipped: Mapping[str, tuple[str, ...]]

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.values.values())

    def report(self) -> list[dict[str, object]]:
        """The key report of the record: a row per variable."""
        return [
            {
                "variable": variable,
                "shape": list(value.shape),
                "tensor": self.tensors[variable],
                "dtype": value.tensor.dtype,
                "transform": _describe(value),
            }
            for variable, value in self.values.items()
        ]


def make_plan(
    family: Family,
    source: TensorSource,
    weights: Iterable[Weight],
    generated: Mapping[str, LazyTensor],
    left_out: Mapping[str, Iterable[Weight]],
    facts: Iterable[tuple[str, str]],
) -> Plan:
    """Matches the network's weights with the checkpoint's tensors, both ways.

    Args:
      family: knows the tensors that are not part of what is exported.
      source: the checkpoint.
      weights: every weight that is to come from the checkpoint.
      generated: the variables that do not.
      left_out: reason -> weights that the checkpoint may hold and nobody asked for.
      facts: what an error says about checkpoint and configuration.

    Raises:
      TensorMismatchError: tensors are missing, unused, misshaped or of a wrong dtype.
    """
    values: dict[str, Value] = {}
    tensors: dict[str, str] = {}
    missing, misshaped, wrong_dtype = [], [], []
    copies: dict[str, list[str]] = {}
    for name, (_, copy_of) in family.tied().items():
        copies.setdefault(copy_of, []).append(name)
    for weight in weights:
        # Of tied tensors, one may be stored.
        possible = map(source.find, (weight.tensor, *copies.get(weight.variable, ())))
        tensor = next((found for found in possible if found is not None), None)
        wanted = weight.transform.source_shape(weight.shape)
        if tensor is None:
            missing.append(f"{weight.tensor} {list(wanted)}")
            continue
        if tensor.shape != wanted:
            misshaped.append(f"{tensor}, needed {list(wanted)}")
        elif tensor.dtype not in ("float32", *WIDENED):
            wrong_dtype.append(f"{tensor.name} is {tensor.dtype}")
        values[weight.variable] = Value(weight.shape, tensor, weight.transform)
        tensors[weight.variable] = tensor.name
    for variable, tensor in generated.items():
        values[variable] = Value(tensor.shape, tensor, AS_IS)
        tensors[variable] = f"generated: {tensor.name}"
    used = {value.tensor.name for value in values.values()}
    skipped, unused, untied = _account(family, source, used, left_out, tensors)
    problems = {
        "missing": missing,
        "not used": unused,
        "misshaped": misshaped,
        "not float32 (or float16, bfloat16)": wrong_dtype,
        "not the same as the tensor that they are tied to": untied,
        "taken in part only": _cut(values.values()),
    }
    if any(problems.values()):
        raise TensorMismatchError(
            "the checkpoint does not fit the configuration",
            [
                *facts,
                *((f"{kind} ({len(n)})", some_of(n)) for kind, n in problems.items() if n),
            ],
            "pass the configuration that the checkpoint was trained with.",
        )
    return Plan(values, tensors, skipped)


def _account(
    family: Family,
    source: TensorSource,
    used: set[str],
    left_out: Mapping[str, Iterable[Weight]],
    tensors: Mapping[str, str],
) -> tuple[dict[str, tuple[str, ...]], list[str], list[str]]:
    """The tensors that no variable takes: skipped by reason, unused, and not tied as they must."""
    known: dict[str, str] = {}
    for reason, weights in left_out.items():
        for weight in weights:
            tensor = source.find(weight.tensor)
            if tensor is not None:
                known.setdefault(tensor.name, reason)
    known = {**training_state(source), **known}
    duplicates = family.tied()
    skipped: dict[str, list[str]] = {}
    unused: list[str] = []
    untied: list[str] = []
    for name, tensor in source.tensors.items():
        if name in used:
            continue
        needed_by, copy_of = duplicates.get(name, ("", ""))
        reason = known.get(name) or next(
            (
                f"head: {head}"
                for head, names in family.other_heads.items()
                if names.fullmatch(name)
            ),
            "",
        )
        if needed_by in tensors and copy_of in tensors:
            if _digest(tensor) != _digest(source.tensors[tensors[copy_of]]):
                untied.append(f"{name} ({tensors[copy_of]})")
            skipped.setdefault("tied to another tensor, checked to be equal", []).append(name)
        elif reason:
            skipped.setdefault(reason, []).append(name)
        elif needed_by:
            skipped.setdefault("of a head that is not exported", []).append(name)
        else:
            unused.append(str(tensor))
    return {reason: tuple(names) for reason, names in skipped.items()}, unused, untied


def _cut(values: Iterable[Value]) -> list[str]:
    """Tensors that several variables share and of which something is lost, or taken twice."""
    by_tensor: dict[str, list[Value]] = {}
    for value in values:
        if value.tensor.shape == value.transform.source_shape(value.shape):  # else misshaped
            by_tensor.setdefault(value.tensor.name, []).append(value)
    wrong = []
    for name, shared in by_tensor.items():
        taken = [(value.transform, value.shape) for value in shared]
        if problem := uncovered(shared[0].tensor.shape, taken):
            wrong.append(f"{name}: {problem}")
    return wrong


def _digest(tensor: LazyTensor) -> tuple[object, ...]:
    sha = hashlib.sha256()
    for chunk in tensor.chunks():
        sha.update(chunk)
    return tensor.shape, tensor.dtype, sha.digest()


def _describe(value: Value) -> str:
    steps = []
    if value.tensor.dtype in WIDENED:
        steps.append(f"widened from {value.tensor.dtype}")
    if value.transform != AS_IS:
        steps.append(str(value.transform))
    return ", ".join(steps) or "as is"
