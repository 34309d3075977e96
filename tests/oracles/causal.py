"""transformers' GPT and GPT-2 of every class, tiny and random, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers

from tests.oracles.inputs import Tensors

SIZES: Mapping[str, Any] = {
    "vocab_size": 50,
    "n_embd": 16,
    "n_layer": 3,
    "n_head": 2,
    "n_positions": 12,
    "pad_token_id": 3,
    "bos_token_id": 1,
    "eos_token_id": 1,
}

HEADS: Mapping[str, tuple[str, ...]] = {
    "Model": ("lm",),
    "LMHeadModel": ("lm",),
    "DoubleHeadsModel": ("lm", "double_heads"),
    "ForSequenceClassification": ("classifier",),
    "ForTokenClassification": ("token_classifier",),
    "ForQuestionAnswering": ("qa",),
}
"""End of a class's name -> the heads of its artifact."""

CLASSES: Mapping[str, str] = {
    **{
        f"OpenAIGPT{end}": end
        for end in ("Model", "LMHeadModel", "DoubleHeadsModel", "ForSequenceClassification")
    },
    **{f"GPT2{end}": end for end in HEADS},
}
"""Class -> the end of its name, a key of `HEADS`."""


def build(name: str, **config: Any) -> transformers.PreTrainedModel:
    """A tiny model, every weight random, as float32.

    Args:
      name: of the class, one of `CLASSES`.
      **config: what differs from `SIZES`.
    """
    model_class = getattr(transformers, name)
    classes = {"num_labels": 5} if CLASSES[name].startswith("For") else {}
    model = model_class(
        model_class.config_class(**{**SIZES, **classes, **config}, attn_implementation="eager")
    )
    generator = np.random.default_rng(7)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            around = 1.0 if ".ln_" in key and key.endswith("weight") else 0.0
            value = around + 0.4 * generator.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))
    return model.eval()


def arguments(batch: Tensors) -> dict[str, Any]:
    """What the encoder is called with: positions are counted from each text's first token."""
    mask = batch["input_mask"]
    first = mask.argmax(axis=-1)[..., np.newaxis]
    positions = np.maximum(np.arange(mask.shape[-1]) - first, 0)
    given = {
        "input_ids": batch["input_word_ids"], "attention_mask": mask, "position_ids": positions,
    }  # fmt: skip
    return {key: torch.from_numpy(np.asarray(value)).long() for key, value in given.items()}


def expected_outputs(model: transformers.PreTrainedModel, batch: Tensors) -> dict[str, Any]:
    """The outputs under the names of the exported artifact, of those that the model has.

    Args:
      model: of `build`.
      batch: `input_word_ids`, `input_mask`, int [B, S]; `lm_positions` [B, N].

    Returns:
      `encoder_outputs`, a list of [B, S, H], and the head's: `lm_logits` [B, N, V] and what is
      made of them, or `classifier_logits` [B, C], `token_logits`, `start_logits`, `end_logits`.
      What GPT says of padding in front of a text, where nothing can be seen, is not 0 or the same
      in any two programs.
    """
    end = CLASSES[type(model).__name__]
    given, mask = arguments(batch), batch["input_mask"]
    with torch.no_grad():
        base = getattr(model, "transformer", model)
        encoded = base(**given, output_hidden_states=True, return_dict=True)
        layers = [layer.numpy() for layer in encoded.hidden_states[1:]]
        expected: dict[str, Any] = {"encoder_outputs": layers, "sequence_output": layers[-1]}
        if end in ("LMHeadModel", "DoubleHeadsModel"):
            logits = model(**given, return_dict=True).logits
            expected |= of_logits(logits, batch)
        elif end == "ForSequenceClassification":
            # It takes the last id that is not padding's, and is to take the last token.
            last = torch.from_numpy((np.arange(mask.shape[1]) * mask).argmax(axis=1))
            scores = model.score(encoded.last_hidden_state)
            expected["classifier_logits"] = scores[torch.arange(len(last)), last].numpy()
        elif end == "ForTokenClassification":
            expected["token_logits"] = model(**given, return_dict=True).logits.numpy()
        elif end == "ForQuestionAnswering":
            outputs = model(**given, return_dict=True)
            expected["start_logits"] = outputs.start_logits.numpy()
            expected["end_logits"] = outputs.end_logits.numpy()
    return expected


def of_logits(logits: torch.Tensor, batch: Tensors) -> dict[str, np.ndarray]:
    """Logits [B, S, V] at `lm_positions`, and log-probabilities of tokens that follow tokens."""
    ids, mask = batch["input_word_ids"], batch["input_mask"]
    of_pieces = torch.log_softmax(logits.double(), dim=-1).numpy()
    of_tokens = np.zeros(ids.shape)
    for row, column in np.argwhere(mask[:, 1:] * mask[:, :-1]):
        of_tokens[row, column + 1] = of_pieces[row, column, ids[row, column + 1]]
    return {
        "lm_logits": np.take_along_axis(logits.numpy(), batch["lm_positions"][:, :, None], axis=1),
        "token_log_probs": of_tokens.astype(np.float32),
        "sequence_log_probs": of_tokens.sum(axis=1).astype(np.float32),
    }
