"""`hubexport pipeline`: one SavedModel that takes texts and gives answers."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from hubexport.commands.arguments import add_boolean, options_of, quiet_tensorflow
from hubexport.errors import some_of
from hubexport.exporting.pipeline import export_pipeline
from hubexport.lean_tensorflow import lean_tensorflow
from hubexport.networks.config import DTYPES
from hubexport.pipelines.registry import AUTO, tasks
from hubexport.pipelines.token_classification import AGGREGATIONS

HELP = "export one SavedModel that takes texts and gives answers, with encoder and preprocessor"

EPILOG = (
    """\
tasks:
"""
    + "\n".join(f"  {name:19} {task.purpose}" for name, task in tasks().items())
    + """

examples:
  # sentence-transformers: poolings, dense layers, prompts and length as the directory declares
  hubexport pipeline --checkpoint=all-MiniLM-L6-v2 --export_path=out/embed

  # a classifier of transformers
  hubexport pipeline --checkpoint=roberta-large-mnli --export_path=out/classify

  # names in texts, with the bytes where they are
  hubexport pipeline --checkpoint=bert-base-NER --aggregation=first --export_path=out/entities

  # answers to questions, from texts of any length
  hubexport pipeline --checkpoint=roberta-base-squad2 --handle_impossible_answer \\
      --export_path=out/answers

  # the likeliest pieces for each mask
  hubexport pipeline --checkpoint=bert-base-uncased --task=fill-mask --export_path=out/fill

  # how likely texts are to a causal language model
  hubexport pipeline --checkpoint=gpt2 --export_path=out/perplexity

  # artifacts that are there
  hubexport pipeline --encoder=out/encoder --preprocessor=out/preprocessor \\
      --task=embedding --export_path=out/embed
"""
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--checkpoint", type=Path,
        help="directory of transformers or sentence-transformers, or, with --tokenizer, whatever "
        "`hubexport encoder` takes",
    )  # fmt: skip
    parser.add_argument(
        "--tokenizer", type=Path,
        help="directory with the tokenizer's files, or a tokenizer.json; the checkpoint's "
        "directory if not passed",
    )  # fmt: skip
    add_boolean(
        parser,
        "do_lower_case",
        None,
        "whether text is lower-cased, as in the checkpoint's training; if not passed, the files "
        "decide, as for `hubexport preprocessor`",
    )
    parser.add_argument(
        "--encoder", type=Path,
        help="an encoder that hubexport exported, in place of a checkpoint; with --preprocessor",
    )  # fmt: skip
    parser.add_argument(
        "--preprocessor", type=Path,
        help="the preprocessor of that encoder, exported by hubexport",
    )  # fmt: skip
    parser.add_argument(
        "--task", choices=(AUTO, *tasks()), default=AUTO,
        help="what is asked of texts (see below); auto (default): what the model says it is for",
    )  # fmt: skip
    parser.add_argument(
        "--max_seq_length", type=int,
        help="tokens of the longest text, special ones included; longer texts are cut. If not "
        "passed, what the model declares, or with --preprocessor its default length",
    )  # fmt: skip
    parser.add_argument(
        "--batch_size", type=int, default=32,
        help="texts that are computed at once, whatever a call brings (default 32): the memory "
        "that a call takes grows with it",
    )  # fmt: skip
    parser.add_argument(
        "--truncate_dim", type=int,
        help="how many numbers of an embedding are given, of models that were trained for it "
        "(Matryoshka)",
    )  # fmt: skip
    parser.add_argument(
        "--top_k", type=int,
        help="how many answers are given: pieces for each mask (5 if not passed), or answers to a "
        "question (1)",
    )  # fmt: skip
    parser.add_argument(
        "--aggregation", choices=AGGREGATIONS,
        help="how tokens become entities, as transformers' aggregation_strategy (simple if not "
        "passed)",
    )  # fmt: skip
    parser.add_argument(
        "--stride", type=int,
        help="how many tokens the windows of a text that is too long have in common: of question "
        "answering half of a row and at most 128 if not passed; of token classification, texts "
        "are cut if not passed",
    )  # fmt: skip
    parser.add_argument(
        "--max_answer_length", type=int,
        help="tokens of the longest answer to a question (15 if not passed)",
    )  # fmt: skip
    add_boolean(
        parser,
        "handle_impossible_answer",
        None,
        "whether the empty answer to a question competes with the others, of models that were "
        "trained for it, as on SQuAD 2 (default: no)",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES,
        help="dtype of matmuls and activations of the encoder (float32 if not passed)",
    )  # fmt: skip
    parser.add_argument(
        "--variable_dtype", choices=DTYPES,
        help="dtype in which variables of dense layers are stored, as for `hubexport encoder`",
    )  # fmt: skip
    parser.add_argument(
        "--export_path", type=Path, required=True, help="directory to create for the SavedModel"
    )
    add_boolean(parser, "overwrite", False, "whether to replace what is at --export_path")


def run(arguments: argparse.Namespace) -> int:
    """Exports and prints a summary; the exit status.

    Raises:
      HubexportError: see `export_pipeline`.
    """
    quiet_tensorflow()
    started = time.monotonic()
    options = options_of(arguments)
    with lean_tensorflow():
        record = export_pipeline(**options, show_progress=True)
    for warning in record["warnings"]:
        print(f"hubexport: warning: {warning}", file=sys.stderr)
    print(_summary(arguments.export_path, record, time.monotonic() - started))
    return 0


def _summary(export_path: Path, record: dict[str, Any], seconds: float) -> str:
    task, encoder, tested = record["task"], record["encoder"], record["self_test"]
    size = sum(path.stat().st_size for path in export_path.rglob("*") if path.is_file())
    texts = record["preprocessor"]["tokenizer"]
    lines = [
        f"pipeline     {export_path}",
        f"task         {task['name']}",
        *(f"{label:12} {value}" for label, value in _of_task(task)),
        f"encoder      {encoder['family']['name']}, "
        f"{encoder['architecture']['num_parameters']:,} parameters",
        f"tokenizer    {texts['kind']}, {texts['vocab_size']:,} pieces",
        f"texts        of at most {record['max_seq_length']} tokens, in batches of "
        f"{record['batch_size']}",
        f"signatures   {', '.join(record['saved_model']['signatures'])}",
        f"self-test    {tested['texts']} texts, alone and together: numbers differ by "
        f"{tested['largest_difference']:.0e} at most",
        f"size         {size / 2**20:,.1f} MiB",
        f"time         {seconds:.1f} s",
    ]
    return "\n".join(lines)


def _of_task(task: dict[str, Any]) -> list[tuple[str, str]]:
    """What the summary shows of a task's own record, whichever it is."""
    shown = {
        "dimension": "embedding",
        "modes": "pooling",
        "layers": "layers",
        "similarity": "similarity",
        "prompts": "prompts",
        "labels": "labels",
        "function": "scores",
    }
    return [(label, _value(task[key])) for key, label in shown.items() if task.get(key)]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return some_of(f"{name} {text!r}" for name, text in value.items())
    if isinstance(value, list):
        return some_of(each["path"] if isinstance(each, dict) else each for each in value)
    return str(value)
