"""Gates in processes of their own, one group after the other.

Each group starts with nothing in memory and gives back all that it took; an artifact that ends the
process ends a group, and is found out.

python -m hubexport.validation.processes REQUEST.json REPORT.json     runs one group
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.children import child_environment, run_python
from hubexport.errors import HubexportError
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.saved_model.identity import artifact_identity
from hubexport.saved_model.record import find_record
from hubexport.validation.gates import GATES, NAMES
from hubexport.validation.report import Report, now, read_report, write_report
from hubexport.validation.results import FAILED, GateResult, Measurement, not_run
from hubexport.validation.runner import Request, run_gates
from hubexport.version import __version__

_DONE = "done: "
_SHOWN = 8  # lines of what a process said before it died


def run_processes(request: Request, done: Callable[[], object] = lambda: None) -> Report:
    """Runs the gates of a request; one report.

    Args:
      done: called after each gate.

    Raises:
      HubexportError: the device cannot be used, or a file cannot be read.
    """
    reports, lost = [], []
    with tempfile.TemporaryDirectory(prefix="hubexport-validate-") as scratch:
        for names in _groups(request):
            group = dataclasses.replace(request, only=names)
            outcome = _run(group, Path(scratch), done)
            if isinstance(outcome, Report):
                reports.append(outcome)
            else:
                lost += outcome
    if not reports:
        reports.append(_empty(request))
    results = [*(gate for report in reports for gate in report.gates), *lost]
    results.sort(key=lambda gate: NAMES.index(gate.name.partition(" [")[0]))
    return dataclasses.replace(reports[-1], gates=tuple(results))


def _empty(request: Request) -> Report:
    """A report without gates, for where no process lived to write one."""
    artifact = request.saved_model or request.preprocessor
    assert artifact is not None
    return Report(
        artifact=artifact_identity(Path(artifact)),
        runtime="tensorflow",
        device=request.device,
        hardware="unknown",
        versions={"hubexport": __version__},
        reference=None,
        created=now(),
        gates=(),
    )


def _groups(request: Request) -> list[list[str]]:
    """A TPU is taken once, and all its gates are one group."""
    asked = [gate for gate in GATES if gate.NAME in request.only]
    apart = [gate.NAME for gate in asked if gate.APART and request.device != "tpu"]
    together = [gate.NAME for gate in asked if gate.NAME not in apart]
    return [group for group in (together, *([name] for name in apart)) if group]


def _run(request: Request, scratch: Path, done: Callable[[], object]) -> Report | list[GateResult]:
    """The group's report, or what can be said of its gates where its process died."""
    request_file, report_file = scratch / "request.json", scratch / "report.json"
    request_file.write_text(json.dumps(dataclasses.asdict(request)), "utf-8")
    report_file.unlink(missing_ok=True)
    ended: list[str] = []

    def listen(line: str) -> None:
        if line.startswith(_DONE):
            ended.append(line[len(_DONE) :].strip())
            done()

    arguments = ["-m", __name__, str(request_file), str(report_file)]
    child = run_python(arguments, _environment(request, scratch), listen)
    if not report_file.is_file():
        return _lost(request, ended, child.status, child.last_lines(_SHOWN))
    if (error := _error(report_file)) is not None:
        raise error
    return read_report(report_file)


def _lost(
    request: Request, ended: Sequence[str], status: int, lines: Sequence[str]
) -> list[GateResult]:
    """The gate that was running has failed; of the others nothing is known."""
    running = next((name for name in request.only if name not in ended), request.only[-1])
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    ends = Measurement("the process runs to its end", False, how)
    others = [name for name in request.only if name != running]
    return [
        GateResult(running, FAILED, (ends,), " ".join(lines)[-1000:]),
        *(not_run(name, f"its process ended in the gate {running}") for name in others),
    ]


def _environment(request: Request, scratch: Path) -> Mapping[str, str]:
    """This process's, less what would be in the way; the user's own settings win."""
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if request.device == "cpu":
        defaults["CUDA_VISIBLE_DEVICES"] = "-1"
        if _claims_float16(request):
            # oneDNN has no fast product of float16 matrices with a bias: a second becomes minutes.
            defaults["TF_ENABLE_ONEDNN_OPTS"] = "0"
    # What is written for the time being goes where this process removes it.
    return {**defaults, **child_environment(), "TMPDIR": str(scratch)}


def _claims_float16(request: Request) -> bool:
    record = find_record(Path(request.saved_model)) if request.saved_model else None
    return record is not None and record["architecture"].get("dtype") == "float16"


def _error(path: Path) -> HubexportError | None:
    fields = json.loads(path.read_text("utf-8"))
    if "problem" not in fields:
        return None
    facts = [(label, value) for label, value in fields["facts"]]
    return HubexportError(fields["problem"], facts, fields["hint"])


def main(arguments: Sequence[str]) -> None:
    """Runs one group, in the process that was started for it."""
    request = Request(**json.loads(Path(arguments[0]).read_text("utf-8")))
    target = Path(arguments[1])
    try:
        report = run_gates(request, lambda name: print(f"{_DONE}{name}", flush=True))
    except HubexportError as error:
        fields: dict[str, Any] = {
            "problem": error.problem, "facts": error.facts, "hint": error.hint
        }  # fmt: skip
        target.write_text(json.dumps(fields), "utf-8")
    else:
        write_report(report, target)


if __name__ == "__main__":
    with lean_tensorflow():
        main(sys.argv[1:])
