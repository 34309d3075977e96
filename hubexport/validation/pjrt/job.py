"""Bundles of an encoder, written from here and run by a process of its own.

JAX and TensorFlow do not share a device well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubexport.children import run_python
from hubexport.errors import HubexportError, UsageError
from hubexport.packages import check_installed
from hubexport.paths import PathLike
from hubexport.saved_model.target import check_target
from hubexport.validation.arguments import directory_of, record_of
from hubexport.validation.provenance import check_same_checkpoint
from hubexport.validation.reference_file import Reference, read_reference
from hubexport.validation.report import Report, read_report

if TYPE_CHECKING:
    from hubexport.validation.context import Context


_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}


def write_pjrt_bundle(
    *,
    saved_model: PathLike,
    directory: PathLike,
    reference: PathLike | None = None,
    weights: str = "values",
    allow_other_checkpoint: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes what `python -m hubexport.validation.pjrt` runs on machines with JAX alone.

    Args:
      saved_model, reference, allow_other_checkpoint: as of `validate`.
      directory: the bundle to write; complete when this returns, untouched if it raises.
      weights: "values", or "seed" for speed tests: nothing is compared then.
      overwrite: whether a directory that is not empty may be replaced.

    Raises:
      HubexportError: something about the arguments or files.
    """
    from hubexport.validation.pjrt.bundle import write_bundle

    encoder = directory_of(saved_model)
    assert encoder is not None
    check_target(Path(directory), overwrite=overwrite, sources=[encoder])
    record = record_of(encoder, "encoder")
    opened = read_reference(Path(reference)) if reference is not None else None
    if opened is None and weights == "values":
        raise UsageError(
            "a bundle needs reference outputs to compare with",
            [("--write_bundle", str(directory)), ("--reference", "not passed")],
            "pass --reference, or --bundle_weights=seed to measure speed alone.",
        )
    if opened is not None and not allow_other_checkpoint:
        check_same_checkpoint(opened, record)
    context = _context(encoder, record, opened)
    write_bundle(context, Path(directory), weights=weights, overwrite=overwrite)  # type: ignore[arg-type]


def validate_on_pjrt(
    encoder: Path,
    record: Mapping[str, Any] | None,
    reference: Reference | None,
    device: str,
) -> Report:
    """Lowers an encoder, runs it in a process of its own, and gives that process's report.

    Raises:
      UsageError: there is no reference.
      HubexportError: there is no JAX, or no such device.
    """
    from hubexport.validation.pjrt.bundle import write_bundle
    from hubexport.validation.pjrt.job import run_in_child

    check_installed("--runtime=pjrt", "jax")
    if reference is None:
        raise UsageError(
            "the PJRT runtime compares with reference outputs",
            [("--reference", "not passed")],
            "make them with `hubexport reference`.",
        )
    context = _context(encoder, record, reference)
    with tempfile.TemporaryDirectory(prefix="hubexport-pjrt-") as scratch:
        write_bundle(context, Path(scratch) / "bundle")
        context.close()
        path = Path(scratch) / "report.json"
        return run_in_child(Path(scratch) / "bundle", _PLATFORMS[device], path)


def _context(
    encoder: Path, record: Mapping[str, Any] | None, reference: Reference | None
) -> Context:
    from hubexport.validation.context import Context
    from hubexport.validation.devices import connect

    host = connect("cpu")
    return Context(encoder, None, record, None, reference, None, host, host.precisions[0])


_SHOWN = 12  # lines of what a process said before it died


def run_in_child(bundle: Path, platform: str | None, report_path: Path, repeat: int = 0) -> Report:
    """The report of `python -m hubexport.validation.pjrt`, run by this Python.

    Args:
      bundle: what `write_bundle` wrote.
      platform: of `client.PLATFORMS`, or None for JAX's choice.
      report_path: where the report is written; one that is there is replaced.
      repeat: how often each program is timed.

    Raises:
      HubexportError: JAX is missing, the device is, or the bundle is damaged.
    """
    check_installed("--runtime=pjrt", "jax")
    report_path.unlink(missing_ok=True)  # an old one must not be taken for the new
    arguments = ["-m", "hubexport.validation.pjrt", str(bundle)]
    arguments += [f"--report={report_path}", f"--repeat={repeat}"]
    arguments += [f"--platform={platform}"] if platform else []
    child = run_python(arguments)
    if report_path.is_file():
        return read_report(report_path)
    said = child.last_lines(_SHOWN)
    raise HubexportError(
        "the PJRT runtime did not come to a result",
        [("exit status", str(child.status)), ("it said", "\n    ".join(said))],
        "fix what it says; `python -m hubexport.validation.pjrt DIR` runs it alone.",
    )
