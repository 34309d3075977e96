"""Comparisons in words: what text and Markdown have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hubexport.comparison.changes import ADDED, REMOVED, Change
from hubexport.comparison.norms import Distance
from hubexport.comparison.result import Comparison
from hubexport.comparison.variables import VariableChange

ARROW = "->"
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DIGEST = re.compile("[0-9a-f]{64}")
_LONGEST = 60  # characters of a value
_LONGEST_TEXT = 160  # of a string: warnings are sentences
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "signatures": ("signatures",),
    "objects": ("root", "sub_objects", "objects_of_variables"),
    "ops": ("ops", "required_ops"),
    "graph": (),
}
"""Kinds of changes of a program -> the first parts of their paths; the last takes the rest."""


def groups(comparison: Comparison) -> dict[str, tuple[Change, ...]]:
    """Every change but those of variables, outputs and pages, by kind; kinds without any left out.

    Kinds are in reading order.
    """
    found: dict[str, tuple[Change, ...]] = {
        "configuration": comparison.configuration,
        "key report": comparison.key_report,
    }
    for change in comparison.program:
        first = change.where.partition(".")[0].partition("[")[0]
        kind = next((name for name, parts in _GROUPS.items() if first in parts), "graph")
        found[kind] = (*found.get(kind, ()), change)
    ordered = ("configuration", "key report", *_GROUPS)
    found = {name: found[name] for name in ordered if found.get(name)}
    return found | ({"assets": comparison.assets} if comparison.assets else {})


def summary(comparison: Comparison) -> str:
    """The comparison in a sentence: `identical`, or how much of what differs."""
    variables = comparison.variables
    if comparison.is_equal:
        how = " and ".join(f"{count:,} by their {name}" for name, count in variables.equal.items())
        text = f"identical: {counted(variables.names, 'variable')}"
        return text + (f" ({how})" if how else "") + ", graph, record and files"
    parts = []
    if variables.changes:
        text = f"{len(variables.changes):,} of {counted(variables.names, 'variable')} differ"
        for change, distance in variables.furthest[:1]:
            text += f", the furthest {change.name} by {of_norm(distance)}"
        parts.append(text)
    parts += [f"{name}: {len(found):,}" for name, found in groups(comparison).items()]
    if comparison.outputs is not None and comparison.outputs.changes:
        outputs = comparison.outputs
        parts.append(f"outputs: {len(outputs.changes):,} of {len(outputs.compared):,}")
    if comparison.page:
        parts.append(f"page: {counted(len(comparison.page), 'line')}")
    return "; ".join(parts)


def counted(count: int, noun: str) -> str:
    """`1 variable`, `199 variables`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def number(value: float) -> str:
    """Two or three digits."""
    return f"{value:.3g}" if value == 0 or 0.01 <= abs(value) < 10_000 else f"{value:.1e}"


def of_norm(distance: Distance) -> str:
    """How far, relative to a's norm."""
    return f"{number(distance.relative)} of its norm"


def value(found: Any) -> str:
    """A value of a record in a few characters, on one line."""
    if isinstance(found, dict) and found.keys() == {"bytes", "sha256"}:
        return f"{counted(found['bytes'], 'byte')}, SHA-256 {value(found['sha256'])}"
    if isinstance(found, dict) and found and all(type(each) is int for each in found.values()):
        return ", ".join(counted(each, name.removesuffix("s")) for name, each in found.items())
    if isinstance(found, str) and _DIGEST.fullmatch(found):
        return f"{found[:12]}..."
    text = json.dumps(found, ensure_ascii=False)
    if isinstance(found, str) and text == f'"{found}"' and found:
        text = found
    longest = _LONGEST_TEXT if isinstance(found, str) else _LONGEST
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


def from_to(change: Change) -> str:
    """What was there, and what is there now; "" where a path says it all."""
    if change.status in (ADDED, REMOVED):
        text = alone(change)
    elif change.a is None and change.b is None:
        return change.detail
    else:
        text = f"{value(change.a)} {ARROW} {value(change.b)}"
    return f"{text} ({change.detail})" if change.detail else text


def alone(change: Change) -> str:
    """What only one has; "" for what has many fields."""
    found = change.b if change.status == ADDED else change.a
    text = value(found)
    return "" if isinstance(found, dict | list) and text.endswith(" ...") else text


def specs(change: VariableChange) -> str:
    """dtype and shape, before and after where these differ."""
    if change.a is None or change.b is None:
        return str(change.a or change.b)
    parts = [str(change.a) if str(change.a) == str(change.b) else f"{change.a} {ARROW} {change.b}"]
    if change.a.trainable != change.b.trainable:
        parts.append(f"trainable {value(change.a.trainable)} {ARROW} {value(change.b.trainable)}")
    return ", ".join(parts)


def visible(text: str) -> str:
    """Text on one line whose control characters, which steer terminals, are seen instead."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def cut(lines: Sequence[str], shown: int, more: str) -> Iterable[str]:
    """The first lines, and how many were left out."""
    yield from lines[:shown]
    if len(lines) > shown:
        yield more.format(f"{len(lines) - shown:,}")
