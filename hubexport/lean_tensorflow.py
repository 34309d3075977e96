"""TensorFlow without the packages that its import takes along where they happen to be installed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# TensorFlow Lite's converter, Keras' adapters of data and the lookup of Google's clusters try to
# import these, and do without. None of them is a requirement of TensorFlow's.
_OPTIONAL = ("jax", "scipy", "googleapiclient")
# With it, TensorFlow does not look for Keras 3, which imports pandas, scikit-learn, matplotlib and
# OpenCV where they are.
_KERAS = "TF_USE_LEGACY_KERAS"


@contextlib.contextmanager
def lean_tensorflow() -> Iterator[None]:
    """Within it, the import of TensorFlow, whenever it comes, is a lean one.

    For processes of one's own that need no Keras and no TensorFlow Lite. Where the optional
    packages are installed, as beside research code, it takes half the time and 250 MiB less;
    afterwards they can be imported as ever. Where TensorFlow is imported already, nothing changes.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.leave()


class _Finder(MetaPathFinder):
    """Finds TensorFlow as it would be found without this, once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        self.leave()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Lean(spec.loader)
        return spec

    def leave(self) -> None:
        """Finds nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class _Lean(Loader):
    """Another loader, with the optional packages out of sight."""

    def __init__(self, loader: Loader):
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # As if there had been no other loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _out_of_sight(), _in_environment(_KERAS, "1"):
            self._loader.exec_module(module)


@contextlib.contextmanager
def _out_of_sight() -> Iterator[None]:
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    # None, in the place of a module, is how Python says that there is none.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _in_environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
