"""How fast the models of a grid are: parameters against measured throughput."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hubexport.cards.site.drawing import (
    GLYPHS,
    MARKERS,
    QUIET,
    SERIES,
    Plot,
    as_svg,
    canvas,
    round_ticks,
)
from hubexport.cards.site.summaries import Grid, Summary, millions, significant

_WIDTH, _HEIGHT = 400, 320


@dataclass(frozen=True, order=True)
class _Setting:
    """What was measured on; only figures of the same setting can be compared."""

    device: str
    hardware: str
    batch_size: int
    sequence_length: int
    texts: str = ""
    tokens_per_text: float = 0.0
    skips_padding: bool = False

    def __str__(self) -> str:
        where = f"{self.hardware} ({self.device.upper()}), batches of {self.batch_size}"
        if not self.texts:
            return f"{where} sequences of {self.sequence_length} tokens"
        padding = "skipped" if self.skips_padding else "computed"
        return (
            f"{where} {self.texts} of {significant(self.tokens_per_text)} tokens, padded to "
            f"{self.sequence_length}, padding {padding}"
        )


@dataclass(frozen=True)
class _Point:
    hidden: int
    layers: int
    parameters: int
    rate: float


def throughput_plots(grid: Grid) -> list[Plot]:
    """One plot for each setting that at least two models were measured in."""
    points: dict[_Setting, list[_Point]] = {}
    for (layers, hidden), summary in sorted(grid.cells.items()):
        # Stated numbers are rounded, and would move points off their lines.
        if summary.parameters is None or summary.stated:
            continue
        for setting, rate in _rates(summary):
            points.setdefault(setting, []).append(_Point(hidden, layers, summary.parameters, rate))
    chosen = [setting for setting in sorted(points) if len(points[setting]) > 1]
    return [_plot(number, each, points[each]) for number, each in enumerate(chosen, 1)]


def _rates(summary: Summary) -> Iterable[tuple[_Setting, float]]:
    found: dict[_Setting, float] = {}
    for entry in summary.record.get("throughput") or []:
        rate = entry.get("sequences_per_second")
        if rate and rate > 0:
            found[_setting(entry, summary.record)] = rate
    return found.items()


def _setting(entry: Any, record: Any) -> _Setting:
    setting = _Setting(
        entry["device"], entry["hardware"], entry["batch_size"], entry["sequence_length"]
    )
    if not (texts := entry.get("texts")):
        return setting
    # What they take depends on how padding is treated, not on sizes alone.
    skips = (record.get("architecture") or {}).get("padding") == "skip"
    return dataclasses.replace(
        setting, texts=texts, tokens_per_text=entry["tokens_per_text"], skips_padding=skips
    )


def _plot(number: int, setting: _Setting, points: list[_Point]) -> Plot:
    name = f"page.throughput-{number}"
    title = f"Throughput on {setting}"
    lines = {
        hidden: [point for point in points if point.hidden == hidden]
        for hidden in sorted({point.hidden for point in points})
    }
    description = (
        "Parameters against sequences per second, both axes logarithmic, a line for each hidden "
        f"size from {min(lines)} to {max(lines)}. From {significant(min(p.rate for p in points))} "
        f"to {significant(max(p.rate for p in points))} sequences per second."
    )
    rows = tuple(
        (f"L-{each.layers}, H-{each.hidden}", f"{each.parameters:,}", significant(each.rate))
        for each in points
    )
    return Plot(
        name=name,
        title=title,
        description=description,
        svg=_svg(name, title, description, lines),
        legend=tuple(
            (index % len(SERIES) + 1, GLYPHS[index % len(GLYPHS)], f"H-{hidden}")
            for index, hidden in enumerate(lines)
        ),
        columns=("Model", "Parameters", "Sequences per second"),
        rows=rows,
    )


def _short(value: float) -> str:
    return millions(value) if value >= 1e6 else significant(value)


def _svg(name: str, title: str, description: str, lines: dict[int, list[_Point]]) -> Any:
    points = [point for line in lines.values() for point in line]
    with canvas(_WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes((0.15, 0.13, 0.82, 0.79))
        axes.set(xscale="log", yscale="log", xlabel="parameters")
        # Above its axis, where it can be read without turning the head.
        axes.set_title("sequences per second", loc="left", x=-0.16, fontsize=11, color=QUIET)
        for index, line in enumerate(lines.values()):
            axes.plot(
                [point.parameters for point in line],
                [point.rate for point in line],
                color=SERIES[index % len(SERIES)],
                marker=MARKERS[index % len(MARKERS)],
            )
        for axis, values, text in (
            (axes.xaxis, [point.parameters for point in points], millions),
            (axes.yaxis, [point.rate for point in points], _short),
        ):
            ticks = round_ticks(values)
            axis.set_ticks(ticks, [text(tick) for tick in ticks])
            axis.set_ticks([], minor=True)
        return as_svg(figure, name, title, description)
