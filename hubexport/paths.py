"""Where the package lies, and what stands for a path in arguments; imports nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
"""The directory of the package."""

PathLike = str | os.PathLike[str]
