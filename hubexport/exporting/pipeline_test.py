"""Trying out a pipeline that has just been written, before it is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import HubexportError, some_of
from hubexport.pipelines.task import Task
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS

STEPS = 2
"""The artifact is loaded, and has answered every text."""
_CLOSE = 1e-5
"""Largest difference of a text's numbers alone and among others, relative to the largest: sums of
other sizes round otherwise."""
_BYTES = (b"", b"\xff\xfe", b"a\xc3 b", b"a\x00b")


class DifferentAnswersError(HubexportError):
    """The written artifact answers a text otherwise alone than among others."""


def self_test(directory: Path, task: Task, advance: Callable[[], object]) -> dict[str, Any]:
    """Reloads an artifact and asks its signatures for difficult texts, alone and together.

    Returns:
      For the record: `texts` (how many), `largest_difference` of numbers.

    Raises:
      DifferentAnswersError: an answer depends on the other texts of a call.
    """
    import tensorflow as tf

    with tf.device("CPU"):
        loaded = tf.saved_model.load(str(directory))
        advance()
        serve = loaded.signatures["serving_default"]
        (name,) = serve.structured_input_signature[1]
        texts = [*(text.encode() for text in DIFFICULT_TEXTS), *_BYTES]

        def ask(some: list[bytes]) -> Mapping[str, Any]:
            outputs = serve(**{name: tf.constant(some, tf.string)})
            return {key: value.numpy() for key, value in outputs.items()}

        together, none = ask(texts), ask([])
        alone = [ask([text]) for text in texts]
    advance()
    largest = 0.0
    wrong = [name for name, value in none.items() if len(value)]
    for name, values in together.items():
        apart = np.concatenate([each[name] for each in alone])
        if values.dtype == object:
            continue  # names, which go with the numbers
        largest = max(largest, float(np.max(np.abs(values - apart)) / (np.max(np.abs(apart)) or 1)))
        if values.shape != apart.shape or not largest <= _CLOSE:
            wrong.append(name)
    if wrong:
        raise DifferentAnswersError(
            "texts have other answers alone than in a batch",
            [("task", task.name), ("outputs", some_of(wrong)), ("difference", f"{largest:.1e}")],
            "report this: the artifact was not written.",
        )
    return {"texts": len(texts), "largest_difference": largest}
