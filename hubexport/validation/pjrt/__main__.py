"""`python -m hubexport.validation.pjrt DIR`: runs a bundle where only JAX and numpy are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hubexport.errors import HubexportError
from hubexport.stablehlo.client import PLATFORMS, Client
from hubexport.validation.report import Report, render_table, write_report


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; gives the exit code: 0 where every gate passed."""
    arguments = _parser().parse_args(argv)
    try:
        client = Client(arguments.platform)
        # Needs numpy, which is there where JAX is; --help does not.
        from hubexport.validation.pjrt.run import run_bundle

        report = run_bundle(arguments.directory, client, arguments.repeat, _progress)
        if arguments.report is not None:
            write_report(report, arguments.report)
    except HubexportError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return HubexportError.exit_code
    finally:
        _progress("")
    print(render_table(report))
    for line in _times(report):
        print(line)
    return 0 if report.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hubexport.validation.pjrt",
        description="Runs a bundle that `hubexport validate --write_bundle` wrote on a device of "
        "JAX, and compares with the reference outputs in it. Needs jax and numpy only.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="the bundle")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write the report here, JSON")
    parser.add_argument(
        "--platform", choices=PLATFORMS, help="the device; without it, JAX's own choice"
    )
    parser.add_argument(
        "--repeat",
        metavar="N",
        type=_count,
        default=0,
        help="time each program so often; the median goes into the report",
    )
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def _times(report: Report) -> list[str]:
    rows = report.information.get("milliseconds", [])
    lines = [
        f"  {row['part']:<8} {row['precision']:<8} {row['batch_size']:>3} x "
        f"{row['sequence_length']:<4} {row['median']:>10.3f} ms"
        for row in rows
    ]
    return ["", "median time of a run (batch x length):", *lines] if lines else []


if __name__ == "__main__":
    sys.exit(main())
