"""Encoders, heads and preprocessors as Keras 3 layers: `HubLayer`.

Keras and TensorFlow are imported with the layer, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hubexport.errors import HubexportError

if TYPE_CHECKING:
    from hubexport.keras.layer import HubLayer

__all__ = ["HubLayer"]

_OLDEST = (3, 4)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'hubexport.keras' has no attribute {name!r}")
    _check_keras()
    return getattr(importlib.import_module("hubexport.keras.layer"), name)


def _check_keras() -> None:
    """Fails where the Keras that is installed, or its backend, is another than is needed.

    Raises:
      HubexportError: Keras is older than 3.4, or computes with something else than TensorFlow.
    """
    keras: Any = importlib.import_module("keras")
    if tuple(map(int, keras.__version__.split(".")[:2])) < _OLDEST:
        raise HubexportError(
            "HubLayer is a layer of Keras 3",
            [("installed", f"keras {keras.__version__}"), ("needed", "keras 3.4 or newer")],
            "pip install 'keras>=3.4'; in tf_keras, which is Keras 2, use hub.KerasLayer.",
        )
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise HubexportError(
            "HubLayer runs TensorFlow's graphs, and Keras computes with another backend",
            [("Keras' backend", backend), ("needed", "tensorflow")],
            "set the environment variable KERAS_BACKEND=tensorflow before Keras is first imported.",
        )
