"""What validation measured: the error of every layer and output of an encoder."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from hubexport.cards.site.drawing import (
    GLYPHS,
    INK,
    MARKERS,
    SERIES,
    Plot,
    as_svg,
    canvas,
    power_of_ten,
)
from hubexport.cards.site.summaries import Record, exponent

_NAME = "page.layer-errors"
_WIDTH, _ROW, _BELOW, _ABOVE, _LEFT = 380, 19, 44, 10, 124
_LAYER = re.compile(r"encoder_outputs\[(\d+)\]")
_WORST = re.compile(r"[^:]+: (?P<output>.+), relative Frobenius")


@dataclass(frozen=True)
class _Series:
    """The errors of one gate on one device.

    Attributes:
      label: where, and in which precision.
      relative, absolute: output -> its largest relative Frobenius and absolute error.
      limited, limit: the output that came nearest to its limit, and that; None where not said.
    """

    label: str
    relative: dict[str, float]
    absolute: dict[str, float]
    limited: str | None
    limit: float | None


def error_plot(record: Record) -> Plot | None:
    """The error of each output of each validation, or None where none was measured."""
    series = _series(record)
    outputs = _outputs(series)
    if not any(value > 0 for each in series for value in each.relative.values()):
        return None
    title = "Largest relative error of each layer and output"
    description = _description(series, outputs)
    return Plot(
        name=_NAME,
        title=title,
        description=description,
        svg=_svg(title, description, series, outputs),
        legend=tuple(
            (index % len(SERIES) + 1, GLYPHS[index % len(GLYPHS)], each.label)
            for index, each in enumerate(series)
        ),
        columns=_columns(series),
        rows=tuple((output, *_figures(series, output)) for output in outputs),
        note=f"Dashed: {', '.join(_limits(series))}." if _limits(series) else "",
    )


def _series(record: Record) -> list[_Series]:
    gates = [
        (entry, gate)
        for entry in record.get("validation") or []
        for gate in entry.get("gates") or []
        if gate["name"].startswith("numerics") and gate.get("outputs")
    ]
    return [_one_series(entry, gate) for entry, gate in gates]


def _one_series(entry: Any, gate: Any) -> _Series:
    precision = gate["name"].removeprefix("numerics").strip(" []()")
    worst = gate.get("worst") or {}
    found = _WORST.fullmatch(str(worst.get("what") or ""))
    limit = worst.get("limit") or 0
    is_known = found is not None and _is_figure(limit) and limit > 0
    return _Series(
        ", ".join(filter(None, [entry["hardware"], entry["runtime"], precision])),
        _errors(gate, "relative_frobenius"),
        _errors(gate, "max_abs"),
        found["output"] if is_known and found else None,
        limit if is_known else None,
    )


def _errors(gate: Any, key: str) -> dict[str, float]:
    return {
        output: errors[key]
        for output, errors in gate["outputs"].items()
        if _is_figure(errors.get(key))
    }


def _is_figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _outputs(series: list[_Series]) -> list[str]:
    """All outputs: layers by number, then the others as they come."""
    names = dict.fromkeys(name for each in series for name in (*each.relative, *each.absolute))
    layers = [name for name in names if _LAYER.fullmatch(name)]
    layers.sort(key=lambda name: int(name[len("encoder_outputs[") : -1]))
    return [*layers, *(name for name in names if name not in set(layers))]


def _description(series: list[_Series], outputs: list[str]) -> str:
    found = [value for each in series for value in each.relative.values()]
    text = (
        f"{len(outputs)} layers and outputs, one below the other, against the relative Frobenius "
        f"error, on a logarithmic axis: from {exponent(min(found))} to {exponent(max(found))}."
    )
    limits = _limits(series)
    return f"{text} Dashed: {', '.join(limits)}." if limits else text


def _limits(series: list[_Series]) -> list[str]:
    """Of the outputs that came nearest to their limits; each once."""
    said = [f"limit of {each.limited}, {exponent(each.limit)}" for each in series if each.limit]
    return list(dict.fromkeys(said))


def _columns(series: list[_Series]) -> tuple[str, ...]:
    kinds = ("relative Frobenius", "largest difference")
    if len(series) == 1:
        return ("Output", *kinds)
    return ("Output", *(f"{each.label}: {kind}" for each in series for kind in kinds))


def _figures(series: list[_Series], output: str) -> list[str]:
    return [
        exponent(errors[output]) if output in errors else ""
        for each in series
        for errors in (each.relative, each.absolute)
    ]


def _svg(title: str, description: str, series: list[_Series], outputs: list[str]) -> Any:
    height = _ABOVE + _ROW * len(outputs) + _BELOW
    layers = sum(1 for name in outputs if _LAYER.fullmatch(name))
    with canvas(_WIDTH, height) as figure:
        bottom, room = _BELOW / height, _ROW * len(outputs) / height
        axes = figure.add_axes((_LEFT / _WIDTH, bottom, 1 - (_LEFT + 14) / _WIDTH, room))
        for index, each in enumerate(series):
            colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            xs = [each.relative.get(name) or math.nan for name in outputs]
            axes.plot(xs[:layers], range(layers), color=colour, marker=marker)
            rest = range(layers, len(outputs))
            axes.plot(xs[layers:], rest, color=colour, marker=marker, linestyle="none")
            if each.limit:
                axes.axvline(each.limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xscale="log", ylim=(len(outputs) - 0.5, -0.5), xlabel="relative Frobenius error")
        axes.set_yticks(range(len(outputs)), [_label(name) for name in outputs])
        ticks = _decades(series)
        axes.set_xlim(ticks[0], ticks[-1])
        axes.set_xticks(ticks, [power_of_ten(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        return as_svg(figure, _NAME, title, description)


def _label(output: str) -> str:
    """Only the first layer has its full name; the others are below it."""
    found = _LAYER.fullmatch(output)
    return f"[{found[1]}]" if found and found[1] != "0" else output


def _decades(series: list[_Series]) -> list[float]:
    values = [value for each in series for value in each.relative.values() if value > 0]
    values += [each.limit for each in series if each.limit]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    decades = max(last - first, 1)
    step = math.ceil(decades / 6)
    # The last tick may lie beyond the last decade, but never before it.
    return [10.0 ** (first + step * tick) for tick in range(math.ceil(decades / step) + 1)]
