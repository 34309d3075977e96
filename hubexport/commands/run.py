"""`hubexport run`: texts of a file through a SavedModel."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hubexport.commands.arguments import add_boolean
from hubexport.errors import UsageError
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.output_file import check_output
from hubexport.running.job import KEPT, Ran, run_texts
from hubexport.running.lines import STDIN, check_input
from hubexport.running.plan import DEFAULT_SIGNATURE, Plan, make_plan
from hubexport.running.similarity import similarity_table
from hubexport.running.writers import FORMATS

HELP = "run a SavedModel on the lines of a text file"

EPILOG = """\
Each line is a text. Where the SavedModel takes two, they are divided by a tab. Any SavedModel works
whose signature takes batches of strings; an encoder needs its preprocessor.

examples:
  # an encoder: JSON lines with its output `default`, and how similar the texts are
  hubexport run --saved_model=out/encoder --preprocessor=out/preprocessor --input=sentences.txt

  # a pipeline: texts in, vectors or labels out
  hubexport run --saved_model=out/classify --input=reviews.txt --output=labels.jsonl

  # embeddings of a large file as one array [texts, size]
  hubexport run --saved_model=out/encoder --preprocessor=out/preprocessor --input=corpus.txt \\
      --output=embeddings.npy --batch_size=64

  # a head on pairs of texts
  hubexport run --saved_model=out/encoder --preprocessor=out/preprocessor --signature=nsp \\
      --columns=text,text_pair --input=pairs.tsv --output=nsp.parquet

  # ids of a preprocessor, of what another program writes
  echo "Hello, world." | hubexport run --saved_model=out/preprocessor --outputs=input_word_ids
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--saved_model", type=Path, required=True, help="directory of the SavedModel"
    )
    parser.add_argument(
        "--preprocessor", type=Path, help="for an encoder: directory of what makes its inputs"
    )
    parser.add_argument(
        "--input", type=Path, default=STDIN,
        help="text file in UTF-8; - is standard input, the default",
    )  # fmt: skip
    parser.add_argument(
        "--columns",
        help="what the texts of a line are called, separated by commas: text,text_pair for a "
        "preprocessor that packs two; otherwise the signature's inputs, where their order is "
        "not question,context or text,text_pair",
    )
    parser.add_argument(
        "--signature", default=DEFAULT_SIGNATURE,
        help=f"the SavedModel's signature to call (default {DEFAULT_SIGNATURE}); heads have their "
        "own",
    )  # fmt: skip
    parser.add_argument(
        "--outputs",
        help="names of the outputs to write, separated by commas; if not passed, `default`, or "
        "all where there is none of that name",
    )
    parser.add_argument(
        "--output", type=Path,
        help=f"file to write, ending in {', '.join(FORMATS)}; JSON lines on standard output if "
        "not passed",
    )  # fmt: skip
    parser.add_argument(
        "--batch_size", type=int, default=32, help="texts that are run at a time (default 32)"
    )
    add_boolean(parser, "overwrite", False, "whether to replace a file at --output")


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints a summary, on stderr where outputs are on stdout; the exit status.

    Raises:
      HubexportError: something is not there, or does not go together; see `make_plan` and
        `run_texts`.
    """
    if arguments.batch_size < 1:
        raise UsageError(
            "a batch has at least one text",
            [("--batch_size", str(arguments.batch_size))],
            "pass a positive --batch_size.",
        )
    output: Path | None = arguments.output
    plan = make_plan(
        arguments.saved_model,
        arguments.preprocessor,
        arguments.signature,
        _names(arguments.columns),
        _names(arguments.outputs),
        output,
    )
    check_input(arguments.input)
    if output is not None:
        check_output(output, overwrite=arguments.overwrite)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its notes would be among the lines
    with lean_tensorflow():
        ran = run_texts(plan, arguments.input, output, arguments.batch_size, show_progress=True)
    print(_summary(plan, ran, output), file=sys.stderr if output is None else sys.stdout)
    return 0


def _names(listed: str | None) -> list[str] | None:
    return None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]


def _summary(plan: Plan, ran: Ran, output: Path | None) -> str:
    shapes = ", ".join(f"{name} {list(shape)}" for name, shape in ran.shapes.items())
    lines = [
        f"SavedModel   {plan.saved_model}",
        f"texts        {ran.texts:,}",
        f"outputs      {shapes}",
        f"load         {ran.load_seconds:.1f} s",
        f"run          {ran.seconds:.1f} s, {ran.texts / ran.seconds:,.1f} texts/s",
    ]
    if output is not None:
        lines.append(f"file         {output}, {output.stat().st_size / 2**20:,.1f} MiB")
    table = similarity_table(ran.first, ran.values) if ran.texts <= KEPT else []
    if table:
        lines += ["", "similarity", *table]
    return "\n".join(lines)
