"""What two artifacts give for the inputs of a reference, each run in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.children import Ended, child_environment, run_python
from hubexport.comparison.norms import Distance, array_distance
from hubexport.errors import HubexportError
from hubexport.saved_model.record import find_record

_CALLS = "hubexport.comparison.calls"
_INDEX = "outputs.json"
_SHOWN = 4  # lines of what a process said before it died


@dataclasses.dataclass(frozen=True)
class OutputChange:
    """An output in a case of the reference, whether it differs or not.

    Attributes:
      case, output: their names.
      distance: of b from a; None where they cannot be compared, or are strings.
      a_reference, b_reference: how far each is from the reference; None where that has no such
        output, or one of another shape.
      elements: how many strings differ; None where it is of numbers.
      detail: why there is no distance.
    """

    case: str
    output: str
    distance: Distance | None = None
    a_reference: Distance | None = None
    b_reference: Distance | None = None
    elements: int | None = None
    detail: str = ""

    @property
    def differs(self) -> bool:
        """Whether a and b do not give the same."""
        return bool(self.detail or self.elements or (self.distance and self.distance.elements))

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "differs": self.differs}


@dataclasses.dataclass(frozen=True)
class Outputs:
    """All outputs that either gives.

    Attributes:
      made_by: of the reference, for people.
      compared: every output of every case.
      notes: cases that neither could be run on.
    """

    made_by: str
    compared: tuple[OutputChange, ...]
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[OutputChange, ...]:
        """Those that differ."""
        return tuple(each for each in self.compared if each.differs)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        compared = [each.record() for each in self.compared]
        return {"made_by": self.made_by, "compared": compared}


def compare_outputs(
    a: Path,
    b: Path,
    reference: Path,
    made_by: str,
    done: Callable[[], object] = lambda: None,
) -> Outputs:
    """Runs both artifacts, one after the other, and compares.

    Args:
      reference: a file of `hubexport reference`, which can be read.
      made_by: who made it, as it says.
      done: called after each.

    Raises:
      HubexportError: an artifact cannot be run, or no case fits.
    """
    with tempfile.TemporaryDirectory(prefix="hubexport-diff-") as scratch:
        found = []
        for name, artifact in (("a", a), ("b", b)):
            directory = Path(scratch, name)
            directory.mkdir()
            found.append((directory, _run(artifact, reference, directory)))
            done()
        (of_a, ours), (of_b, theirs) = found
        compared, notes = list[OutputChange](), list[str]()
        for case in dict.fromkeys([*ours, *theirs]):
            one, other = ours.get(case, _ABSENT), theirs.get(case, _ABSENT)
            if one["error"] and other["error"]:
                notes.append(f"{case}: neither could be run on it: {one['error']}")
            elif one["error"] or other["error"]:
                which, error = ("a", one["error"]) if one["error"] else ("b", other["error"])
                compared.append(OutputChange(case, "", detail=f"{which} fails: {error}"))
            else:
                compared += _case(case, (of_a, one), (of_b, other))
    if not compared:
        raise HubexportError(
            "no case of the reference could be run",
            [("reference", str(reference)), *(("case", note) for note in notes)],
            "pass a reference that fits the artifacts; of preprocessors and pipelines, one that "
            "was made from texts.",
        )
    return Outputs(made_by, tuple(compared), tuple(notes))


_ABSENT: Mapping[str, Any] = {
    "outputs": {}, "reference": {}, "error": "the case is longer than the model has positions",
}  # fmt: skip


def _case(
    case: str, a: tuple[Path, Mapping[str, Any]], b: tuple[Path, Mapping[str, Any]]
) -> Iterator[OutputChange]:
    (of_a, one), (of_b, other) = a, b
    for name in dict.fromkeys([*one["outputs"], *other["outputs"]]):
        references = [
            Distance(**{**each["reference"][name], "at": tuple(each["reference"][name]["at"])})
            if name in each["reference"]
            else None
            for each in (one, other)
        ]
        change = OutputChange(case, name, a_reference=references[0], b_reference=references[1])
        if name not in one["outputs"] or name not in other["outputs"]:
            which = "a" if name in one["outputs"] else "b"
            yield dataclasses.replace(change, detail=f"only {which} has it")
            continue
        values = [
            _load(directory / each["outputs"][name])
            for directory, each in ((of_a, one), (of_b, other))
        ]
        yield dataclasses.replace(change, **_compared(*values))


def _compared(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    if a.shape != b.shape:
        return {"detail": f"shape {list(a.shape)} in a, {list(b.shape)} in b"}
    if (a.dtype == object) != (b.dtype == object):
        return {"detail": "strings in one, numbers in the other"}
    if a.dtype == object:
        return {"elements": int(np.count_nonzero(a != b))}
    return {"distance": array_distance(a, b)}


def _load(path: Path) -> np.ndarray:
    if path.suffix == ".json":
        return np.array(json.loads(path.read_text("utf-8")), object)
    array: np.ndarray = np.load(path, mmap_mode="r")
    return array


def _run(artifact: Path, reference: Path, directory: Path) -> dict[str, Any]:
    """Case -> what `calls.write_outputs` gave."""
    request = directory / "request.json"
    fields = {"artifact": str(artifact.absolute()), "reference": str(reference.absolute())}
    request.write_text(json.dumps(fields), "utf-8")
    ended = run_python(["-m", _CALLS, str(request), str(directory)], _environment(artifact))
    index = directory / _INDEX
    if not index.is_file():
        raise _died(artifact, ended)
    found = json.loads(index.read_text("utf-8"))
    if "error" in found:
        error = found["error"]
        facts = [(label, value) for label, value in error["facts"]]
        raise HubexportError(error["problem"], facts, error["hint"])
    cases: dict[str, Any] = found["cases"]
    return cases


def _environment(artifact: Path) -> Mapping[str, str]:
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    record = find_record(artifact)
    if record is not None and record.get("architecture", {}).get("dtype") == "float16":
        # oneDNN has no fast product of float16 matrices with a bias: a second becomes minutes.
        defaults["TF_ENABLE_ONEDNN_OPTS"] = "0"
    return {**defaults, **child_environment()}


def _died(artifact: Path, ended: Ended) -> HubexportError:
    status = ended.status
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return HubexportError(
        "the artifact cannot be run",
        [
            ("SavedModel", str(artifact)),
            ("its process ended with", how),
            *(("said", line) for line in ended.last_lines(_SHOWN)),
        ],
        "leave --reference out to compare files only; `hubexport validate` looks for the cause.",
    )
