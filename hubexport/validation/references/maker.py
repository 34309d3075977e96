"""What a maker of reference outputs is given, and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hubexport.checkpoints.source import TensorSource
from hubexport.families.configuration import Configuration
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
    """

    directory: Path
    source: TensorSource
    configuration: Configuration
    tokenizer: Path | None = None
    vocab_file: Path | None = None
    do_lower_case: bool | None = None
    outputs_file: Path | None = None
    seed: int = 0


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
