"""TF-Hub's cache of downloads: where tensorflow_hub looks for a URL before it asks a server.

As tensorflow_hub 0.16.1 has it (`resolver.py`, `compressed_module_resolver.py`): a directory by the
SHA-1 of the URL as it is passed to `hub.load`, and a text beside it that says what it is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from hubexport.publishing.target import write_text

VARIABLE = "TFHUB_CACHE_DIR"


def cache_directory() -> Path:
    """The cache: where the variable says, or in the system's directory for temporary files."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path(tempfile.gettempdir(), "tfhub_modules")


def directory_of(url: str) -> Path:
    """Where a URL's model lies in the cache, or would lie."""
    return cache_directory() / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()


def describe(url: str, directory: Path) -> None:
    """Writes the text that says what a directory of the cache is.

    Raises:
      OSError: it cannot be written.
    """
    write_text(Path(f"{directory}.descriptor.txt"), f"Module: {url}\nPut here by hubexport pull.\n")
