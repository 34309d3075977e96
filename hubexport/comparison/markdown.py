"""A comparison as an entry of a changelog in Markdown, which a model's page can end with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubexport.comparison.changes import ADDED, CHANGED, REMOVED, Change
from hubexport.comparison.outputs import OutputChange
from hubexport.comparison.result import Comparison
from hubexport.comparison.variables import VariableChange
from hubexport.comparison.wording import (
    alone,
    counted,
    cut,
    groups,
    number,
    of_norm,
    specs,
    value,
    visible,
)

_SHOWN = 8  # bullets of a group, rows of the table
_NOT_NEWS = ("command", "environment", "schema_version", "self_test", "validation")
"""Fields of a record that say nothing of the model."""
_VERSIONS = ("graph_versions", "tensorflow_version")


def render_markdown(comparison: Comparison) -> str:
    """A section `## Changes`; paths of directories, and the pages themselves, are not in it."""
    return "\n".join(["## Changes", "", *_lines(comparison)])


def _lines(comparison: Comparison) -> Iterator[str]:
    if comparison.is_equal:
        yield "- None: the artifacts are identical."
        return
    variables = comparison.variables
    if variables.changes:
        yield f"- Variables: {len(variables.changes):,} of {variables.names:,} differ."
        apart = [each for each in variables.changes if each.distance is None]
        yield from cut([f"  - {_variable(each)}" for each in apart], _SHOWN, "  - {} more")
    else:
        yield f"- Variables: all {counted(variables.names, 'variable')} are the same."
    for name, changes in groups(comparison).items():
        if counting := [each for each in changes if _first(each) not in _NOT_NEWS]:
            yield f"- {name.capitalize()}: {counted(len(counting), 'change')}."
            news = [f"  - {_change(each)}" for each in counting if _is_news(name, each)]
            yield from cut(news, _SHOWN, "  - {} more")
    if comparison.outputs is not None:
        yield from _outputs(comparison.outputs.changes, len(comparison.outputs.compared))
    rows = [(change, distance) for change, distance in variables.furthest if distance.elements]
    if rows:
        yield ""
        yield "| variable | relative difference | largest difference |"
        yield "|---|---|---|"
        for change, distance in rows[:_SHOWN]:
            figures = f"{number(distance.relative)} | {number(distance.largest)}"
            yield f"| {code(change.name)} | {figures} |"


def code(text: str) -> str:
    """Text as code, on one line, also within a table."""
    text = visible(re.sub(r"\s+", " ", text)).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _is_news(group: str, change: Change) -> bool:
    """Whether it is told one by one: how ops and functions have changed is of no use to readers."""
    if group == "key report":
        return False
    if group == "ops":
        return change.status != CHANGED
    if group == "graph":
        return _first(change) in _VERSIONS
    return not change.where.endswith(".bytes")


def _first(change: Change) -> str:
    return change.where.partition(".")[0].partition("[")[0]


def _change(change: Change) -> str:
    where = code(change.where)
    if change.status in (ADDED, REMOVED):
        text = f"{where} is {'new' if change.status == ADDED else 'gone'}"
        return f"{text}: {code(words)}" if (words := alone(change)) else text
    if change.a is None and change.b is None:
        return f"{where} differs"
    return f"{where}: {code(value(change.a))} is now {code(value(change.b))}"


def _variable(change: VariableChange) -> str:
    name = code(change.name)
    if change.status == ADDED:
        return f"{name} is new: {specs(change)}"
    if change.status == REMOVED:
        return f"{name} is gone: {specs(change)}"
    return f"{name}: {specs(change)}"


def _outputs(changes: tuple[OutputChange, ...], compared: int) -> Iterator[str]:
    if not changes:
        yield f"- Outputs: all {compared:,} that were compared are the same."
        return
    yield f"- Outputs: {len(changes):,} of {compared:,} that were compared differ."
    numbers = [(each.distance, each.output) for each in changes if each.distance is not None]
    if numbers:
        distance, name = max(numbers, key=lambda pair: pair[0].relative)
        yield f"  - The furthest is {code(name)}, by {of_norm(distance)}."
