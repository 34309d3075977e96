"""One validation: the gates in order, and the report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from hubexport.errors import HubexportError
from hubexport.saved_model.identity import artifact_identity
from hubexport.saved_model.record import find_record
from hubexport.validation.context import Context
from hubexport.validation.devices import Device, connect
from hubexport.validation.gates import GATES, NAMES, interface
from hubexport.validation.provenance import describe
from hubexport.validation.reference_file import read_reference
from hubexport.validation.report import Report, now
from hubexport.validation.results import FAILED, GateResult, Measurement, not_run


@dataclasses.dataclass(frozen=True)
class Request:
    """What gates are run on; paths as text, so that it can be handed to another process.

    Attributes:
      saved_model, preprocessor: directories; at least one.
      reference: a file, checked to be of the same checkpoint.
      reference_tokenizer: a directory of tokenizer files.
      device, tpu: see `connect`.
      only: names of gates.
    """

    saved_model: str | None = None
    preprocessor: str | None = None
    reference: str | None = None
    reference_tokenizer: str | None = None
    device: str = "cpu"
    tpu: str | None = None
    only: Sequence[str] = NAMES


def run_gates(request: Request, done: Callable[[str], object] = lambda name: None) -> Report:
    """Runs the gates that what is given makes possible, in this process.

    Args:
      done: called with each gate's name after it ran.

    Raises:
      HubexportError: the device cannot be used, or a file not be read.
    """
    connected = connect(request.device, request.tpu)
    saved_model, preprocessor, reference, tokenizer = (
        None if path is None else Path(path)
        for path in (
            request.saved_model,
            request.preprocessor,
            request.reference,
            request.reference_tokenizer,
        )
    )
    context = Context(
        saved_model,
        preprocessor,
        find_record(saved_model),
        find_record(preprocessor),
        read_reference(reference) if reference else None,
        tokenizer,
        connected,
        connected.precisions[0],
    )
    gates = [gate for gate in GATES if gate.NAME in request.only]
    problem = ""
    results: list[GateResult] = []
    try:
        for gate in gates:
            if saved_model is not None and gate.LOADED:
                problem = problem or _loading_problem(context)
            results += _run(gate, context, problem)
            done(gate.NAME)
    finally:
        context.close()
    return _report(context, connected, results)


def _run(gate: ModuleType, context: Context, problem: str) -> list[GateResult]:
    """The gate's results, one for each precision that it is run in."""
    given = {"encoder": context.saved_model, "preprocessor": context.preprocessor}
    flags = {"encoder": "--saved_model", "preprocessor": "--preprocessor"}
    for need in gate.NEEDS:
        if given[need] is None:
            return [not_run(gate.NAME, f"there is no {flags[need]}")]
    if problem and gate.LOADED:
        if gate is interface:
            loads = Measurement("tf.saved_model.load", False, problem)
            return [GateResult(gate.NAME, FAILED, (loads,))]
        return [not_run(gate.NAME, "the encoder cannot be loaded")]
    precisions = context.device.precisions[: None if gate.EACH_PRECISION else 1]
    results = []
    for precision in precisions:
        context.precision = precision
        started = time.monotonic()
        with precision.in_force():
            result = gate.run(context)
        label = f" [{precision.label}]" if precision.label and len(precisions) > 1 else ""
        results.append(
            GateResult(
                result.name + label,
                result.status,
                result.measurements,
                result.detail,
                time.monotonic() - started,
            )
        )
    context.precision = context.device.precisions[0]
    return results


def _loading_problem(context: Context) -> str:
    """Why the encoder cannot be loaded; empty if it can."""
    try:
        context.sizes  # noqa: B018  read before loading, which takes longer
        context.encoder  # noqa: B018
    except HubexportError:
        raise
    except Exception as error:  # whatever TensorFlow says of the files
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[0][:300]}"
    return ""


def _report(context: Context, device: Device, results: Sequence[GateResult]) -> Report:
    import tensorflow as tf

    from hubexport.version import __version__

    artifact = context.saved_model or context.preprocessor
    assert artifact is not None
    return Report(
        artifact=artifact_identity(artifact),
        runtime="tensorflow",
        device=device.name,
        hardware=device.hardware,
        precisions={each.label or each.format: each.format for each in device.precisions},
        versions={"tensorflow": tf.__version__, "hubexport": __version__},
        reference=describe(context.reference),
        created=now(),
        gates=tuple(results),
    )
