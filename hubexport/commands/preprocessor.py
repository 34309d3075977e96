"""`hubexport preprocessor`: a text preprocessor SavedModel from a vocabulary."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from hubexport.commands.arguments import add_boolean, quiet_tensorflow
from hubexport.exporting.preprocessor import MINIMUM_SEQ_LENGTH, export_preprocessor

HELP = "export a text preprocessor SavedModel from a WordPiece or SentencePiece vocabulary"

EPILOG = """\
examples:
  # BERT: the casing is found out from the vocabulary, or asked for
  hubexport preprocessor --vocab_file=uncased_L-12_H-768_A-12/vocab.txt \\
      --export_path=out/bert_en_uncased_preprocess/1

  # a cased BERT with longer inputs and byte offsets
  hubexport preprocessor --vocab_file=vocab.txt --nodo_lower_case \\
      --default_seq_length=512 --tokenize_with_offsets --export_path=out/preprocess/1

  # ALBERT
  hubexport preprocessor --sp_model_file=30k-clean.model --do_lower_case \\
      --export_path=out/albert_en_preprocess/1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--vocab_file", type=Path, help="WordPiece vocabulary: one piece per line (BERT)"
    )
    parser.add_argument("--sp_model_file", type=Path, help="SentencePiece model (ALBERT)")
    add_boolean(
        parser,
        "do_lower_case",
        None,
        "whether the text is lower-cased, as the checkpoint was trained; if neither is passed, "
        "tokenizer_config.json beside the vocabulary or the vocabulary's letters decide, "
        "and where they do not the export fails",
    )
    parser.add_argument(
        "--default_seq_length",
        type=int,
        default=128,
        help="length of the encoder inputs unless the caller passes another one "
        f"(default 128, at least {MINIMUM_SEQ_LENGTH})",
    )
    add_boolean(
        parser,
        "tokenize_with_offsets",
        False,
        "whether to add a .tokenize_with_offsets sub-object (WordPiece only; default: no)",
    )
    parser.add_argument(
        "--export_path", type=Path, required=True, help="directory to make for the SavedModel"
    )
    add_boolean(parser, "overwrite", False, "whether to replace what is at --export_path")


def run(arguments: argparse.Namespace) -> int:
    """Exports and prints a summary; the exit status.

    Raises:
      HubexportError: see `export_preprocessor`.
    """
    quiet_tensorflow()
    started = time.monotonic()
    record = export_preprocessor(
        export_path=arguments.export_path,
        vocab_file=arguments.vocab_file,
        sp_model_file=arguments.sp_model_file,
        do_lower_case=arguments.do_lower_case,
        default_seq_length=arguments.default_seq_length,
        tokenize_with_offsets=arguments.tokenize_with_offsets,
        overwrite=arguments.overwrite,
    )
    for warning in record["warnings"]:
        print(f"hubexport: warning: {warning}", file=sys.stderr)
    print(_summary(arguments.export_path, record, time.monotonic() - started))
    return 0


def _summary(export_path: Path, record: dict[str, Any], seconds: float) -> str:
    tokenizer = record["tokenizer"]
    specials = ", ".join(
        f"{special['piece']} {special['id']}" for special in tokenizer["special_tokens"].values()
    )
    casing = "lower-cased" if tokenizer["do_lower_case"] else "cased"
    size = sum(path.stat().st_size for path in export_path.rglob("*") if path.is_file())
    lines = [
        f"preprocessor {export_path}",
        f"vocabulary   {tokenizer['vocab_size']:,} pieces, {tokenizer['kind']}",
        f"casing       {casing} ({tokenizer['do_lower_case_reason']})",
        f"specials     {specials}",
        f"inputs       [batch, {record['default_seq_length']}] by default",
        f"size         {size / 2**20:,.1f} MiB",
        f"time         {seconds:.1f} s",
    ]
    return "\n".join(lines)
