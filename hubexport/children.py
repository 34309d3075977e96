"""Child processes that run this very package."""

from __future__ import annotations

import os

from hubexport.paths import PACKAGE


def child_environment() -> dict[str, str]:
    """This process's environment, in which `python -m hubexport...` is this package.

    Also from another directory, and where it was not installed but found.
    """
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
