"""Real data for tests, where it is: HUBEXPORT_MATERIAL, or shared/material beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / "shared" / "material"
_ROOT = Path(os.environ.get("HUBEXPORT_MATERIAL", _BESIDE))


def material(name: str) -> Path:
    """A file or directory of the material; skips the test where that is not there."""
    if not (_ROOT / name).exists():
        pytest.skip(f"no test material {name}; HUBEXPORT_MATERIAL tells where it is")
    return _ROOT / name
