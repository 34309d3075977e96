"""The sources of references: what each takes, what it needs installed, and what it gives."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hubexport.checkpoints.openai import has_openai_names
from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ExportPathError, UsageError
from hubexport.families.configuration import Configuration
from hubexport.packages import needed_by
from hubexport.validation.cases import Case

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
"""What `Provenance.architecture` tells, by transformers' names."""

Outputs = dict[str, np.ndarray]
"""Output -> float32 array; names as in `reference_file.OUTPUTS`, layers `encoder_outputs[i]`."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What reference outputs are made of.

    Attributes:
      directory: of the checkpoint, where its tokenizer's files may lie, too.
      source: the checkpoint as the export reads it: its files, names and shapes. The numbers are
        the reference implementation's matter.
      configuration: the model's.
      tokenizer: directory of a Hugging Face tokenizer, or None.
      vocab_file: WordPiece vocabulary, or None.
      do_lower_case: whether text is lower-cased, of `vocab_file`; None if not said.
      outputs_file: recorded outputs, or None.
      seed: of the random inputs.
      causal, language: as of `export_encoder`.
    """

    directory: Path
    source: TensorSource
    configuration: Configuration
    tokenizer: Path | None = None
    vocab_file: Path | None = None
    do_lower_case: bool | None = None
    outputs_file: Path | None = None
    seed: int = 0
    causal: bool | None = None
    language: str | None = None


class Model(Protocol):
    """A checkpoint in a reference implementation, every weight of it loaded.

    Attributes:
      made_by: the program and its version, for people.
      architecture: sizes, as `Provenance.architecture`.
      notes: what users of the reference should know.
      cases: the inputs that it is run on.
    """

    made_by: str
    architecture: Mapping[str, Any]
    notes: Sequence[str]
    cases: Sequence[Case]

    def outputs(self, case: Case) -> Outputs:
        """What the model gives for a case, in inference, float32."""


def first_line(error: BaseException) -> str:
    """What another program's error says, short enough for a message."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


@dataclasses.dataclass(frozen=True)
class Maker:
    """A way to make reference outputs.

    Attributes:
      module: has `open_model(request)`.
      packages: what it imports that hubexport itself does not depend on.
      layouts: of checkpoints that it takes, as `layout_of` tells them.
      takes: arguments of `make_reference` that only some makers take.
      needs: those of them that must be given.
      environment: variables that its packages look at when they are imported.
    """

    module: str
    packages: tuple[str, ...]
    layouts: tuple[str, ...]
    takes: frozenset[str]
    needs: frozenset[str] = frozenset()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


MAKERS: Mapping[str, Maker] = {
    "transformers": Maker(
        "transformers",
        ("torch", "transformers"),
        ("hugging_face", "fairseq", "xlm_original", "openai", "adaptive"),
        frozenset({"bert_config", "tokenizer", "causal", "language"}),
    ),
    "model_garden": Maker(
        "model_garden.model",
        ("official", "tf_keras"),
        ("tf1", "tf2"),
        frozenset({"bert_config", "encoder_config", "tokenizer", "vocab_file", "do_lower_case"}),
        environment={"TF_USE_LEGACY_KERAS": "1"},
    ),
    "file": Maker(
        "recorded",
        (),
        ("hugging_face", "fairseq", "xlm_original", "openai", "adaptive", "tf1", "tf2"),
        frozenset({"bert_config", "encoder_config", "outputs_file"}),
        needs=frozenset({"outputs_file"}),
    ),
}
"""`--source` -> how its references are made."""

_FLAGS = {"outputs_file": "outputs"}  # the others are called as the arguments


def check_arguments(source: str, given: Mapping[str, object]) -> Maker:
    """The maker of that name, where the arguments suit it.

    Args:
      source: a key of `MAKERS`.
      given: the arguments that only some makers take; None for those that are not passed.

    Raises:
      UsageError: there is no such maker, or the arguments do not go together.
    """
    maker = MAKERS.get(source)
    if maker is None:
        raise UsageError(
            f"there is no source {source!r} of reference outputs",
            [("sources", ", ".join(MAKERS))],
            "pass one of these.",
        )
    names = {name for name, value in given.items() if value is not None}
    facts = [
        (problem, ", ".join(sorted(f"--{_FLAGS.get(name, name)}" for name in which)))
        for problem, which in (
            (f"--source={source} does not take", names - maker.takes),
            (f"--source={source} needs", maker.needs - names),
        )
        if which
    ]
    if facts:
        raise UsageError(
            "the arguments do not go together",
            facts,
            "`hubexport reference --help` says what each source takes.",
        )
    if "do_lower_case" in names and "vocab_file" not in names:
        raise UsageError(
            "--do_lower_case is about a vocabulary, and none is given",
            hint="pass --vocab_file, or leave it out: a --tokenizer says it itself.",
        )
    if {"tokenizer", "vocab_file"} <= names:
        raise UsageError("both --tokenizer and --vocab_file are given", (), "pass one of them.")
    return maker


def check_not_read(output: Path, files: list[Path]) -> None:
    """Fails where the output would replace what it is made of.

    Raises:
      ExportPathError: it would.
    """
    if output.exists() and any(file.exists() and output.samefile(file) for file in files):
        raise ExportPathError(
            "--output is a file that the reference would be made of",
            [("--output", str(output))],
            "pass another path.",
        )


def layout_of(tensors: TensorSource) -> str:
    """The checkpoint's layout, but that of models of TensorFlow which Model Garden does not have by
    another name: "openai" of GPT-2, "adaptive" of Transformer-XL."""
    if has_openai_names(tensors):
        return "openai"
    return "adaptive" if has_adaptive_names(tensors) else tensors.layout


_ADAPTIVE = re.compile(r"transformer/adaptive_embed/(cutoff_\d+/)?lookup_table")


def has_adaptive_names(source: TensorSource) -> bool:
    """Whether it is a TensorFlow checkpoint of kimiyoung/transformer-xl."""
    return source.layout == "tf1" and any(map(_ADAPTIVE.fullmatch, source.tensors))


def check_layout(source: str, maker: Maker, tensors: TensorSource) -> None:
    """Fails where the maker does not read such checkpoints.

    Raises:
      UsageError: another maker does.
    """
    layout = layout_of(tensors)
    if layout not in maker.layouts:
        others = [name for name, each in MAKERS.items() if layout in each.layouts]
        raise UsageError(
            f"--source={source} does not read checkpoints of this kind",
            [("checkpoint", f"{tensors.path} ({tensors.format})")],
            "pass " + " or ".join(f"--source={name}" for name in others) + ".",
        )


def check_packages(source: str, maker: Maker) -> None:
    """Imports what the maker needs.

    Raises:
      MissingPackageError: it is not installed.
    """
    for name, value in maker.environment.items():
        os.environ.setdefault(name, value)
    with needed_by(f"--source={source}", *maker.packages):
        for name in maker.packages:
            importlib.import_module(name)
