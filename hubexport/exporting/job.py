"""From arguments to a checked plan: everything that can go wrong before TensorFlow is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubexport.checkpoints.sentence_transformers import read_pipeline, transformer_directory
from hubexport.checkpoints.source import TensorSource
from hubexport.errors import UsageError
from hubexport.exporting.heads import HeadChoice, choose_heads
from hubexport.exporting.options import EncoderOptions
from hubexport.exporting.plan import Plan, make_plan
from hubexport.exporting.pooler import PoolerChoice, choose_pooler
from hubexport.exporting.tokenizer_files import TokenizerFiles, refuse_facts
from hubexport.families.configuration import Configuration
from hubexport.families.dimensions import describe
from hubexport.families.family import Family
from hubexport.families.heads import POSITIONS
from hubexport.families.opening import open_model
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
        return list(dict.fromkeys([*self.source.files, self.configuration.path, *sentence]))

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
            "configuration": (
                None  # kept in the checkpoint
                if self.configuration.path in self.source.files
                else source_file(self.configuration.path)
            ),
            "checkpoint": {"format": self.source.format, "layout": self.source.layout},
            "pooler": pooler,
            "conventions": self.family.conventions(),
            "heads": {
                name: {
                    "num_parameters": sum(
                        plan.values[weight.variable].size for weight in self.heads.weights[name]
                    ),
                    **head.interface.record(),
                }
                for name, head in self.heads.heads.items()
            },
            "tokenizer": self.tokenizer.record(),
            "warnings": [*self.pooler.warnings, *self._warnings()],
            "tensors": plan.report(),
            "skipped_tensors": {reason: list(names) for reason, names in plan.skipped.items()},
        }

    def _warnings(self) -> Iterator[str]:
        yield from self.tokenizer.warnings(
            self.family.config.vocab_size,
            predicts_masked=any(
                POSITIONS in head.interface.inputs for head in self.heads.heads.values()
            ),
        )
        yield from self.family.doubts()
        for name, head in self.heads.heads.items():
            if head.interface.declares_labels and not head.interface.labels:
                yield f".{name}: the checkpoint does not say what its classes are called"
            if head.doubt:
                yield f".{name}: {head.doubt}"
        if (stored := self.family.config.variable_dtype) != "float32":
            yield (
                f"the variables of dense layers are stored in {stored}: for inference, since in "
                "training steps that are small beside a weight would be lost"
            )


def make_job(checkpoint: Path, options: EncoderOptions, tokenizer: TokenizerFiles) -> Job:
    """Opens the checkpoint and decides.

    Args:
      checkpoint: unpacked, if it came as an archive.
      options: what is asked for.
      tokenizer: for the artifact to carry.

    Raises:
      HubexportError: one of its subclasses, by what is wrong.
    """
    pooler = options.pooler
    if pooler is not None and pooler not in list(FLAG_VALUES):
        raise UsageError(
            f"there is no pooler {pooler!r}",
            [("poolers", ", ".join(FLAG_VALUES))],
            "pass one of these, or none.",
        )
    directory = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if checkpoint.is_dir():
        checkpoint = transformer_directory(checkpoint)
    opened = open_model(
        checkpoint, bert_config=options.bert_config, encoder_config=options.encoder_config
    )
    source, configuration = opened.source, opened.configuration
    chosen = {
        "dtype": options.dtype,
        "variable_dtype": options.variable_dtype,
        "padding": options.padding,
    }
    if options.language is not None:
        chosen["language"] = options.language
    model, evidence = opened.model(options.family, {**options.overrides(), **chosen})
    if options.language is not None and tokenizer.defined is None and not model.has_languages:
        refuse_facts({"language": options.language})
    # What is asked for replaces what the directory declares, supported or not.
    declares = pooler is None and source.layout == "hugging_face"
    sentence = read_pipeline(directory) if declares else None
    pooler_choice = choose_pooler(pooler, model, source, sentence)
    head_choice = choose_heads(options.heads, model, source, pooler_choice)
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
