"""What an encoder's export is asked for, as one object."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from hubexport.exporting.command_options import CommandOptions
from hubexport.exporting.tokenizer_files import PATHS as TOKENIZER_PATHS
from hubexport.exporting.tokenizer_files import TokenizerFiles, read_tokenizer_files
from hubexport.paths import PathLike

_OVERRIDES = (
    "hidden_act", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "max_position_embeddings", "causal",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderOptions(CommandOptions):
    """The arguments of `hubexport.export_encoder`, which says what each of them is."""

    COMMAND: ClassVar[str] = "encoder"
    PATHS: ClassVar[tuple[str, ...]] = (
        "checkpoint", "bert_config", "encoder_config", *TOKENIZER_PATHS,
    )  # fmt: skip
    OF_THE_RUN: ClassVar[tuple[str, ...]] = (
        "export_path", "validate", "reference", "overwrite", "dry_run", "show_progress",
    )  # fmt: skip

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

    def overrides(self) -> dict[str, Any]:
        """What replaces the configuration's values."""
        given = self.given()
        return {name: given[name] for name in _OVERRIDES if name in given}

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
