"""`hubexport reference`: what other implementations give for a checkpoint, in a file."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from hubexport.commands.arguments import add_boolean, options_of, quiet_tensorflow
from hubexport.lean_tensorflow import silent_tensorflow
from hubexport.validation.references.job import make_reference
from hubexport.validation.references.sources import MAKERS

HELP = "record what an independent implementation gives for a checkpoint"

EPILOG = """\
sources:
  transformers   Hugging Face checkpoints, by transformers and PyTorch:
                 pip install 'hubexport[reference-transformers]'
  model_garden   TensorFlow checkpoints (Model Garden, google-research/bert), by
                 tf-models-official, which pins TensorFlow; in an environment of its own:
                 python -m venv ENV && ENV/bin/pip install 'hubexport[reference-model-garden]'
  file           outputs that were recorded in the code that trained the model: arrays
                 CASE/inputs/NAME and CASE/outputs/NAME in --outputs

examples:
  # a Hugging Face directory; its own tokenizer makes the text cases
  hubexport reference --source=transformers --checkpoint=bert-base-cased \\
      --output=bert-base-cased.reference.safetensors

  # google-research/bert
  hubexport reference --source=model_garden --checkpoint=bert_model.ckpt \\
      --vocab_file=vocab.txt --do_lower_case --output=reference.safetensors

  # Model Garden
  hubexport reference --source=model_garden --checkpoint=ckpt-100 \\
      --encoder_config=encoder.yaml --output=reference.safetensors

  # your own outputs
  hubexport reference --source=file --checkpoint=ckpt-100 --encoder_config=encoder.yaml \\
      --outputs=recorded.npz --output=reference.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--source", choices=list(MAKERS), required=True, help="who computes the outputs (see below)"
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True,
        help="as for `hubexport encoder`: TensorFlow prefix, Hugging Face directory, "
        "*.safetensors, *.bin, or an archive of one",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="the reference file to write")
    parser.add_argument(
        "--bert_config", type=Path,
        help="bert_config.json or config.json; found beside the checkpoint if not passed",
    )  # fmt: skip
    parser.add_argument(
        "--encoder_config", type=Path,
        help="Model Garden's YAML for the encoder, or an experiment's params.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--tokenizer", type=Path,
        help="directory of a Hugging Face tokenizer, for text cases; with --source=transformers, "
        "the checkpoint's own if not passed",
    )  # fmt: skip
    parser.add_argument(
        "--vocab_file", type=Path,
        help="WordPiece vocabulary, for text cases; only with --source=model_garden",
    )  # fmt: skip
    add_boolean(
        parser,
        "do_lower_case",
        None,
        "whether text is lower-cased; if not passed, evidence in and beside the vocabulary "
        "decides, or the command fails",
    )
    parser.add_argument(
        "--outputs", dest="outputs_file", type=Path,
        help="recorded outputs, .npz or .safetensors; only with --source=file",
    )  # fmt: skip
    add_boolean(
        parser,
        "causal",
        None,
        "as for `hubexport encoder`: whether tokens see only those before them",
    )
    parser.add_argument(
        "--language",
        help="as for `hubexport encoder`: the language that is added where none is given",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random inputs")
    add_boolean(parser, "overwrite", False, "whether to replace a file at --output")


def run(arguments: argparse.Namespace) -> int:
    """Makes the reference and prints a summary; the exit code.

    Raises:
      HubexportError: see `make_reference`.
    """
    quiet_tensorflow()
    # All that is needed lies in files; nothing is to be asked of the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    started = time.monotonic()
    options = options_of(arguments)
    with silent_tensorflow():
        summary = make_reference(**options, show_progress=True)
    print(_summary(summary, time.monotonic() - started))
    return 0


def _summary(summary: dict[str, Any], seconds: float) -> str:
    provenance = summary["provenance"]
    layers = provenance["architecture"]["num_hidden_layers"]
    lines = [
        f"reference    {summary['path']}",
        f"made by      {provenance['made_by']}",
        f"checkpoint   {', '.join(file['name'] for file in provenance['checkpoint'])}",
    ]
    for label, names in summary["cases"].items():
        others = [name for name in names if not name.startswith("encoder_outputs[")]
        count = len(names) - len(others)
        of_layers = f"{count} of {layers} layers, " if count else ""
        lines.append(f"case         {label}: {of_layers}{', '.join(others)}")
    lines += [f"note         {note}" for note in provenance["notes"]]
    lines += [
        f"size         {summary['bytes'] / 2**20:,.1f} MiB",
        f"time         {seconds:.1f} s",
    ]
    return "\n".join(lines)
