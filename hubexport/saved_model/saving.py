"""`tf.saved_model.save`, apart from what the calling program does with TensorFlow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

# Internal: TensorFlow traces functions anew in the context in which it saves; traced there
# already, they are traced once. Without it, saving takes longer and gives the same.
from tensorflow.python.saved_model import save_context

from hubexport.errors import ExportPathError, UsageError

_Result = TypeVar("_Result")
_ONE_AT_A_TIME = threading.Lock()  # a setting of the whole program is changed meanwhile


def save(make: Callable[[], tuple[Any, dict[str, Any]]], directory: Path) -> None:
    """Saves the object and the signatures that a function makes.

    Raises:
      ExportPathError: TensorFlow could not write; it has its own words for a full disk, say.
      UsageError: the program has switched eager execution off.
    """
    # Nothing here has custom gradients: saying so spares users a warning about unsaved ones.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)

    def make_and_save() -> None:
        with save_context.save_context(options):
            root, signatures = make()
        tf.saved_model.save(root, str(directory), signatures=signatures, options=options)

    try:
        apart(make_and_save)
    except tf.errors.OpError as error:
        raise ExportPathError(
            "TensorFlow could not write the artifact",
            [("found", error.message)],
            "look at the room on the disk and at the permissions of the target.",
        ) from error


def apart(function: Callable[[], _Result]) -> _Result:
    """Calls a function where graphs, name scopes and devices of the caller are not in force.

    TensorFlow keeps those for each thread; functions that run eagerly, a setting of the whole
    program for debugging, are switched off meanwhile.
    """

    def call() -> _Result:
        if not tf.executing_eagerly():
            raise UsageError(
                "eager execution is switched off in this program",
                hint="export in a process of its own, or before disable_v2_behavior().",
            )
        return function()

    with _ONE_AT_A_TIME:
        eagerly = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(False)
        try:
            with ThreadPoolExecutor(1) as executor:
                return executor.submit(call).result()
        finally:
            tf.config.run_functions_eagerly(eagerly)
