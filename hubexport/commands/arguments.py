"""Kinds of command-line arguments that several commands have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.tokenizers.conventions import CONVENTIONS


class _Boolean(argparse.Action):
    """`--name` stores True, `--noname` False, `--name=true|false` what it says: an absl flag."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any):
        super().__init__(option_strings, dest, nargs="?", metavar="true|false", **options)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        positive = option_string == self.option_strings[0]
        if values is not None:
            if not positive or values.lower() not in ("true", "false"):
                parser.error(f"argument {option_string}: {values!r} is not true or false")
            positive = values.lower() == "true"
        setattr(namespace, self.dest, positive)


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The values of a command's flags, by the names that the public function has for them."""
    return {k: v for k, v in vars(arguments).items() if k not in ("command", "run", "parser")}


def quiet_tensorflow() -> None:
    """Settings for an exporting process, before TensorFlow is imported; the user's own win.

    What TensorFlow's libraries print is of no use here: notes on the processor, and on a machine
    without a GPU an error of that. What goes wrong is raised. An export computes nothing that would
    be worth taking a GPU's memory.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def add_boolean(
    parser: argparse.ArgumentParser, name: str, default: bool | None, help: str
) -> None:
    """Adds the pair `--name` and `--noname`.

    Args:
      parser: what to add it to.
      name: without dashes; the attribute of the parsed arguments is called the same.
      default: None tells "not said" from both answers.
      help: one or two sentences.
    """
    parser.add_argument(
        f"--{name}", f"--no{name}", dest=name, action=_Boolean, default=default, help=help
    )


def add_tokenizer_files(group: argparse._ArgumentGroup) -> None:
    """Adds the flags that say where a tokenizer's files are."""
    group.add_argument(
        "--tokenizer",
        type=Path,
        help="directory with tokenizer files: tokenizer.json, vocab.json and merges.txt, "
        "vocab.txt, spiece.model, ..., and their settings",
    )
    group.add_argument(
        "--vocab_file",
        type=Path,
        help="WordPiece vocabulary, one piece per line (BERT), or Transformer-XL's words",
    )
    group.add_argument(
        "--sp_model_file", type=Path, help="SentencePiece model (ALBERT, XLNet, XLM-R, T5)"
    )


def add_tokenizer_facts(parser: argparse.ArgumentParser, *, more: str = "") -> None:
    """Adds the flags that say of a tokenizer what its files may not tell; `more` is what the
    language is for besides."""
    parser.add_argument(
        "--model_type",
        choices=sorted(CONVENTIONS),
        help="whose special tokens and packing to use; taken from the files if they say",
    )
    add_boolean(
        parser,
        "do_lower_case",
        None,
        "whether text is lower-cased, as in the checkpoint's training; if not passed, "
        "tokenizer_config.json beside the vocabulary or the vocabulary's letters decide, "
        "and if they do not, the export fails",
    )
    parser.add_argument(
        "--language",
        help="language of the text, such as en, for XLM's rules; none for text that is already "
        "split into words by spaces" + more,
    )
