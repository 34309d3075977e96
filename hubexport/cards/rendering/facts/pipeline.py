"""What the templates of a pipeline's page read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubexport.cards import casing
from hubexport.cards.rendering.facts.encoder import EncoderFacts
from hubexport.cards.rendering.facts.model import Facts, Record, source_files_of
from hubexport.cards.rendering.filters import quoted
from hubexport.cards.rendering.measured import Throughput, Validation
from hubexport.cards.schema import PipelineCard, PreprocessorCard
from hubexport.pipelines.registry import tasks

_LINE = 72  # characters of a list in a program


@dataclass(frozen=True)
class PipelineFacts(Facts):
    """Of a pipeline.

    Attributes:
      encoder: of the encoder that it holds, by that one's card and its part of the record.
    """

    card: PipelineCard
    encoder: EncoderFacts

    @property
    def preprocessor(self) -> PreprocessorCard:
        return self.encoder.preprocessor

    @property
    def measured(self) -> str:
        return "its encoder"

    @property
    def casing(self) -> str:
        return casing.words(casing.known(self.told.casing, self.encoder.beside.get("tokenizer")))

    @property
    def purpose(self) -> str:
        """What it gives: `a vector for each text`."""
        return tasks()[self.card.task].purpose

    @property
    def task(self) -> Record:
        """What the record says of its task."""
        return Record(self.record.get("task") or {})

    @property
    def signatures(self) -> Mapping[str, Mapping[str, Any]]:
        """Name -> `inputs` and `outputs`, each a name -> `dtype` and `shape`."""
        return (self.record.get("saved_model") or {}).get("signatures") or {}

    @property
    def example(self) -> Mapping[str, Any]:
        """Texts that it was asked for, `inputs`, and its answers, `outputs`."""
        return self.record.get("example") or {}

    def asked(self, most: int | None = None) -> str:
        """The example's texts as Python's argument of the pipeline, at most so many of them."""
        columns = [_constant(texts[:most]) for texts in self.example["inputs"].values()]
        return columns[0] if len(columns) == 1 else _wrapped("[", columns, "]")

    def named(self, most: int | None = None) -> str:
        """The same as the arguments of a signature."""
        inputs = self.example["inputs"].items()
        return ", ".join(f"{name}={_constant(texts[:most])}" for name, texts in inputs)

    @property
    def validations(self) -> list[Validation]:
        return self.encoder.validations

    @property
    def throughputs(self) -> list[Throughput]:
        return self.encoder.throughputs

    @property
    def source_files(self) -> list[tuple[str, Mapping[str, Any]]]:
        found = [*self.encoder.source_files]
        found += [("pipeline", each) for each in self.record.get("files") or []]
        found += source_files_of(self.encoder.beside)
        once: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
        for part, each in found:
            once.setdefault((each["name"], each["sha256"]), (part, each))
        return list(once.values())


def _constant(texts: Sequence[str]) -> str:
    """A tensor of strings, in Python."""
    return _wrapped("tf.constant([", [quoted(text) for text in texts], "])")


def _wrapped(begin: str, items: Sequence[str], end: str) -> str:
    """Python on one line, or an item on each where they are long."""
    line = begin + ", ".join(items) + end
    if len(line) <= _LINE:
        return line
    inside = "".join(f"    {item},\n" for each in items for item in [each.replace("\n", "\n    ")])
    return f"{begin}\n{inside}{end}"
