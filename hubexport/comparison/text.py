"""A comparison as `hubexport diff` prints it: a line that sums up, then group by group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hubexport.comparison.changes import ADDED, CHANGED, REMOVED, Change
from hubexport.comparison.norms import Distance
from hubexport.comparison.outputs import OutputChange, Outputs
from hubexport.comparison.result import Comparison
from hubexport.comparison.variables import VariableChange
from hubexport.comparison.wording import (
    counted,
    cut,
    from_to,
    groups,
    number,
    of_norm,
    specs,
    summary,
    visible,
)

SHOWN = 12
"""Lines of a group."""

_MORE = "  ... {} more: --format=json has all"
_SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: " "}


def render_text(comparison: Comparison) -> str:
    """The lines for people; long lists are cut, and say so."""
    return "\n".join(map(visible, _lines(comparison)))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield summary(comparison)
    yield f"  a  {comparison.a}"
    yield f"  b  {comparison.b}"
    for name, changes in groups(comparison).items():
        yield from _group(
            f"{name} ({len(changes):,})",
            [f"{_SIGNS[each.status]} {_change(each)}" for each in changes],
        )
    variables = comparison.variables
    if variables.changes:
        title = f"variables ({len(variables.changes):,} of {variables.names:,})"
        yield from _group(title, _table([_variable(each) for each in _by_distance(comparison)]))
    if comparison.outputs is not None:
        yield from _outputs(comparison.outputs)
    if comparison.page:
        yield from _group(f"page ({counted(len(comparison.page), 'line')})", comparison.page)
    if comparison.notes:
        yield from _group("not compared, or to know", comparison.notes)


def _change(change: Change) -> str:
    words = from_to(change)
    return f"{change.where}: {words}" if words else change.where


def _group(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from cut([f"  {line}" for line in lines], SHOWN, _MORE)


def _by_distance(comparison: Comparison) -> list[VariableChange]:
    """Those with other shapes first, then those whose values are furthest apart."""
    others = [each for each in comparison.variables.changes if each.distance is None]
    return others + [change for change, _ in comparison.variables.furthest]


def _variable(change: VariableChange) -> tuple[str, ...]:
    return (f"{_SIGNS[change.status]} {change.name}", specs(change), _how_far(change))


def _how_far(change: VariableChange) -> str:
    parts = []
    if change.distance is not None:
        parts.append(_distance(change.distance))
    if change.elements is not None and change.b is not None:
        parts.append(f"{change.elements:,} of {counted(math.prod(change.b.shape), 'element')}")
    if change.detail:
        parts.append(change.detail)
    if not parts and change.a == change.b:
        parts.append("the bytes differ")
    return ", ".join(parts)


def _distance(distance: Distance) -> str:
    at = f" at {list(distance.at)}" if distance.at and distance.largest else ""
    return (
        f"{of_norm(distance)} ({number(distance.absolute)}), at most {number(distance.largest)}{at}"
    )


def _outputs(outputs: Outputs) -> Iterator[str]:
    found = f"{len(outputs.changes):,} of {len(outputs.compared):,} differ"
    rows = [
        ("case: output", "from a to b", "from the reference to a", "to b"),
        *(_output(each) for each in _of_interest(outputs)),
    ]
    yield from _group(f"outputs ({found}; reference by {outputs.made_by})", _table(rows))


def _of_interest(outputs: Outputs) -> Sequence[OutputChange]:
    """Those that differ, the furthest first; where none does, all."""
    return sorted(outputs.changes or outputs.compared, key=_order, reverse=True)


def _order(change: OutputChange) -> float:
    return change.distance.relative if change.distance is not None else math.inf


def _output(change: OutputChange) -> tuple[str, ...]:
    name = f"{change.case}: {change.output}" if change.output else change.case
    if change.distance is not None:
        between = _short(change.distance)
    elif change.elements is not None:
        between = f"{counted(change.elements, 'string')} differ"
    else:
        between = change.detail
    return name, between, _short(change.a_reference), _short(change.b_reference)


def _short(distance: Distance | None) -> str:
    """Relative, and the largest absolute."""
    if distance is None:
        return "-"
    return f"{number(distance.relative)} (at most {number(distance.largest)})"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows[: SHOWN + 1], strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
