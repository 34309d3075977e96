"""A clean artifact beside its reference, and what a fair judge says of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hubexport.validation.report import Report
from hubexport.validation.results import PASSED
from tests.artifacts import export_encoder, make_reference
from tests.validation.faults import FAST, failing, failures, validated

TRAINED = (*FAST, "training")
EVERY = (*TRAINED, "portability", "training step")
"""Gates that need neither text nor a preprocessor."""


def assert_clean(
    artifact: Path,
    reference: Path,
    outputs: Collection[str],
    gates: Sequence[str] = FAST,
    *,
    layers: int = 2,
) -> Report:
    """Asserts that every gate ran and passed, and that `numerics` had all of these to compare.

    Args:
      artifact: directory of an encoder.
      reference: file of `make_reference`.
      outputs: names, beside `sequence_output` and the layers, that have a reference.
      gates: to run.
      layers: how many the model has.

    Returns:
      The report.
    """
    report = validated(artifact, reference, gates)
    assert report.passed, {gate: failures(report, gate) for gate in failing(report)}
    assert {gate.name: gate.status for gate in report.gates} == dict.fromkeys(gates, PASSED)
    every_layer = {f"encoder_outputs[{i}]" for i in range(layers)}
    assert compared(report) == {"sequence_output", *every_layer, *outputs}
    return report


def compared(report: Report) -> set[str]:
    """Names of the outputs that `numerics` compared in at least one case."""
    numerics = next(gate for gate in report.gates if gate.name == "numerics")
    whats = {each.what.partition(": ")[2] for each in numerics.measurements}
    return {what.rpartition(", ")[0] or what for what in whats}


def exported(checkpoint: Path | str, work: Path, source: str, **options: Any) -> tuple[Path, Path]:
    """Exports a checkpoint, and makes its reference; gives artifact and reference.

    Args:
      checkpoint: as of `export_encoder`.
      work: a directory to write both in.
      source: of the reference, as of `make_reference`.
      options: of `export_encoder`; the configuration files also go to `make_reference`.
    """
    shared = {k: v for k, v in options.items() if k in ("bert_config", "encoder_config")}
    make_reference(source=source, checkpoint=checkpoint, output=work / "reference", **shared)
    export_encoder(checkpoint=checkpoint, export_path=work / "encoder", **options)
    return work / "encoder", work / "reference"
