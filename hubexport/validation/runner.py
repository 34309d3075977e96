"""One validation: the gates in order, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hubexport.errors import HubexportError
from hubexport.saved_model.identity import artifact_identity
from hubexport.validation.context import Context
from hubexport.validation.devices import Device, connect
from hubexport.validation.gates import GATES, interface
from hubexport.validation.provenance import describe
from hubexport.validation.reference_file import Reference
from hubexport.validation.report import Report, now
from hubexport.validation.results import FAILED, GateResult, Measurement, not_run

Done = Callable[[str], object]


def run_gates(
    *,
    saved_model: Path | None,
    preprocessor: Path | None,
    record: Mapping[str, Any] | None,
    preprocessor_record: Mapping[str, Any] | None,
    reference: Reference | None,
    reference_tokenizer: Path | None,
    device: str = "cpu",
    tpu: str | None = None,
    only: Sequence[str] | None = None,
    done: Done = lambda name: None,
) -> Report:
    """Runs the gates that what is given makes possible, in this process.

    Args:
      saved_model, preprocessor: directories; at least one.
      record, preprocessor_record: theirs, None for artifacts without one.
      reference: checked to be of the same checkpoint.
      reference_tokenizer: a directory of tokenizer files.
      device, tpu: see `connect`.
      only: names of gates; None for all.
      done: called with each gate's name after it ran.

    Raises:
      HubexportError: the device cannot be used.
    """
    connected = connect(device, tpu)
    context = Context(
        saved_model,
        preprocessor,
        record,
        preprocessor_record,
        reference,
        reference_tokenizer,
        connected,
        connected.precisions[0],
    )
    gates = [gate for gate in GATES if only is None or gate.NAME in only]
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
