"""How numbers are written on pages."""

from __future__ import annotations

import math


def millions(value: float) -> str:
    """Three digits are enough to compare sizes: 4.39 M, 110 M."""
    return f"{significant(value / 1e6)} M"


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.125, 4.39, 1,230."""
    if value == 0:
        return "0"
    places = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exponent(value: float) -> str:
    """An error: 2.71e-07; 0 where there is none."""
    return "0" if value == 0 else f"{value:.2e}"
