"""One validation: the gates in order, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hubexport.errors import HubexportError
from hubexport.validation.context import Context
from hubexport.validation.devices import Device, connect
from hubexport.validation.gates import (
    batch,
    determinism,
    end_to_end,
    integrity,
    interface,
    mlm_sanity,
    numerics,
    portability,
    preprocessor_ids,
    preprocessor_interface,
    training,
    training_step,
)
from hubexport.validation.identity import artifact_identity
from hubexport.validation.provenance import describe
from hubexport.validation.reference_file import Reference
from hubexport.validation.report import Report, now
from hubexport.validation.results import FAILED, GateResult, Measurement, not_run

ENCODER_GATES: tuple[ModuleType, ...] = (
    integrity,
    interface,
    numerics,
    batch,
    determinism,
    mlm_sanity,
    portability,
)
PREPROCESSOR_GATES: tuple[ModuleType, ...] = (preprocessor_interface, preprocessor_ids)
PIPELINE_GATES: tuple[ModuleType, ...] = (end_to_end,)
LAST_GATES: tuple[ModuleType, ...] = (training, training_step)
"""The last one leaves the loaded encoder changed."""

_EACH_PRECISION = (numerics, mlm_sanity, end_to_end)
"""Compare numbers with a reference's: run once for each precision of the device."""
_WITHOUT_LOADING = (integrity, portability)
"""Need no loaded encoder, or load it when other processes have let go of theirs."""

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
    gates = [gate for gate in _ordered() if only is None or gate.NAME in only]
    problem = ""
    results: list[GateResult] = []
    try:
        for gate in gates:
            if saved_model is not None and gate not in (*_WITHOUT_LOADING, *PREPROCESSOR_GATES):
                problem = problem or _loading_problem(context)
            results += _run(gate, context, problem)
            done(gate.NAME)
    finally:
        context.close()
    return _report(context, connected, results)


def _ordered() -> list[ModuleType]:
    return [*ENCODER_GATES, *PREPROCESSOR_GATES, *PIPELINE_GATES, *LAST_GATES]


def _run(gate: ModuleType, context: Context, problem: str) -> list[GateResult]:
    """The gate's results, one for each precision that it is run in."""
    needs_encoder = gate not in (integrity, *PREPROCESSOR_GATES)
    if needs_encoder and context.saved_model is None:
        return [not_run(gate.NAME, "there is no --saved_model")]
    if gate in PREPROCESSOR_GATES + PIPELINE_GATES and context.preprocessor is None:
        return [not_run(gate.NAME, "there is no --preprocessor")]
    if problem and needs_encoder and gate not in _WITHOUT_LOADING:
        if gate is interface:
            loads = Measurement("tf.saved_model.load", False, problem)
            return [GateResult(gate.NAME, FAILED, (loads,))]
        return [not_run(gate.NAME, "the encoder cannot be loaded")]
    precisions = (
        context.device.precisions if gate in _EACH_PRECISION else context.device.precisions[:1]
    )
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
