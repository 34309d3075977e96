"""Runs a bundle on a PJRT device and compares; needs JAX and numpy only."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import some_of
from hubexport.stablehlo.client import Client
from hubexport.stablehlo.loading import LoadedBundle
from hubexport.stablehlo.manifest import IDS, PRECISIONS, CaseFiles, Manifest
from hubexport.validation import ranked
from hubexport.validation.cases import Case
from hubexport.validation.causes import Divergence, explain
from hubexport.validation.figures import compare
from hubexport.validation.report import Report, now
from hubexport.validation.results import GateResult, Measurement, failure, judge, not_run
from hubexport.validation.tolerance import ON_XLA_CPU, UNIT_ROUNDOFF, Tolerance
from hubexport.version import __version__

Outputs = dict[str, np.ndarray]


def run_bundle(
    directory: Path,
    client: Client,
    repeat: int = 0,
    progress: Callable[[str], None] = lambda what: None,
) -> Report:
    """Runs every case in every precision, and compares with the expected outputs.

    Args:
      directory: what `write_bundle` wrote.
      client: the device.
      repeat: how often each program is timed; 0 for not at all.
      progress: is told what is being done.

    Raises:
      HubexportError: the bundle is damaged.
    """
    begin = time.monotonic()
    bundle = LoadedBundle(directory, client, progress)
    loaded = time.monotonic()
    formats = {"HIGHEST": "float32", "DEFAULT": client.default_format()}
    repeats: list[Measurement] = []
    gates = []
    for precision in PRECISIONS:
        start = time.monotonic()
        gate = _Numerics(bundle, precision, formats[precision])
        for case in bundle.manifest.cases:
            progress(f"{case.name} [{precision}]")
            repeats += gate.run(case)
        gates.append(dataclasses.replace(gate.result(), seconds=time.monotonic() - start))
    gates.append(judge("determinism", repeats))
    information: dict[str, Any] = {
        "loading_and_compiling_seconds": round(loaded - begin, 3),
        "made_with": dict(bundle.manifest.made_with),
        "milliseconds": [],
    }
    if repeat:
        information["milliseconds"] = _milliseconds(bundle, repeat, progress)
    return Report(
        artifact=bundle.manifest.artifact,
        runtime="pjrt",
        device=client.platform,
        hardware=client.hardware,
        precisions=formats,
        versions={"hubexport": __version__, **client.versions},
        reference=bundle.manifest.reference,
        created=now(),
        gates=tuple(gates),
        information=information,
    )


class _Numerics:
    """The gate of one precision, case by case."""

    def __init__(self, bundle: LoadedBundle, precision: str, format: str):
        self._bundle, self._precision = bundle, precision
        manifest = bundle.manifest
        coarsest = max(manifest.dtype, format, key=lambda name: UNIT_ROUNDOFF[name])
        on_cpu = bundle.platform == "cpu"
        self._coarsest = ON_XLA_CPU.get(coarsest, coarsest) if on_cpu else coarsest
        self._measurements: list[Measurement] = []
        self._divergences: list[Divergence] = []
        self._not_compared: set[str] = set()

    def run(self, case: CaseFiles) -> list[Measurement]:
        """Runs a case twice and compares; gives whether the second run repeats the first."""
        label = f"{case.name} [{self._precision}]"
        try:
            inputs = self._bundle.inputs(case)
            outputs, again = (self._bundle.outputs(case, inputs, self._precision) for _ in range(2))
        except RuntimeError as error:  # XLA's, of compiling as well as of running
            self._measurements.append(failure(f"{case.name}: runs", error))
            return [failure(f"{label}: runs", error)]
        self._compare(case, inputs, outputs)
        # By bytes: a NaN is not equal to itself.
        other = [name for name in outputs if outputs[name].tobytes() != again[name].tobytes()]
        return [Measurement(f"{label}: repeats", not other, some_of(other) or None, "equal bits")]

    def _compare(self, case: CaseFiles, inputs: Outputs, outputs: Outputs) -> None:
        sizes = self._bundle.manifest.sizes
        length = inputs[IDS].shape[1]
        tolerance = Tolerance(
            self._coarsest,
            sizes["num_hidden_layers"],
            max(sizes["hidden_size"], sizes["intermediate_size"], length),
        )
        expected = self._bundle.expected(case)
        self._not_compared |= outputs.keys() - expected.keys()
        for name in expected:
            each = _measure(f"{case.name}: {name}", name, outputs, expected, tolerance)
            self._measurements += each
            if not all(one.passed for one in each):
                worst = max(each, key=lambda one: one.strain)
                self._divergences.append(Divergence(Case(case.name, inputs), name, worst))

    def result(self) -> GateResult:
        name = f"numerics [{self._precision}]"
        manifest = self._bundle.manifest
        if (why := _nothing_to_compare(manifest)) is not None:
            failures = [each for each in self._measurements if not each.passed]
            return judge(name, failures, why) if failures else not_run(name, why)
        detail = explain(self._divergences, manifest.sizes["num_hidden_layers"])
        detail.append(f"Limits are those of {self._coarsest}.")
        if self._not_compared:
            names = some_of(sorted(self._not_compared))
            detail.append(f"Not in the reference, so not compared: {names}.")
        return judge(name, self._measurements, " ".join(detail))


def _measure(
    what: str,
    name: str,
    outputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: Tolerance,
) -> list[Measurement]:
    if name in ranked.RANKED:
        return ranked.measure(tolerance, what, name, outputs, expected)
    if name not in outputs:
        return [Measurement(what, False, "missing", "there")]
    actual, reference = outputs[name], expected[name]
    if actual.shape != reference.shape:
        return [Measurement(what, False, f"shape {actual.shape}", f"shape {reference.shape}")]
    return tolerance.measure(what, name, compare(actual, reference))


def _nothing_to_compare(manifest: Manifest) -> str | None:
    if manifest.seed is not None:
        return "the weights are drawn from a seed, not the model's: such a bundle is for timing"
    if not any(case.expected.tensors for case in manifest.cases):
        return "the bundle was written without a reference"
    return None


def _milliseconds(
    bundle: LoadedBundle, repeat: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The median time of each program, with inputs and results on the device."""
    rows: list[dict[str, Any]] = []
    timed: set[int] = set()
    for case in bundle.manifest.cases:
        inputs = bundle.inputs(case)
        batch_size, length = inputs[IDS].shape
        for number in case.programs:
            if number in timed:  # cases of one shape share it
                continue
            timed.add(number)
            program = bundle.manifest.programs[number]
            progress(f"timing {case.name} [{program.precision}]")
            try:
                seconds = _seconds(bundle.runner(number, inputs), repeat)
            except RuntimeError:  # the gates have said so
                continue
            rows.append(
                {
                    "part": program.part or "encoder",
                    "precision": program.precision,
                    "batch_size": batch_size,
                    "sequence_length": length,
                    "median": round(1000 * statistics.median(seconds), 4),
                    "runs": repeat,
                }
            )
    return rows


def _seconds(run: Callable[[], None], repeat: int) -> list[float]:
    """Times of so many runs, after one to warm up."""
    run()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds
