"""google-research/bert's fine-tuned checkpoints, and what their heads give by its formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.oracles import model_garden
from tests.oracles.inputs import Tensors
from tests.tiny import TASKS


def write_fine_tuned(
    sizes: model_garden.Sizes, directory: Path, task: str, *, slots: bool = True
) -> tuple[Path, Callable[[Tensors], dict[str, Any]]]:
    """A checkpoint as google-research/bert's fine-tuning leaves it, bert_config.json beside it.

    Args:
      sizes: of the model.
      directory: for the files.
      task: a key of `TASKS`.
      slots: whether with Adam's, and the step.

    Returns:
      Its prefix, and a function of a batch for `encoder_outputs`, `sequence_output` and
      `pooled_output`, by Model Garden with the same weights, and the task's logits.
    """
    pretrained = directory / "pretrained"  # which Model Garden's converter needs the heads of
    pretrained.mkdir()
    model_garden.write_tf1_checkpoint(sizes, pretrained / "bert_model.ckpt", slots=False)
    files = model_garden.write_configuration("bert_config.json", sizes, directory)
    model = model_garden.converted_tf1(
        files["bert_config"], pretrained / "bert_model.ckpt", pretrained
    )
    prefix = directory / "model.ckpt-1000"
    values = model_garden.write_tf1_checkpoint(sizes, prefix, task=task, slots=slots)

    def expected(batch: Tensors) -> dict[str, Any]:
        outputs = dict(model_garden.expected_outputs(model, batch))
        del outputs["mlm_logits"]
        return outputs | task_logits(task, values, outputs)

    return prefix, expected


def task_logits(task: str, values: Tensors, outputs: dict[str, Any]) -> Tensors:
    """What google-research/bert's fine-tuned heads make of an encoder's outputs.

    Args:
      task: a key of `TASKS`.
      values: of `model_garden.write_tf1_checkpoint`.
      outputs: `pooled_output` [B, H] and `sequence_output` [B, S, H].

    Returns:
      `classifier_logits` [B, C], as run_classifier.create_model, or `start_logits` and
      `end_logits` [B, S], as run_squad.create_model.
    """
    scope, _ = TASKS[task]
    weights, bias = values[f"{scope}output_weights"], values[f"{scope}output_bias"]
    if task == "run_classifier":
        return {"classifier_logits": outputs["pooled_output"] @ weights.T + bias}
    start, end = np.moveaxis(outputs["sequence_output"] @ weights.T + bias, -1, 0)
    return {"start_logits": start, "end_logits": end}
