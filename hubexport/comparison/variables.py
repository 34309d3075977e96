"""Variables of two SavedModels, by name: shapes, dtypes, and how far their values are apart.

Their bundles are read as files, without TensorFlow. Entries that are no variables, such as tables,
are compared as well, under their keys.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hubexport.checkpoints.tensorflow import OBJECT_GRAPH_KEY, VALUE_SUFFIX, read_object_graph
from hubexport.comparison.changes import ADDED, CHANGED, REMOVED
from hubexport.comparison.norms import Distance, compare_tensors
from hubexport.errors import HubexportError
from hubexport.saved_model.reading import SavedModelSummary
from hubexport.tf_formats.bundle import BundleTensor, read_bundle

BY_BYTES, BY_CHECKSUMS = "bytes", "checksums"
"""How variables were found to be equal."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a variable is, but for its values.

    Attributes:
      dtype, shape: as stored.
      trainable: None where nothing says it.
    """

    dtype: str
    shape: tuple[int, ...]
    trainable: bool | None

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "shape": list(self.shape)}

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class VariableChange:
    """A variable that differs.

    Attributes:
      name: in the program that saved it, or its key in the bundle.
      status: `ADDED`, `REMOVED` or `CHANGED`.
      a, b: what it is; None where it is not there.
      distance: of the values, where they are numbers of one shape.
      elements: how many elements differ, where that can be said.
      detail: in words: damage, say.
    """

    name: str
    status: str
    a: Spec | None
    b: Spec | None
    distance: Distance | None = None
    elements: int | None = None
    detail: str = ""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "a": self.a and self.a.record(),
            "b": self.b and self.b.record(),
            "distance": self.distance and dataclasses.asdict(self.distance),
            "elements": self.elements,
            "detail": self.detail,
        }


@dataclasses.dataclass(frozen=True)
class Variables:
    """All variables of both.

    Attributes:
      a, b: how many there are.
      equal: how they were found to be equal -> how many.
      changes: those that differ, in the order of their names.
      notes: what should be known of the files, and is no difference.
    """

    a: int
    b: int
    equal: Mapping[str, int]
    changes: tuple[VariableChange, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> int:
        """How many there are in either."""
        return sum(self.equal.values()) + len(self.changes)

    @property
    def furthest(self) -> list[tuple[VariableChange, Distance]]:
        """Those with numbers of one shape, the furthest apart first, relative to a's."""
        apart = [(each, each.distance) for each in self.changes if each.distance is not None]
        return sorted(apart, key=lambda pair: pair[1].relative, reverse=True)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "equal": dict(self.equal),
            "changes": [each.record() for each in self.changes],
        }


@dataclasses.dataclass(frozen=True)
class _Stored:
    """A SavedModel's bundle: key -> entry, key -> name of the variable, name -> trainable."""

    entries: Mapping[str, BundleTensor]
    names: Mapping[str, str]
    trainable: Mapping[str, bool]

    def spec(self, key: str, name: str) -> Spec:
        entry = self.entries[key]
        return Spec(entry.dtype, entry.shape, self.trainable.get(name))


def compare_variables(
    a: SavedModelSummary,
    b: SavedModelSummary,
    *,
    trust_checksums: bool = False,
    progress: Callable[[int], object] = lambda nbytes: None,
) -> Variables:
    """Compares all variables of two SavedModels.

    Args:
      trust_checksums: whether equal checksums in both indexes are enough; data are not read then.
      progress: called with the number of bytes of b that are done with.

    Raises:
      CheckpointError: an index is damaged, or a data file missing or cut short.
      HubexportError: a SavedModel lacks its variables.
    """
    one, other = _stored(a), _stored(b)
    ours, theirs = _labels(one, other), _labels(other, one)
    equal: collections.Counter[str] = collections.Counter()
    found, notes = [], []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            status = ADDED if name not in ours else REMOVED
            left = one.spec(ours[name], name) if name in ours else None
            right = other.spec(theirs[name], name) if name in theirs else None
            found.append(VariableChange(name, status, left, right))
            continue
        left, right = _known(one.spec(ours[name], name), other.spec(theirs[name], name))
        first, second = one.entries[ours[name]], other.entries[theirs[name]]
        progress(second.nbytes)
        if left.shape != right.shape:
            found.append(VariableChange(name, CHANGED, left, right))
            continue
        if trust_checksums and left == right and first.crc32c == second.crc32c:
            equal[BY_CHECKSUMS] += 1
            continue
        read = compare_tensors(first, second)
        detail = " and ".join(
            f"the bytes of {each} are not those that its index has the checksum of"
            for each in read.damaged
        )
        if read.equal and left == right:
            equal[BY_BYTES] += 1
            notes += [f"{name}: {detail}"] if detail else []
            continue
        found.append(
            VariableChange(name, CHANGED, left, right, read.distance, read.elements, detail)
        )
    return Variables(len(one.entries), len(other.entries), equal, tuple(found), tuple(notes))


def _known(a: Spec, b: Spec) -> tuple[Spec, Spec]:
    """Both, without what only one of them tells."""
    if a.trainable is None or b.trainable is None:
        return dataclasses.replace(a, trainable=None), dataclasses.replace(b, trainable=None)
    return a, b


def total_bytes(summary: SavedModelSummary) -> int:
    """Of all variables, as their index has it."""
    return sum(entry.nbytes for entry in _stored(summary).entries.values())


def _stored(summary: SavedModelSummary) -> _Stored:
    prefix = summary.directory / "variables" / "variables"
    index = prefix.with_name(prefix.name + ".index")
    counts = collections.Counter(variable.name for variable in summary.variables)
    trainable = {each.name: each.trainable for each in summary.variables if counts[each.name] == 1}
    if not index.is_file():
        if summary.variables:
            raise HubexportError(
                "the SavedModel lacks its variables",
                [("SavedModel", str(summary.directory)), ("looked for", str(index))],
                "copy or download it again.",
            )
        return _Stored({}, {}, {})
    entries = dict(read_bundle(prefix))
    graph = entries.pop(OBJECT_GRAPH_KEY, None)
    names = {
        attribute.checkpoint_key: attribute.full_name
        for node in (read_object_graph(graph).nodes if graph is not None else ())
        for attribute in node.attributes
        if attribute.full_name
    }
    return _Stored(entries, names, trainable)


def _labels(stored: _Stored, other: _Stored) -> dict[str, str]:
    """Name -> key. Where a name stands for several variables of either, their keys are names."""
    several = {
        name
        for each in (stored, other)
        for name, count in collections.Counter(
            each.names[key] for key in each.entries if key in each.names
        ).items()
        if count > 1
    }
    labels = {}
    for key in stored.entries:
        name = stored.names.get(key)
        labels[key.removesuffix(VALUE_SUFFIX) if name is None or name in several else name] = key
    return labels if len(labels) == len(stored.entries) else {key: key for key in stored.entries}
