"""What an encoder's export is asked for, as one object."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hubexport.exporting.tokenizer_files import PATHS as TOKENIZER_PATHS
from hubexport.exporting.tokenizer_files import TokenizerFiles, read_tokenizer_files
from hubexport.paths import PathLike

_PATHS = ("checkpoint", "bert_config", "encoder_config", *TOKENIZER_PATHS)
_OVERRIDES = (
    "hidden_act", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "max_position_embeddings", "causal",
)  # fmt: skip
_OF_THE_RUN = ("export_path", "validate", "reference", "overwrite", "dry_run", "show_progress")
"""What the artifact does not depend on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """The arguments of `hubexport.export_encoder`, which says what each of them is."""

    checkpoint: PathLike
    export_path: PathLike
    bert_config: PathLike | None = None
    encoder_config: PathLike | None = None
    family: str | None = None
    heads: str = "auto"
    pooler: str | None = None
    tokenizer: PathLike | None = None
    vocab_file: PathLike | None = None
    sp_model_file: PathLike | None = None
    model_type: str | None = None
    do_lower_case: bool | None = None
    language: str | None = None
    dtype: str = "float32"
    variable_dtype: str = "float32"
    padding: str = "compute"
    hidden_act: str | None = None
    layer_norm_eps: float | None = None
    hidden_dropout_prob: float | None = None
    attention_probs_dropout_prob: float | None = None
    max_position_embeddings: int | None = None
    causal: bool | None = None
    validate: bool = False
    reference: PathLike | None = None
    overwrite: bool = False
    dry_run: bool = False
    show_progress: bool = False

    @property
    def target(self) -> Path:
        """Where the artifact is to be."""
        return Path(self.export_path)

    def given(self) -> dict[str, Any]:
        """What the artifact depends on, less what was left to hubexport."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and name not in _OF_THE_RUN
        }

    def overrides(self) -> dict[str, Any]:
        """What replaces the configuration's values."""
        given = self.given()
        return {name: given[name] for name in _OVERRIDES if name in given}

    def sources(self) -> list[Path]:
        """The files and directories that were named."""
        given = self.given()
        return [Path(given[name]) for name in _PATHS if name in given]

    def read_tokenizer(self) -> TokenizerFiles:
        """The tokenizer that the artifact is to carry.

        Raises:
          HubexportError: its files cannot be read, or do not say enough.
        """
        facts = {
            "model_type": self.model_type,
            "do_lower_case": self.do_lower_case,
            "language": self.language,
        }
        return read_tokenizer_files(
            tokenizer=self.tokenizer,
            vocab_file=self.vocab_file,
            sp_model_file=self.sp_model_file,
            options=facts,
        )

    def command(self) -> list[str]:
        """The command line that gives this artifact again, less its export path.

        Files by their names only: where they lay is not part of the artifact, and is
        private.
        """
        command = ["hubexport", "encoder"]
        for name, value in self.given().items():
            if isinstance(value, bool):
                command.append(f"--{name}" if value else f"--no{name}")
            else:
                value = Path(value).absolute().name if name in _PATHS else value
                command.append(f"--{name}={value}")
        return command
