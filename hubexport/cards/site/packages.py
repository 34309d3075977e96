"""Packages that only the site needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hubexport.errors import HubexportError


@contextmanager
def needs(package: str) -> Iterator[None]:
    """Imports of an optional package.

    Raises:
      HubexportError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise HubexportError(
            f"the site of model pages needs the package {package}",
            [("import", str(error))],
            "pip install 'hubexport[site]'",
        ) from error
