"""Which family a checkpoint belongs to, and which parts of that family's models it carries."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import HubexportError
from hubexport.families import configuration as configurations
from hubexport.families.carried import carried_heads, spelled_heads
from hubexport.families.dimensions import Dimensions
from hubexport.families.family import Family
from hubexport.families.heads import TENSORS
from hubexport.families.opening import Opened
from hubexport.families.registry import families
from hubexport.families.tensor_map import Part

Parts = dict[str, tuple[int, int | None]]
"""Part -> number of its tensors found, and of all of them where a family says so."""

_POOLER = r"(.*[/.])?(pooler[/.]dense|_pooler_layer|pooler_transform|cls_transform)[/.].*"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is known about the model in a checkpoint.

    Attributes:
      configuration: what is kept with the checkpoint, or the file beside it, if there is one.
      problem: why that could not be used, if so.
      model: the family's view of the checkpoint; None where it is not known.
      evidence: what told the family, or why it is not known.
      encoder: how many of the encoder's tensors there are, and should be; None without a model.
      parts: pooler and heads: number of tensors found, and of all where a family says so.
    """

    configuration: configurations.Configuration | None
    problem: str | None
    model: Family | None
    evidence: str
    encoder: tuple[int, int] | None
    parts: Parts

    def disagreements(self, sizes: Dimensions | None) -> list[str]:
        """Where the configuration and the tensors differ."""
        if self.model is None or sizes is None:
            return []
        said = {**vars(self.model.config), "max_position_embeddings": _position_rows(self.model)}
        return [
            f"{name}: {value:,} in the tensors, {said[name]:,} in the configuration"
            for name, value in vars(sizes).items()
            if value is not None and said.get(name, value) != value
        ]

    def record(self) -> dict[str, Any]:
        encoder = self.encoder
        return {
            "configuration": self.configuration and self.configuration.path.name,
            "configuration_problem": self.problem,
            "family": self.model and self.model.name,
            "evidence": self.evidence,
            "encoder_tensors": encoder and {"found": encoder[0], "of": encoder[1]},
            "configured": vars(self.model.config) if self.model else None,
            "parts": {
                name: {"found": found, "of": total} for name, (found, total) in self.parts.items()
            },
        }


def find_model(source: TensorSource, sizes: Dimensions | None, state: Iterable[str]) -> Finding:
    """Recognises the model.

    Args:
      source: the checkpoint.
      sizes: what its tensors say; None where they are no BERT's.
      state: tensors that are not parameters.
    """
    names = _names(source, set(state))
    try:
        configuration = _configuration(source)
    except HubexportError as error:
        problem = _short(error)
        return Finding(None, problem, None, _without(source, sizes), None, _by_names(names))
    if configuration is None:
        return Finding(None, None, None, _without(source, sizes), None, _by_names(names))
    if sizes is None and "model_type" not in configuration.values:
        # Such a configuration is BERT's if anything, and these tensors are not.
        return Finding(configuration, None, None, _NOT_BERT, None, _by_names(names))
    try:
        model, evidence = Opened(source, configuration).model()
        encoder = _count(source, model, model.encoder())
    except HubexportError as error:
        evidence = f"not recognised: {_short(error)}"
        return Finding(configuration, None, None, evidence, None, _by_names(names))
    if encoder[0] == 0:
        evidence = (
            f"not recognised: {evidence}, but none of that encoder's {encoder[1]} tensors is here"
        )
        return Finding(configuration, None, None, evidence, None, _by_names(names))
    return Finding(configuration, None, model, evidence, encoder, _by_family(source, model, names))


def _configuration(source: TensorSource) -> configurations.Configuration | None:
    """The one kept with the checkpoint, or the file beside it; None where there is neither."""
    beside = source.layout != "fairseq" and configurations.find_beside(source.path)
    if not source.settings and not beside:
        return None
    return configurations.read_configuration(
        None, None, source.path, settings=source.settings, layout=source.layout
    )


_NOT_BERT = "not recognised: no BERT-like layers among the tensors"


def _without(source: TensorSource, sizes: Dimensions | None) -> str:
    """What can be said without a configuration."""
    if sizes is None:
        return _NOT_BERT
    markers = {family.marker: name for name, family in families().items() if family.marker}
    for marker, name in markers.items():
        if any(marker in tensor for tensor in source.tensors):
            return f"not told: BERT-like layers with {marker}, as {name} has them"
    if source.layout == "fairseq":
        return "not told: BERT-like layers, but no args of fairseq's with them"
    if source.layout == "openai":
        return "not told: a GPT's layers, but no configuration that goes with them"
    return f"not told: BERT-like layers, but no {configurations.names_beside()} beside them"


def _names(source: TensorSource, state: set[str]) -> dict[str, tuple[str, ...]]:
    """Parameter -> its name, and its variable's where the checkpoint keeps that."""
    variables = source.variable_names()
    return {
        name: (name, variables[name]) if name in variables else (name,)
        for name in source.tensors
        if name not in state
    }


def _position_rows(model: Family) -> int | None:
    """Rows of the checkpoint's table of positions, as the configuration has it."""
    weights = {weight.variable: weight for weight in model.names.weights(model.encoder())}
    weight = weights.get("embeddings/position_embeddings")
    return weight.transform.source_shape(weight.shape)[0] if weight else None


def _by_names(names: dict[str, tuple[str, ...]]) -> Parts:
    """Where no family's tables can be asked."""
    patterns = {"pooler": re.compile(_POOLER)}
    patterns |= {part: re.compile(pattern) for part, pattern in TENSORS.items()}
    return _matching(names, patterns)


def _by_family(source: TensorSource, model: Family, names: dict[str, tuple[str, ...]]) -> Parts:
    poolers = {
        name: part for name, part in model.poolers("pooler").items() if model.names.knows(part)
    }
    tables: dict[str, Sequence[Part]] = {}
    if "checkpoint" in poolers:
        tables["pooler"] = [poolers["checkpoint"]]
    heads = spelled_heads(model)
    tables |= {" or ".join(group): heads[group[0]].parts for group in carried_heads(model)}
    parts: Parts = {name: _count(source, model, table) for name, table in tables.items()}
    for head in heads.values():
        if head.pooler is not None and model.names.knows(head.pooler.part):
            tables[f"pooler of {head.scope}"] = [head.pooler.part]
    claimed = {
        tensor.name
        for table in tables.values()
        for weight in model.names.weights(table)
        if (tensor := source.find(weight.tensor)) is not None
    }
    others = {name: spellings for name, spellings in names.items() if name not in claimed}
    return {name: counts for name, counts in parts.items() if counts[0]} | _matching(
        others, dict(model.other_heads)
    )


def _matching(names: dict[str, tuple[str, ...]], patterns: dict[str, re.Pattern[str]]) -> Parts:
    """Part -> how many tensors are its, each counted for the first part that any name fits."""
    counts = collections.Counter(
        next(
            (part for part, p in patterns.items() if any(map(p.fullmatch, spellings))),
            "",
        )
        for spellings in names.values()
    )
    return {part: (counts[part], None) for part in patterns if counts[part]}


def _count(source: TensorSource, model: Family, parts: Iterable[Any]) -> tuple[int, int]:
    weights = model.names.weights(parts)
    return sum(source.find(weight.tensor) is not None for weight in weights), len(weights)


def _short(error: HubexportError) -> str:
    """An error as a clause: its problem and what was found."""
    found = dict(error.facts).get("found")
    return error.problem + (f" ({found})" if found else "")
