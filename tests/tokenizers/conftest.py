"""Real data for the tests, where it is."""

import os
from pathlib import Path

import pytest

_ROOT = Path(
    os.environ.get("HUBEXPORT_MATERIAL", Path(__file__).parents[3] / "shared" / "material")
)


@pytest.fixture(scope="session")
def material():
    """Path of a file of the test material; skips the test where that is not installed."""

    def path(name: str) -> Path:
        if not (_ROOT / name).exists():
            pytest.skip(f"no test material {name}; HUBEXPORT_MATERIAL tells where it is")
        return _ROOT / name

    return path
