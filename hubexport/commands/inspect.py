"""`hubexport inspect`: what a checkpoint or a SavedModel holds, without loading it."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import is_archive
from hubexport.errors import HubexportError, UsageError
from hubexport.inspection.facts import facts_about
from hubexport.inspection.text import render

HELP = "say what a checkpoint or a SavedModel holds, without loading it"

EPILOG = """\
examples:
  # which model is it, and does it have a pooler and a masked-language-model head?
  hubexport inspect uncased_L-12_H-768_A-12/bert_model.ckpt

  # all layer norms; the index is enough, without its data file
  hubexport inspect bert_model.ckpt.index --filter='LayerNorm/(gamma|beta)$' --all

  # an archive, or a Hugging Face directory
  hubexport inspect bert-base-uncased.tar.gz
  hubexport inspect bert-base-uncased/

  # any SavedModel: sub-objects, signatures, and the packages that its ops need
  hubexport inspect bert_en_uncased_preprocess/3

  # for programs
  hubexport inspect bert_en_uncased_preprocess/3 --json | jq .required_ops
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "path",
        type=Path,
        help="a checkpoint (TensorFlow prefix or .index, .safetensors, .bin, .pt, directory), "
        "a SavedModel's directory, or an archive (.tar.gz, .tgz, .tar, .zip) of either",
    )
    parser.add_argument(
        "--filter",
        metavar="REGEX",
        help="list only tensors whose name (or variable's name) matches the expression",
    )
    parser.add_argument(
        "--all", action="store_true", help="list all tensors instead of the first ones"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object with everything, including all tensors (that match --filter)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints what is at the path; the exit status.

    Raises:
      UsageError: --filter is not a regular expression.
      HubexportError: nothing is there, or it cannot be read.
    """
    pattern = _compile(arguments.filter)
    facts = _facts_in_archive(path) if is_archive(path := arguments.path) else facts_about(path)
    tensors = facts["tensors"]
    facts["num_tensors"] = len(tensors)
    if pattern is not None:
        facts["tensors"] = [
            tensor
            for tensor in tensors
            if pattern.search(tensor["name"]) or pattern.search(tensor.get("variable") or "")
        ]
    if arguments.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        print(render(facts, everything=arguments.all))
    return 0


def _compile(expression: str | None) -> re.Pattern[str] | None:
    if expression is None:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        raise UsageError(
            "--filter is not a regular expression",
            [("--filter", expression), ("found", str(error))],
            "see docs.python.org/library/re.html for its syntax; a plain word is one.",
        ) from error


def _facts_in_archive(archive: Path) -> dict[str, Any]:
    """Facts about what an archive holds, which is unpacked for the time being."""
    from hubexport.checkpoints.archive import extract

    with tempfile.TemporaryDirectory(prefix="hubexport-") as directory:
        unpacked = extract(archive, Path(directory))
        try:
            facts = facts_about(unpacked)
        except HubexportError as error:
            where = ("archive", f"{archive}, unpacked for the time being")
            raise type(error)(error.problem, [where, *error.facts], error.hint) from error
    facts["path"] = str(archive)
    return facts
