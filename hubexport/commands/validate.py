"""`hubexport validate`: whether an artifact does what its checkpoint does."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from hubexport.commands.arguments import add_boolean
from hubexport.errors import UsageError
from hubexport.lean_tensorflow import silent_tensorflow
from hubexport.validation.arguments import RUNTIMES
from hubexport.validation.devices import DEVICES
from hubexport.validation.gates import GATES
from hubexport.validation.job import add_reports, validate
from hubexport.validation.pjrt.job import write_pjrt_bundle

HELP = "check an encoder, a preprocessor or both against their interface and a reference"

EPILOG = (
    "gates, in the order they run:\n"
    + "\n".join(f"  {gate.NAME:23} {gate.SUMMARY}" for gate in GATES)
    + """

Exit status: 0 if every gate that ran passed, 1 if one failed.

examples:
  # a reference from the checkpoint, then everything
  hubexport reference --source=transformers --checkpoint=bert-base-cased --output=reference
  hubexport validate --saved_model=out/encoder --preprocessor=out/preprocessor \\
      --reference=reference --report=report.json --update_record

  # any SavedModels, without a reference: the interface, and all other gates that need none
  hubexport validate --saved_model=bert_en_uncased/4 --preprocessor=bert_en_uncased_preprocess/3

  # some gates; a GPU
  hubexport validate --saved_model=out/encoder --reference=reference --gates=interface,numerics
  hubexport validate --saved_model=out/encoder --reference=reference --device=gpu

  # a device that JAX supports but TensorFlow does not: write a bundle, run it there, add its report
  hubexport validate --saved_model=out/encoder --reference=reference --runtime=pjrt \\
      --write_bundle=bundle
  python -m hubexport.validation.pjrt bundle --report=tpu.json
  hubexport validate --saved_model=out/encoder --add_report=tpu.json
