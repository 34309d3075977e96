"""From two artifacts to the object that TensorFlow saves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.exporting.pipeline_options import PipelineOptions
from hubexport.pipelines.task import Task

Record = Mapping[str, Any]


def write(
    directory: Path,
    places: tuple[Path, Path],
    records: tuple[Record, Record],
    task: Task,
    max_seq_length: int,
    options: PipelineOptions,
) -> None:
    """Saves a pipeline.

    Args:
      directory: to write into.
      places: of encoder and preprocessor.
      records: theirs.
      task: to build.
      max_seq_length: of its rows.
      options: what else is asked for.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops

    from hubexport.pipelines.graph.batches import Batches
    from hubexport.pipelines.graph.function import Built, Parts
    from hubexport.pipelines.graph.root import pipeline_root
    from hubexport.saved_model.saving import apart, save

    def load() -> tuple[Parts, Built]:
        with tf.device("CPU"):
            encoder, text = (tf.saved_model.load(str(place)) for place in places)
            _restore(encoder, records[0], text)
            parts = Parts(encoder, text, records[1]["tokenizer"], max_seq_length)
            return parts, task.build(parts)

    parts, built = apart(load)
    batches = Batches(parts, options.batch_size)
    save(lambda: pipeline_root(parts, built, batches), directory)


def _restore(encoder: Any, record: Record, text: Any) -> None:
    """What a loaded encoder would lose, or have twice, when it is saved again.

    Loaded, a head's labels are a tensor, which is not saved as an attribute. Files that the
    preprocessor has, too, are made the same.
    """
    from hubexport.pipelines.graph.function import constant

    for name, head in record["heads"].items():
        if head["labels"]:
            getattr(encoder, name).labels = constant(head["labels"])
    for name in (record["tokenizer"] or {}).get("files", {}):
        if hasattr(encoder, name) and hasattr(text.tokenize, name):
            setattr(encoder, name, getattr(text.tokenize, name))
