"""Drawings as inline SVG whose colours and letters are those of the page around them.

matplotlib draws in colours that stand for roles; the SVG gets the page's CSS variables for them, so
that one drawing does for light and dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from hubexport.packages import needed_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#0a0b01", "#0a0b02", "#0a0b03"
SERIES = tuple(f"#0a0c{number:02x}" for number in range(1, 7))
MARKERS = ("o", "s", "^", "D", "v", "P")
GLYPHS = ("●", "■", "▲", "◆", "▼", "✚")
_VARIABLES = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    GRID: "var(--line)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hubexport",
    "text.parse_math": False,  # a name with two dollar signs is not a formula
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Plot:
    """A drawing and the same figures as a table.

    Attributes:
      name: unique on its page.
      title, description: what is shown, in words.
      svg: the drawing.
      legend: (number of the series, glyph, text); empty where there is nothing to tell apart.
      columns, rows: the table; the first column names the rows.
      note: what else is drawn; empty where that is all.
    """

    name: str
    title: str
    description: str
    svg: Markup
    legend: tuple[tuple[int, str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@contextmanager
def canvas(width: int, height: int) -> Iterator[Figure]:
    """An empty figure, in pixels; draw while the context is open, whatever settings users have."""
    with needed_by("--format=html", "matplotlib"):
        import matplotlib.style
        from matplotlib.figure import Figure
    with matplotlib.style.context(["default", _SETTINGS]):
        yield Figure(figsize=(width / 72, height / 72), dpi=72)


def as_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The SVG element, named for those who do not see it. Call it inside `canvas`."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    written = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(written, metadata=no_metadata)
    svg = written.getvalue()
    view = re.search(r'viewBox="[^"]+"', svg)
    assert view is not None
    content = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    content = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", content, flags=re.DOTALL)
    # Several drawings may be on one page.
    content = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", content)
    for colour, variable in _VARIABLES.items():
        content = content.replace(colour, variable)
    return Markup(
        f'<svg {view[0]} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{content.strip()}</svg>'
    )


def power_of_ten(value: float) -> str:
    """1e-07 as 10⁻⁷; what is not a power of ten, with its factor."""
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = round(value / 10**exponent)
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if factor == 1 else f"{factor}·{power}"


def round_ticks(values: Sequence[float]) -> list[float]:
    """1, 2, 5, 10, ... between the least and the greatest value, for a logarithmic axis."""
    least, most = min(values), max(values)
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [tick for tick in ticks if least <= tick <= most] or [least]
