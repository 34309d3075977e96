"""Tasks on artifacts that are loaded, without being exported: for every option of theirs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops

import hubexport
from hubexport.pipelines.graph.batches import Batches
from hubexport.pipelines.graph.function import Parts
from hubexport.pipelines.registry import tasks
from hubexport.pipelines.task import Found, TaskOptions


def ask(
    pipeline: Path, task: str, texts: Sequence[Sequence[str]], length: int, **options: Any
) -> dict[str, Any]:
    """What a task with other options gives for texts [B] each, by the parts of a pipeline.

    Args:
      pipeline: any, of a model that has what the task needs.
      length: tokens of a row.
    """
    record = hubexport.load_record(pipeline)
    tokenizer = record["preprocessor"]["tokenizer"]
    loaded = _loaded(pipeline)
    parts = Parts(loaded.encoder, loaded.preprocessor, tokenizer, length)
    found = Found(("--encoder", "E"), record["encoder"], None)
    made = tasks()[task](found, TaskOptions(**options), length)
    assert not made.lacking_in_text(tokenizer)
    (function, *_) = made.build(parts).functions.values()

    @tf.function(autograph=False)
    def answer(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = Batches(parts, 7)(given, function, False)
        return {
            name: each.to_tensor() if isinstance(each, tf.RaggedTensor) else each
            for name, each in outputs.items()
        }

    outputs = answer(*(tf.constant(each) for each in texts))
    return {name: each.numpy() for name, each in outputs.items()}


@functools.lru_cache(maxsize=1)  # tests come in the order of their artifacts, which nobody changes
def _loaded(pipeline: Path) -> Any:
    return tf.saved_model.load(str(pipeline))
