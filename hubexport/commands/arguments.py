"""Kinds of command-line arguments that several commands have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any


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


def quiet_tensorflow() -> None:
    """Settings for an exporting process, before TensorFlow is imported; the user's own win.

    Its start-up notes are of no use here (warnings stay), and an export computes nothing that
    would be worth taking a GPU's memory.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
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
