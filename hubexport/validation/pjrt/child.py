"""Runs a bundle in a process of its own: JAX and TensorFlow do not share a device well."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from hubexport.children import child_environment
from hubexport.errors import HubexportError
from hubexport.validation.report import Report, read_report

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
    check_jax()
    report_path.unlink(missing_ok=True)  # an old one must not be taken for the new
    command = [sys.executable, "-m", "hubexport.validation.pjrt", str(bundle)]
    command += [f"--report={report_path}", f"--repeat={repeat}"]
    command += [f"--platform={platform}"] if platform else []
    child = subprocess.run(
        command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if report_path.is_file():
        return read_report(report_path)
    said = [line for line in child.stderr.splitlines() if line.strip()][-_SHOWN:]
    raise HubexportError(
        "the PJRT runtime did not come to a result",
        [("exit status", str(child.returncode)), ("it said", "\n    ".join(said))],
        "mend what it says; `python -m hubexport.validation.pjrt DIR` runs it alone.",
    )


def check_jax() -> None:
    """Fails where there is no JAX; for use before long work.

    Raises:
      HubexportError: it is missing.
    """
    if importlib.util.find_spec("jax") is None:
        raise HubexportError(
            "JAX is needed to run programs through PJRT",
            [("--runtime", "pjrt"), ("missing", "the package jax")],
            "pip install 'hubexport[pjrt]'.",
        )
