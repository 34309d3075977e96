"""Processes of one's own that run this very package."""

from __future__ import annotations

import os
from pathlib import Path

import hubexport


def child_environment() -> dict[str, str]:
    """This process's environment, in which `python -m hubexport...` is this package.

    Also from another directory, and where it was not installed but found.
    """
    root = str(Path(hubexport.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
