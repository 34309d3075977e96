"""From arguments to a checked plan: everything that can go wrong before TensorFlow is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import open_checkpoint
from hubexport.checkpoints.sentence_transformers import read_pipeline, transformer_directory
from hubexport.checkpoints.source import TensorSource
from hubexport.errors import CheckpointError, UsageError
from hubexport.exporting.heads import MASKED_LANGUAGE_MODEL, HeadChoice, choose_heads
from hubexport.exporting.plan import Plan, make_plan
from hubexport.exporting.pooler import PoolerChoice, choose_pooler
from hubexport.exporting.tokenizer_files import TokenizerFiles
from hubexport.families.configuration import Configuration, read_configuration
from hubexport.families.dimensions import describe
from hubexport.families.family import Family
from hubexport.families.registry import choose
from hubexport.paths import PathLike
from hubexport.poolers import FLAG_VALUES
from hubexport.saved_model.record import source_file


@dataclasses.dataclass(frozen=True)
class Job:
    """An export, decided in every detail.

    Attributes:
      source: the checkpoint.
      configuration: the file that describes the model.
      family: the model, and `evidence` for being of that family.
      pooler, heads, tokenizer: what was chosen, or found.
      plan: what fills every variable.
    """

    source: TensorSource
    configuration: Configuration
    family: Family
    evidence: str
    pooler: PoolerChoice
    heads: HeadChoice
    tokenizer: TokenizerFiles
    plan: Plan

    def files(self) -> list[Path]:
        """Everything that the artifact is made from, as far as it lies in files."""
        sentence = self.pooler.default.files if self.pooler.default else ()
        return [*self.source.files, self.configuration.path, *sentence]

    def record(self) -> dict[str, Any]:
        """The record, as far as it is known before the export."""
        plan, sentence = self.plan, self.pooler.default
        pooler = self.pooler.record()
        if sentence is not None:
            pooler["files"] = [source_file(file) for file in sentence.files]
        return {
            "kind": "encoder",
            "family": {"name": self.family.name, "evidence": self.evidence},
            "architecture": {
                **vars(self.family.config),
                "num_parameters": sum(value.size for value in plan.values.values()),
            },
            "configuration": source_file(self.configuration.path),
            "checkpoint": {"format": self.source.format, "layout": self.source.layout},
            "pooler": pooler,
            "heads": {
                name: sum(plan.values[weight.variable].size for weight in weights)
                for name, weights in self.heads.weights.items()
            },
            "tokenizer": self.tokenizer.record(),
            "warnings": [*self.pooler.warnings, *self._warnings()],
            "tensors": plan.report(),
            "skipped_tensors": {reason: list(names) for reason, names in plan.skipped.items()},
        }

    def _warnings(self) -> Iterator[str]:
        yield from self.tokenizer.warnings(
            self.family.config.vocab_size,
            predicts_masked=MASKED_LANGUAGE_MODEL in self.heads.weights,
        )
        if (stored := self.family.config.variable_dtype) != "float32":
            yield (
                f"the variables of dense layers are stored in {stored}: for inference, since in "
                "training steps that are small beside a weight would be lost"
            )


def make_job(
    checkpoint: Path,
    *,
    bert_config: PathLike | None,
    encoder_config: PathLike | None,
    family: str | None,
    heads: str,
    pooler: str | None,
    tokenizer: TokenizerFiles,
    overrides: Mapping[str, object],
) -> Job:
    """Opens the checkpoint and decides; arguments as of `export_encoder`.

    Args:
      checkpoint: unpacked, if it came as an archive.
      overrides: of `EncoderConfig`'s values.

    Raises:
      HubexportError: one of its subclasses, by what is wrong.
    """
    if pooler is not None and pooler not in list(FLAG_VALUES):
        raise UsageError(
            f"there is no pooler {pooler!r}",
            [("poolers", ", ".join(FLAG_VALUES))],
            "pass one of these, or none.",
        )
    directory = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if checkpoint.is_dir():
        checkpoint = transformer_directory(checkpoint)
    source = open_checkpoint(checkpoint)
    _check_complete(source)
    configuration = read_configuration(bert_config, encoder_config, checkpoint)
    family_class, evidence = choose(family, configuration, source)
    model = family_class(configuration, source, overrides)
    # What is asked for replaces what the directory declares, supported or not.
    declares = pooler is None and source.layout == "hugging_face"
    sentence = read_pipeline(directory) if declares else None
    pooler_choice = choose_pooler(pooler, model, source, sentence)
    head_choice = choose_heads(heads, model, source, pooler_choice)
    config = model.config
    tokenizer.check_fits(config.vocab_size)
    facts = [
        ("checkpoint", f"{source.path} ({describe(source)})"),
        (
            "configuration",
            f"{configuration.path} ({config.num_hidden_layers} layers, "
            f"hidden size {config.hidden_size})",
        ),
    ]
    weights = [*model.names.weights(model.encoder()), *pooler_choice.weights]
    for head in head_choice.weights.values():
        weights += head
    plan = make_plan(model, source, weights, pooler_choice.generated, head_choice.left_out, facts)
    return Job(
        source,
        configuration,
        model,
        evidence,
        pooler_choice,
        head_choice,
        tokenizer,
        plan,
    )


def _check_complete(source: TensorSource) -> None:
    """An index can be read without its data, which is enough to inspect but not to export."""
    if absent := [file.name for file in source.files if not file.is_file()]:
        raise CheckpointError(
            "the checkpoint is not complete",
            [("checkpoint", str(source.path)), ("not there", ", ".join(absent))],
            "copy or download these files too, into the same directory.",
        )
