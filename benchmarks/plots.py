"""Plots of benchmarks, as SVG files beside the document that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interleaving import Task, Timing, ratio

_COLOURS = {"hubexport": "#0b5cad", "bfloat16": "#7a3b9a", "products": "#8a8f98"}
_OTHERS = "#c2621b"


def speed_up(measured: Mapping[str, Any], title: Any, path: Path) -> None:
    """Bars: how many times as fast as the peer everyone is, with the spread of the turns."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "hubexport", "svg.fonttype": "none"})
    groups: Sequence[Any] = measured["results"]
    names = list(dict.fromkeys(name for _, found in groups for name in found if name != "peer"))
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(groups) * (len(names) + 1) / 3 + 1.2))
    height = 0.8 / len(names)
    for row, (_, found) in enumerate(groups):
        peer = Timing(tuple(found["peer"]))
        for place, name in enumerate(each for each in names if each in found):
            low, middle, high = ratio(Timing(tuple(found[name])), peer)
            axes.barh(
                row + place * height, middle, height, color=_COLOURS.get(name, _OTHERS),
                xerr=[[middle - low], [high - middle]], ecolor="#555",
                alpha=1 if name in _COLOURS else 0.35 + 0.25 * (place % 3),
            )  # fmt: skip
            axes.text(0.02, row + place * height, name, va="center", fontsize=6,
                      color="white" if name in _COLOURS else "black")  # fmt: skip
    axes.set_yticks([row + 0.35 for row in range(len(groups))])
    axes.set_yticklabels([title(Task(**task)) for task, _ in groups], fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as tf-models-official's export")
    axes.set_title(measured["model"])
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
