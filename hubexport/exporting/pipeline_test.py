"""Trying out a pipeline that has just been written, before it is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import HubexportError, some_of
from hubexport.exporting.pipeline_example import answered_example
from hubexport.exporting.pipeline_serving import replay
from hubexport.pipelines.task import Task
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS

STEPS = 2
"""The artifact is loaded, and has answered every text."""
_CLOSE = 1e-5
"""Largest difference of a text's numbers alone and among others, relative to the largest: sums of
other sizes round otherwise."""
_ONE_IN = 25
"""Of so many texts one may have another answer, of tasks that choose: two may be as likely."""
_BYTES = (b"", b"\xff\xfe", b"a\xc3 b", b"a\x00b")


class DifferentAnswersError(HubexportError):
    """The written artifact answers a text otherwise alone than among others."""


def self_test(
    directory: Path, task: Task, tokenizer: Mapping[str, Any], advance: Callable[[], object]
) -> dict[str, Any]:
    """Reloads an artifact and asks its signatures for difficult texts, alone and together.

    Args:
      directory: the artifact.
      task: of it.
      tokenizer: its part of the preprocessor's record.
      advance: called after each of the `STEPS`.

    Returns:
      For the record: `self_test`, with `texts` (how many), `largest_difference` of numbers, and of
      how many texts something else was chosen, `chosen_differently`; and `example`, of
      `answered_example`.

    Raises:
      DifferentAnswersError: an answer depends on the other texts of a call.
      WarmupError: a request with which servers warm up fails.
    """
    import tensorflow as tf

    with tf.device("CPU"):
        loaded = tf.saved_model.load(str(directory))
        advance()
        replay(directory, loaded)
        serve = loaded.signatures["serving_default"]
        names = sorted(serve.structured_input_signature[1])
        texts = [*(text.encode() for text in DIFFICULT_TEXTS), *_BYTES]
        # Of two texts, short with long.
        given = [[*texts[5 * i :], *texts[: 5 * i]] for i in range(len(names))]

        def ask(*some: list[bytes]) -> Mapping[str, Any]:
            tensors = (tf.constant(each, tf.string) for each in some)
            outputs = serve(**dict(zip(names, tensors, strict=True)))
            return {key: value.numpy() for key, value in outputs.items()}

        together, none = ask(*given), ask(*([] for _ in names))
        alone = [ask(*([text] for text in each)) for each in zip(*given, strict=True)]
        shown = answered_example(serve, task, tokenizer)
    advance()
    largest, different = 0.0, np.zeros(len(texts), bool)
    wrong = [name for name, value in none.items() if len(value)]
    for name, values in together.items():
        # Names, places and ids go with their scores, and exchange them where two are equal.
        if not (values.dtype == np.float32 or name.startswith("num_")):
            continue
        apart = _together([each[name] for each in alone])
        if values.shape != apart.shape:
            wrong.append(name)
            continue
        differences = np.abs(values - apart).reshape(len(texts), -1).max(axis=1, initial=0)
        differences = differences / (np.max(np.abs(apart), initial=0) or 1)
        close = differences <= _CLOSE
        largest = max(largest, float(np.max(differences, where=close, initial=0)))
        different |= ~close
        if np.sum(~close) > (len(texts) // _ONE_IN if task.chooses else 0):
            wrong.append(name)
            largest = max(largest, float(np.max(differences)))
    if wrong:
        raise DifferentAnswersError(
            "texts have other answers alone than in a batch",
            [("task", task.name), ("outputs", some_of(wrong)), ("difference", f"{largest:.1e}")],
            "report this: the artifact was not written.",
        )
    tested = {
        "texts": len(texts),
        "largest_difference": largest,
        "chosen_differently": int(np.sum(different)),
    }
    return {"self_test": tested, "example": shown}


def _together(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs [1, ...] of texts as one, filled up with zeros where they have fewer columns."""
    shape = np.max([row.shape for row in rows], axis=0)
    return np.concatenate(
        [np.pad(row, [(0, most - size) for most, size in zip(shape, row.shape, strict=True)])
         for row in rows]
    )  # fmt: skip
