"""transformers' XLNet of every class, tiny and random, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers

from tests.oracles.inputs import Tensors

SIZES: Mapping[str, Any] = {
    "vocab_size": 50,
    "d_model": 16,
    "n_layer": 3,
    "n_head": 2,
    "d_inner": 24,
    "pad_token_id": 3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

HEADS: Mapping[str, tuple[str, ...]] = {
    "XLNetModel": (),
    "XLNetLMHeadModel": ("lm",),
    "XLNetForSequenceClassification": ("classifier",),
    "XLNetForTokenClassification": ("token_classifier",),
    "XLNetForQuestionAnsweringSimple": ("qa",),
    "XLNetForQuestionAnswering": ("qa_beam",),
    "XLNetForMultipleChoice": ("multiple_choice",),
}
"""Class -> the heads of its artifact."""


def build(name: str, **config: Any) -> transformers.PreTrainedModel:
    """A tiny model, every weight random, as float32.

    Args:
      name: of the class, one of `HEADS`.
      **config: what differs from `SIZES`.
    """
    model_class = getattr(transformers, name)
    classes = (
        {"num_labels": 5}
        if name.endswith(("SequenceClassification", "TokenClassification"))
        else {}
    )
    config_of = transformers.XLNetConfig(**{**SIZES, **classes, **config})
    model = model_class(config_of)
    generator = np.random.default_rng(7)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            around = 1.0 if key.endswith("layer_norm.weight") else 0.0
            value = around + 0.4 * generator.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))
    return model.eval()


def arguments(batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the encoder is called with; `mems` [B, L, M, H] is a list of [M, B, H] there."""
    given = {
        "input_ids": batch["input_word_ids"],
        "attention_mask": batch["input_mask"],
        "token_type_ids": batch["input_type_ids"],
    }
    tensors: dict[str, Any] = {key: torch.from_numpy(v).long() for key, v in given.items()}
    if "mems" in batch:
        tensors["mems"] = list(torch.from_numpy(batch["mems"]).permute(1, 2, 0, 3))
    return tensors


def expected_outputs(model: transformers.PreTrainedModel, batch: Tensors) -> dict[str, Any]:
    """The outputs under the names of the exported artifact, of those that the model has.

    Args:
      model: of `build`.
      batch: the encoder's inputs, int [B, S]; `perm_mask` and `target_mapping` for a language
        model; `answer_mask` [B, S] and `cls_positions` [B] for questions; `mems` where there is a
        memory.
    """
    given, mask = arguments(batch), batch["input_mask"]
    name = type(model).__name__
    rows = torch.arange(len(mask))
    last = torch.from_numpy((np.arange(mask.shape[1]) * mask).argmax(axis=1))
    with torch.no_grad():
        base = getattr(model, "transformer", model)
        encoded = base(**given, output_hidden_states=True, use_mems=True)
        layers = [layer.numpy() for layer in encoded.hidden_states[1:]]
        expected: dict[str, Any] = {"encoder_outputs": layers, "sequence_output": layers[-1]}
        expected["pooled_output"] = layers[-1][rows, last]
        if "mems" in batch:
            expected["new_mems"] = torch.stack(encoded.mems).permute(2, 0, 1, 3).numpy()
        # The classes take the last place; here it is the last token, wherever that is.
        at_last = encoded.last_hidden_state[rows, last][:, None]
        if name == "XLNetLMHeadModel":
            asked = {
                key: torch.from_numpy(batch[key]).float() for key in ("perm_mask", "target_mapping")
            }
            expected["lm_logits"] = model(**given, **asked).logits.numpy()
        elif name == "XLNetForSequenceClassification":
            summary = model.sequence_summary(at_last)
            expected["classifier_logits"] = model.logits_proj(summary).numpy()
        elif name == "XLNetForMultipleChoice":
            summary = model.sequence_summary(at_last)
            expected["choice_logits"] = model.logits_proj(summary).numpy()
        elif name == "XLNetForTokenClassification":
            expected["token_logits"] = model(**given).logits.numpy()
        elif name == "XLNetForQuestionAnswering" and mask.all() and mask.shape[1] > 5:
            # Of fewer places than there are ranks, each program takes some.
            outputs = model(
                **given, p_mask=1 - torch.from_numpy(batch["answer_mask"]).float(),
                cls_index=torch.from_numpy(batch["cls_positions"]).long(),
            )  # fmt: skip
            for place in ("start_top", "end_top"):
                expected[f"{place}_probs"] = outputs[f"{place}_log_probs"].numpy()
                expected[f"{place}_index"] = outputs[f"{place}_index"].numpy()
            expected["cls_logits"] = outputs.cls_logits.numpy()
        elif name == "XLNetForQuestionAnsweringSimple":
            outputs = model(**given)
            expected["start_logits"] = outputs.start_logits.numpy()
            expected["end_logits"] = outputs.end_logits.numpy()
    return expected
