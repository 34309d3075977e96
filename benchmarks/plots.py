"""Plots of benchmarks, as SVG files beside the document that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interleaving import ratio
from report import timings, title

_COLOURS = {
    "hubexport": "#0b5cad",
    "bfloat16": "#7a3b9a",
    "bfloat16 stored": "#a56cc1",
    "products": "#8a8f98",
    "transformers": "#f2cdb4",
    "transformers compiled": "#e3a177",
    "transformers bfloat16": "#d68850",
}
_LIGHT = ("transformers",)  # the beginning of names on whose colours text is black
_BAR = 0.15  # inches
_GAP = 0.7  # bars


def speed_up(entry: Mapping[str, Any], path: Path) -> None:
    """Bars: how many times as fast as the peer everyone is, with the spread of the turns.

    Preprocessing alone is left out: its ratio would dwarf all others.
    """
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "hubexport", "svg.fonttype": "none"})
    groups = [
        (task, found)
        for task, found in timings(entry)
        if "peer" in found and task.call != "preprocessing"
    ]
    length = sum(len(found) - 1 + _GAP for _, found in groups)
    figure, axes = plt.subplots(figsize=(9, _BAR * length + 1))
    centres, place = [], 0.0
    for _, found in groups:
        others = [name for name in found if name != "peer"]
        centres.append(place + (len(others) - 1) / 2)
        for name in others:
            low, middle, high = ratio(found[name], found["peer"])
            axes.barh(
                place, middle, 0.95, color=_COLOURS[name],
                xerr=[[middle - low], [high - middle]], error_kw={"elinewidth": 0.8},
                ecolor="#333",
            )  # fmt: skip
            axes.text(0.02, place, name, va="center", fontsize=6,
                      color="black" if name.startswith(_LIGHT) else "white")  # fmt: skip
            place += 1
        place += _GAP
    axes.set_yticks(centres, [title(task) for task, _ in groups], fontsize=8)
    axes.set_ylim(place - _GAP - 0.3, -0.7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times as fast as tf-models-official's export")
    axes.set_title(entry["model"])
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
