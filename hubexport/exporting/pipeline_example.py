"""What a pipeline that has just been written answers to texts that show what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubexport.pipelines.task import Task

_DIGITS = 4
"""Of numbers that people read."""


def answered_example(serve: Any, task: Task, tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """The example of a task, answered.

    Args:
      serve: the signature that is asked.
      task: whose example it is.
      tokenizer: its part of the preprocessor's record.

    Returns:
      For the record: `inputs`, name -> texts, and `outputs`, name -> a value for each text.
    """
    import tensorflow as tf

    inputs = {name: list(texts) for name, texts in task.example(tokenizer).items()}
    named = {name: tf.constant(texts, tf.string) for name, texts in inputs.items()}
    outputs = {name: value.numpy() for name, value in serve(**named).items()}
    first = {
        name: value if value.ndim == 1 else value[:, : task.example_size]
        for name, value in outputs.items()
    }
    answers = {**first, **task.compared(outputs)}
    return {
        "inputs": inputs,
        "outputs": {name: _plain(value.tolist()) for name, value in answers.items()},
    }


def _plain(value: Any) -> Any:
    """For JSON: bytes as text, and numbers with as many digits as tell something."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