"""
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument("--saved_model", type=Path, help="directory of the encoder")
    parser.add_argument("--preprocessor", type=Path, help="directory of the preprocessor")
    parser.add_argument(
        "--reference", type=Path, help="file made by `hubexport reference` from the same checkpoint"
    )
    parser.add_argument(
        "--reference_tokenizer", type=Path,
        help="directory of tokenizer files, whose ids by `tokenizers` are compared",
    )  # fmt: skip
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs")
    parser.add_argument("--tpu", help="name or address of a TPU, with --device=tpu")
    parser.add_argument(
        "--runtime", choices=RUNTIMES, default="tensorflow",
        help="TensorFlow, or JAX's PJRT client running the encoder lowered to StableHLO",
    )  # fmt: skip
    parser.add_argument(
        "--gates", help="gates to run, separated by commas (see below); all if not passed"
    )
    parser.add_argument("--report", type=Path, help="JSON file to write the results to")
    add_boolean(
        parser, "update_record", False, "whether to write the results into the artifacts' records"
    )
    add_boolean(
        parser, "throughput", False,
        "whether to measure also how many sequences per second the encoder processes: without "
        "padding, and with the lengths of questions, sentences and paragraphs",
    )  # fmt: skip
    add_boolean(
        parser,
        "allow_other_checkpoint",
        False,
        "whether the reference may be made from other files",
    )
    parser.add_argument(
        "--write_bundle", type=Path,
        help="with --runtime=pjrt: a directory to write instead of running: StableHLO, weights, "
        "inputs and references, for `python -m hubexport.validation.pjrt`",
    )  # fmt: skip
    parser.add_argument(
        "--bundle_weights", choices=("values", "seed"), default="values",
        help="seed: the bundle holds no weights; random ones are drawn where it runs, to measure "
        "speed",
    )  # fmt: skip
    parser.add_argument(
        "--add_report", type=Path, action="append",
        help="a report made elsewhere, to add to the record; no gates run",
    )  # fmt: skip
    add_boolean(parser, "overwrite", False, "whether to replace what is at --write_bundle")


def run(arguments: argparse.Namespace) -> int:
    """Validates and prints the tables; the exit code.

    Raises:
      HubexportError: see `hubexport.validate`.
    """
    # Its notes, XLA's among them, would be between the lines of the table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.device != "gpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with silent_tensorflow():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.add_report:
        return _add(arguments)
    if arguments.write_bundle is not None:
        return _bundle(arguments)
    _check_throughput(arguments)
    from hubexport.validation.report import render_table

    started = time.monotonic()
    names = (
        "saved_model", "preprocessor", "reference", "reference_tokenizer", "device", "tpu",
        "runtime", "allow_other_checkpoint", "report", "update_record",
    )  # fmt: skip
    options = {name: getattr(arguments, name) for name in names}
    gates = [name.strip() for name in arguments.gates.split(",")] if arguments.gates else None
    report = validate(**options, gates=gates, show_progress=True)
    print(render_table(report))
    if arguments.report is not None:
        print(f"report       {arguments.report}")
    if arguments.update_record:
        print("record       updated")
    if arguments.throughput:
        _throughput(arguments)
    print(f"time         {time.monotonic() - started:.1f} s")
    # Of the processes that the gates ran in; Linux counts ru_maxrss in KiB.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory  {peak:,.0f} MiB")
    return int(not report.passed)


def _check_throughput(arguments: argparse.Namespace) -> None:
    if arguments.throughput and (
        arguments.saved_model is None
        or arguments.runtime != "tensorflow"
        or arguments.device == "tpu"
    ):
        raise UsageError(
            "--throughput is of an encoder, run by TensorFlow on a CPU or GPU",
            [("--runtime", arguments.runtime), ("--device", arguments.device)],
            "pass --saved_model, and leave the others out; `python -m hubexport.validation.pjrt` "
            "runs a bundle, and times it with --repeat.",
        )


def _throughput(arguments: argparse.Namespace) -> None:
    """Measures, prints, and writes into the record where that is asked for."""
    from hubexport.validation.throughput import add_throughput, measure_throughput

    measured = measure_throughput(arguments.saved_model, arguments.device, show_progress=True)
    full, *padded = measured
    rate, size = full["sequences_per_second"], full["batch_size"]
    length = full["sequence_length"]
    print(
        f"throughput   {rate:,.1f} sequences of {length} tokens a second, in "
        f"batches of {size} ({full['slowest']:,.1f} to {full['fastest']:,.1f})"
    )
    print(f"{'':13}{f'padded to {length} tokens':22}{'batch':>7}{'tokens':>9}{'a second':>11}")
    for each in padded:
        print(
            f"{'':13}{each['texts']:22}{each['batch_size']:7}{each['tokens_per_text']:9.1f}"
            f"{each['sequences_per_second']:11,.1f}"
        )
    if arguments.update_record:
        add_throughput(arguments.saved_model, measured)


def _add(arguments: argparse.Namespace) -> int:
    from hubexport.validation.report import render_table

    if arguments.saved_model is None or arguments.preprocessor is not None:
        raise UsageError(
            "--add_report is for one artifact",
            [("--saved_model", str(arguments.saved_model))],
            "pass the directory of the artifact that the report was made for as --saved_model.",
        )
    reports = add_reports(arguments.saved_model, arguments.add_report)
    for report in reports:
        print(render_table(report))
    print(f"record       {arguments.saved_model}: {len(reports)} added")
    return int(not all(report.passed for report in reports))


def _bundle(arguments: argparse.Namespace) -> int:
    if arguments.runtime != "pjrt" or arguments.saved_model is None:
        raise UsageError(
            "--write_bundle goes with --runtime=pjrt and --saved_model",
            [("--runtime", arguments.runtime), ("--saved_model", str(arguments.saved_model))],
            "pass both.",
        )
    write_pjrt_bundle(
        saved_model=arguments.saved_model,
        directory=arguments.write_bundle,
        reference=arguments.reference,
        weights=arguments.bundle_weights,
        allow_other_checkpoint=arguments.allow_other_checkpoint,
        overwrite=arguments.overwrite,
    )
    files = [path for path in arguments.write_bundle.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    print(f"bundle       {arguments.write_bundle}: {len(files)} files, {size:,.1f} MiB")
    print(f"to run it    python -m hubexport.validation.pjrt {arguments.write_bundle}")
    sys.stdout.flush()
    return 0
