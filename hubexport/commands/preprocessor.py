"""`hubexport preprocessor`: a text preprocessor SavedModel from a tokenizer's files."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from hubexport.commands.arguments import (
    add_boolean,
    add_tokenizer_facts,
    add_tokenizer_files,
    options_of,
    quiet_tensorflow,
)
from hubexport.exporting.preprocessor import export_preprocessor
from hubexport.exporting.preprocessor_options import (
    MINIMUM_SEQ_LENGTH,
    NORMALIZATIONS,
    TRUNCATIONS,
)
from hubexport.lean_tensorflow import lean_tensorflow

HELP = "export a text preprocessor SavedModel from a vocabulary or a tokenizer's directory"

EPILOG = """\
examples:
  # BERT; the vocabulary usually shows whether it is cased
  hubexport preprocessor --vocab_file=uncased_L-12_H-768_A-12/vocab.txt \\
      --export_path=out/bert_en_uncased_preprocess/1

  # a cased BERT with longer inputs and byte offsets
  hubexport preprocessor --vocab_file=vocab.txt --nodo_lower_case \\
      --default_seq_length=512 --tokenize_with_offsets --export_path=out/preprocess/1

  # any tokenizer written by Hugging Face's save_pretrained, checked on your own texts
  hubexport preprocessor --tokenizer=roberta-base --export_path=out/roberta_preprocess/1 \\
      --reference_tokenizer=roberta-base --corpus=texts.txt

  # ALBERT
  hubexport preprocessor --sp_model_file=30k-clean.model --do_lower_case \\
      --export_path=out/albert_en_preprocess/1

  # the ids of the published TF-Hub preprocessors, for models trained with those
  hubexport preprocessor --vocab_file=vocab.txt --normalization=tfhub \\
      --export_path=out/bert_en_uncased_preprocess/3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    add_tokenizer_files(parser.add_argument_group("the tokenizer, one of"))
    add_tokenizer_facts(parser)
    add_boolean(
        parser,
        "strip_accents",
        None,
        "whether accents are removed; if not passed, tokenizer_config.json decides, and if it "
        "does not, they are removed if text is lower-cased, as in BERT",
    )
    parser.add_argument(
        "--normalization",
        choices=NORMALIZATIONS,
        default=NORMALIZATIONS[0],
        help="exact (default): the ids of Hugging Face's tokenizers; tfhub: those of the "
        "published TF-Hub preprocessors, which differ on multilingual text",
    )
    add_boolean(
        parser,
        "special_tokens_in_text",
        True,
        "whether literal special tokens such as [MASK] in the text become their ids "
        "(default: yes; never with --normalization=tfhub)",
    )
    parser.add_argument(
        "--truncation",
        choices=TRUNCATIONS,
        default=TRUNCATIONS[0],
        help="how two texts that are too long together are cut: round_robin (default, as in the "
        "original BERT: an odd place goes to the first) or longest_first (as in Hugging Face: to "
        "the longer)",
    )
    parser.add_argument(
        "--default_seq_length",
        type=int,
        default=128,
        help="length of the encoder inputs unless the caller passes another "
        f"(default 128, at least {MINIMUM_SEQ_LENGTH})",
    )
    add_boolean(
        parser,
        "tokenize_with_offsets",
        False,
        "whether to add a .tokenize_with_offsets sub-object, if offsets can be exact (default: no)",
    )
    parser.add_argument(
        "--reference_tokenizer",
        type=Path,
        help="directory of a tokenizer to compare with, run by tokenizers or transformers",
    )
    parser.add_argument("--corpus", type=Path, help="texts to compare on, one per line, in UTF-8")
    parser.add_argument(
        "--max_differences",
        type=int,
        default=0,
        help="how many texts of the corpus may have different tokens (default 0); with more, "
        "nothing is written",
    )
    parser.add_argument(
        "--export_path", type=Path, required=True, help="directory to create for the SavedModel"
    )
    add_boolean(parser, "overwrite", False, "whether to replace what is at --export_path")


def run(arguments: argparse.Namespace) -> int:
    """Exports and prints a summary; the exit status.

    Raises:
      HubexportError: see `export_preprocessor`.
    """
    quiet_tensorflow()
    started = time.monotonic()
    options = options_of(arguments)
    with lean_tensorflow():
        record = export_preprocessor(**options, show_progress=True)
    for warning in record["warnings"]:
        print(f"hubexport: warning: {warning}", file=sys.stderr)
    print(_summary(arguments.export_path, record, time.monotonic() - started))
    return 0


def _summary(export_path: Path, record: dict[str, Any], seconds: float) -> str:
    tokenizer = record["tokenizer"]
    specials = ", ".join(
        f"{special['piece']} {special['id']}" for special in tokenizer["special_tokens"].values()
    )
    lines = [
        f"preprocessor {export_path}",
        f"vocabulary   {tokenizer['vocab_size']:,} pieces, {tokenizer['kind']}",
        f"model type   {tokenizer['model_type']}",
    ]
    if tokenizer["do_lower_case"] is not None:
        casing = "lower-cased" if tokenizer["do_lower_case"] else "cased"
        lines.append(f"casing       {casing} ({tokenizer['do_lower_case_reason']})")
    size = sum(path.stat().st_size for path in export_path.rglob("*") if path.is_file())
    lines += [
        f"specials     {specials}",
        f"inputs       [batch, {record['default_seq_length']}] by default, "
        f"truncated {record['truncation']}",
        f"self-test    {_self_test(record['self_test'])}",
    ]
    if "comparison" in record:
        found = record["comparison"]
        lines.append(
            f"comparison   {found['differences']:,} of {found['texts']:,} texts differ "
            f"from {found['reference']}"
        )
        lines += [f"             {line}" for line in found["first"]]
    lines += [f"size         {size / 2**20:,.1f} MiB", f"time         {seconds:.1f} s"]
    return "\n".join(lines)


def _self_test(result: dict[str, Any]) -> str:
    if result["reference"] is None:
        return f"{result['texts']} texts; not compared: {result['not_compared']}"
    return f"{result['differences']} of {result['texts']} texts differ from {result['reference']}"
