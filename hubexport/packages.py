"""Packages that hubexport does not depend on, and that only some of its work needs."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence

from hubexport.errors import HubexportError

INSTALL_JAX = "pip install 'hubexport[pjrt]', or in an environment of its own jax and numpy alone."
_MODEL_GARDEN = "python -m venv ENV && ENV/bin/pip install 'hubexport[reference-model-garden]'"
_SITE = "pip install 'hubexport[site]'"

_INSTALL = {
    "jax": INSTALL_JAX,
    "matplotlib": _SITE,
    # It pins TensorFlow, so that it goes into an environment of its own.
    "official": _MODEL_GARDEN,
    "pyarrow": "pip install pyarrow",
    "pygments": _SITE,
    "tokenizers": "pip install tokenizers",
    "torch": "pip install 'hubexport[reference-transformers]'",
    # Where no model is run, it needs no PyTorch.
    "transformers": "pip install 'transformers>=5,<6'",
}
"""The first package that something needs -> the command that installs all that it needs."""


class MissingPackageError(HubexportError):
    """A package that something needs is not installed, or cannot be imported."""


@contextlib.contextmanager
def needed_by(what: str, *packages: str) -> Iterator[None]:
    """Imports of optional packages, which take place within.

    Args:
      what: what needs them, as the subject of a sentence: a flag, say.
      packages: all that it imports; the first is a key of `_INSTALL`.

    Raises:
      MissingPackageError: an ImportError was raised within.
    """
    try:
        yield
    except ImportError as error:
        raise _missing(what, packages, str(error)) from error


def check_installed(what: str, *packages: str, otherwise: str = "") -> None:
    """Looks for packages without importing them; for use before long work.

    Args:
      what: as `needed_by` takes it.
      packages: as `needed_by` takes them.
      otherwise: how to do without them, which the error says behind how to install them.

    Raises:
      MissingPackageError: one is not installed.
    """
    missing = [repr(name) for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise _missing(what, packages, f"No module named {', '.join(missing)}", otherwise)


def _missing(
    what: str, packages: Sequence[str], python: str, otherwise: str = ""
) -> MissingPackageError:
    return MissingPackageError(
        f"{what} needs packages that are not installed",
        [("needed", ", ".join(packages)), ("Python", python)],
        f"{_INSTALL[packages[0]]}{otherwise}",
    )
