"""TensorFlow's import, without the optional packages that it would pull in and what it prints."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# TensorFlow Lite's converter, Keras' adapters of data and the lookup of Google's clusters try to
# import these, and do without. None of them is a requirement of TensorFlow's.
_OPTIONAL = ("jax", "scipy", "googleapiclient")
# With it, TensorFlow does not look for Keras 3, which imports pandas, scikit-learn, matplotlib and
# OpenCV where they are.
_KERAS = "TF_USE_LEGACY_KERAS"
_LAYERS = "tensorflow_text.python.keras"  # Keras layers, and with them Keras 3

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_NOTHING = "3"
# TensorFlow 2.21 prints notes while its libraries are loaded, whatever the level is.
_LOG = re.compile(
    rb"[IWEF]\d{4} [\d:.]+|\d{4}-\d\d-\d\d [\d:.]+ [IWEF] |To enable the following instructions"
    rb"|WARNING: All log messages before absl::InitializeLog"
)


@contextlib.contextmanager
def lean_tensorflow() -> Iterator[None]:
    """Within it, the import of TensorFlow, whenever it comes, is a lean and a silent one.

    For processes of one's own that need no Keras and no TensorFlow Lite. Where the optional
    packages are installed, as beside research code, it takes half the time and 250 MiB less;
    afterwards they can be imported as ever. tensorflow_text comes without its Keras layers. Where
    TensorFlow is imported already, nothing changes. Silent as `silent_tensorflow` has it.
    """
    lean = {"tensorflow": (_lean, _silent), "tensorflow_text": (_without_layers, _silent)}
    with _importing(lean):
        yield


@contextlib.contextmanager
def silent_tensorflow() -> Iterator[None]:
    """Within it, TensorFlow's import prints none of its notes if TF_CPP_MIN_LOG_LEVEL is 3."""
    with _importing({"tensorflow": (_silent,)}):
        yield


_Around = Callable[[], AbstractContextManager[None]]


@contextlib.contextmanager
def _importing(around: Mapping[str, Sequence[_Around]]) -> Iterator[None]:
    """Within it, the first import of each of these modules happens within these contexts."""
    finders = [_Finder(name, contexts) for name, contexts in around.items()]
    sys.meta_path[:0] = finders
    try:
        yield
    finally:
        for finder in finders:
            finder.leave()


class _Finder(MetaPathFinder):
    """Finds a module as it would be found without this, once."""

    def __init__(self, module: str, around: Sequence[_Around]):
        self._module, self._around = module, around

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._module:
            return None
        self.leave()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Within(spec.loader, self._around)
        return spec

    def leave(self) -> None:
        """Finds nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class _Within(Loader):
    """Another loader, within contexts."""

    def __init__(self, loader: Loader, around: Sequence[_Around]):
        self._loader, self._around = loader, around

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # As if there had been no other loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with ExitStack() as stack:
            for context in self._around:
                stack.enter_context(context())
            self._loader.exec_module(module)


@contextlib.contextmanager
def _lean() -> Iterator[None]:
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    # None, in the place of a module, is how Python says that there is none.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with _in_environment(_KERAS, "1"):
            yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _without_layers() -> Iterator[None]:
    if _LAYERS in sys.modules:
        yield
        return
    sys.modules[_LAYERS] = ModuleType(_LAYERS)
    try:
        yield
    finally:
        del sys.modules[_LAYERS]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Holds back what is written to stderr; gives on what is not TensorFlow's, or all if it fails.

    Not only Python writes there: the descriptor itself is redirected.
    """
    if os.environ.get(_LOG_LEVEL) != _NOTHING:
        yield
        return
    with tempfile.TemporaryFile() as held, ExitStack() as restored:
        try:
            stderr = os.dup(2)
        except OSError:  # there is none
            yield
            return
        restored.callback(os.close, stderr)
        restored.callback(os.dup2, stderr, 2)
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            restored.close()
            held.seek(0)
            for line in held:
                if failed or not _LOG.match(line):
                    os.write(2, line)


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
