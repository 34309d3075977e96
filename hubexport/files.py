"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """The name of a file to write, beside `path`, which it replaces when the block ends.

    The directory is made. Where the block raises, what was at `path` is still there.

    Raises:
      OSError: one cannot be made, or not be renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp's, which only the user may read, whatever the umask says.
    partial = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
