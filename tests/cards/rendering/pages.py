"""Pages of the whole catalogue, and what is looked at on them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_it import MarkdownIt

from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.parts import Licence
from hubexport.cards.rendering.formats import FORMATS, Files
from hubexport.cards.schema import Card, Model
from hubexport.validation.record_entries import summary
from hubexport.validation.report import Report
from hubexport.validation.results import at_most, judge, not_run
from tests.cards.rendering.programs import ADDRESSES

KINDS = ("encoder", "preprocessor", "pipeline")
# As values: cards may speak of unknown words.
NOTHING = re.compile(
    r"\bNone\b|[Uu]ndefined|\{\{|\}\}|\bN/A\b|\bTBD\b|\bnan\b|[|:(-] ?[Uu]nknown ?(?:[|.),]|$)",
    re.MULTILINE,
)

PASSED = judge(
    "numerics (float32)",
    [
        at_most("plain: sequence_output, relative Frobenius", 1.25e-7, 1e-5),
        at_most("plain: sequence_output, max abs", 3.5e-7, 1e-5),
    ],
)
FAILED = judge("batch", [at_most("rows | alone: pooled_output, max abs", 0.5, 1e-6)])
NOT_RUN = not_run("end to end", "There is no preprocessor.")


def validation(device: str = "cpu") -> dict[str, Any]:
    """An entry of a record, as `validate` writes it."""
    checkpoint = [{"name": "model.ckpt", "bytes": 5, "sha256": "0" * 64}]
    reference = {"source": "x", "made_by": "transformers 5", "checkpoint": checkpoint, "notes": []}
    report = Report(
        artifact={}, runtime="tensorflow", device=device, hardware="A processor, 2 cores",
        versions={"tensorflow": "2.20.0"}, reference=reference, created="2026-11-21T06:30:07Z",
        gates=(PASSED, FAILED, NOT_RUN), precisions={"float32": "float32"},
    )  # fmt: skip
    return summary(report)


def cards(catalogue: Catalogue, kinds: tuple[str, ...]) -> list[Card]:
    tables: tuple[Mapping[str, Card], ...] = (
        catalogue.encoders, catalogue.preprocessors, catalogue.pipelines, catalogue.collections,
        catalogue.publishers,
    )  # fmt: skip
    found = [card for table in tables for card in table.values() if card.kind in kinds]
    members = {card.publisher for card in [*catalogue.encoders.values()]}
    return [
        card
        for card in found
        if catalogue.members(card.handle) or card.kind in KINDS or card.handle in members
    ]


def licence_of(card: Card, catalogue: Catalogue) -> Licence | None:
    """Of a model; None where none is stated."""
    return catalogue.source(card).licence if isinstance(card, Model) else None


def refused(name: str, card: Card, catalogue: Catalogue) -> bool:
    """Whether the format has no page of the model: Kaggle wants a licence that it knows."""
    licence = licence_of(card, catalogue)
    return name == "kaggle" and (licence is None or LICENCES[licence.spdx].kaggle is None)


def rendered(
    name: str, catalogue: Catalogue, records: Mapping[str, Any]
) -> Iterator[tuple[Card, Files]]:
    form = FORMATS[name]
    for card in cards(catalogue, form.kinds):
        if not refused(name, card, catalogue):
            yield card, form.page(card, catalogue, records, ADDRESSES)


def markdown(files: Files) -> Iterator[str]:
    """The texts of a page."""
    for path, text in files.items():
        if path.endswith(".json"):
            yield from (v for k, v in json.loads(text).items() if k in ("overview", "usage"))
        else:
            yield re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)


def empty(text: str) -> Iterator[str]:
    """Headings without anything below them, tables without rows, lists without text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = [token.type for token in tokens]
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        following = tokens[number + 3 :]
        if kind == "heading_open":
            deeper = following and following[0].tag > token.tag
            if not following or (following[0].type == "heading_open" and not deeper):
                yield f"heading {tokens[number + 1].content}"
        elif kind == "table_open" and "tbody_open" not in kinds[number : _closing(kinds, number)]:
            yield "table"
        elif kind == "list_item_open" and kinds[number + 1] == "list_item_close":
            yield "item"
        elif kind == "inline" and not token.content.strip() and kinds[number - 1][0] != "t":
            yield "text"


def _closing(kinds: list[str], number: int) -> int:
    return kinds.index("table_close", number)


def lines_of_tables(text: str) -> tuple[int, int]:
    """(lines that look like a table's, lines that are part of one)."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    code = {line for t in tokens if t.type == "fence" and t.map for line in range(*t.map)}
    lines = [n for n, line in enumerate(text.split("\n")) if line[:1] == "|" and n not in code]
    tables = [t.map for t in tokens if t.type == "table_open" and t.map]
    return len(lines), sum(end - start for start, end in tables)
