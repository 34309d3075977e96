"""transformers' models of every family and head, tiny and random, and what they give."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import torch
import transformers

from tests.oracles.inputs import Tensors, random_weight

SIZES: Mapping[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "type_vocab_size": 3,
}
"""BERT's."""

ROBERTA_SIZES: Mapping[str, Any] = {
    **SIZES,
    # Positions are counted from the padding id on, so that 12 tokens fit.
    "max_position_embeddings": 14,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}

DISTILBERT_SIZES: Mapping[str, Any] = {
    "vocab_size": 50,
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 24,
    "max_position_embeddings": 12,
}

SIZES_OF: Mapping[str, Mapping[str, Any]] = {
    "bert": SIZES,
    "roberta": ROBERTA_SIZES,
    "xlm-roberta": ROBERTA_SIZES,
    "camembert": ROBERTA_SIZES,
    "distilbert": DISTILBERT_SIZES,
}
"""`model_type` -> what a tiny model of it is configured with."""

LOGITS: Mapping[str, Mapping[str, str]] = {
    "Model": {},
    "ForMaskedLM": {"mlm_logits": "logits"},
    "ForPreTraining": {
        "mlm_logits": "prediction_logits",
        "nsp_logits": "seq_relationship_logits",
    },
    "ForNextSentencePrediction": {"nsp_logits": "logits"},
    "ForSequenceClassification": {"classifier_logits": "logits"},
    "ForTokenClassification": {"token_logits": "logits"},
    "ForQuestionAnswering": {"start_logits": "start_logits", "end_logits": "end_logits"},
    "ForMultipleChoice": {"choice_logits": "logits"},
}
"""End of a class's name -> its logits: as exported artifacts call them -> as transformers does."""

FINE_TUNED = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
"""The heads that fine-tuning adds; every family has them."""

CLASSES = (
    *(f"Bert{head}" for head in LOGITS),
    *(
        f"{family}{head}"
        for family in ("Roberta", "XLMRoberta", "Camembert", "DistilBert")
        for head in ("Model", "ForMaskedLM", *FINE_TUNED)
    ),
)

CLASSES_TO_TELL: Mapping[str, int] = {"ForSequenceClassification": 3, "ForTokenClassification": 5}
"""Numbers of classes that no other axis has; questions are answered with two, choices with one."""


def head_of(name: str) -> str:
    """The end of a class's name that tells its head, a key of `LOGITS`."""
    return next(head for head in LOGITS if name.endswith(head))


def longest(model: transformers.PreTrainedModel) -> int:
    """How many tokens the table of positions is enough for."""
    rows = model.config.max_position_embeddings
    from_padding = SIZES_OF[model.config.model_type] is ROBERTA_SIZES
    return rows - model.config.pad_token_id - 1 if from_padding else rows


def encoder_of(model: transformers.PreTrainedModel) -> Any:
    """The model without its head: itself where it has none."""
    return getattr(model, model.base_model_prefix, model)


def build(
    name: str, *, zero_padding_row: bool = False, **config: Any
) -> transformers.PreTrainedModel:
    """A tiny model, every weight random, as float32.

    All models of the same sizes have the same encoder, up to the pooler that some lack.

    Args:
      name: of the class, one of `CLASSES`.
      zero_padding_row: leave the padding's rows of the tables at zero, as training does: that of
        the words, and RoBERTa's row of positions.
      **config: what differs from the family's sizes; also `num_labels` or `id2label`, and
        `problem_type`.
    """
    model_class = getattr(transformers, name)
    sizes = dict(SIZES_OF[model_class.config_class.model_type])
    if head_of(name) in CLASSES_TO_TELL and not {"num_labels", "id2label"} & config.keys():
        sizes["num_labels"] = CLASSES_TO_TELL[head_of(name)]
    model = model_class(
        model_class.config_class(**{**sizes, **config}, attn_implementation="eager")
    )
    generator = np.random.default_rng(4)
    seen = set()
    with torch.no_grad():
        # Some classes list their head first, and tied tables by the head's name.
        for part in (encoder_of(model), model):
            for key, parameter in part.named_parameters():
                if parameter not in seen:
                    value = random_weight(generator, key, tuple(parameter.shape))
                    parameter.copy_(torch.from_numpy(value))
                    seen.add(parameter)
        for module in model.modules():
            if zero_padding_row and getattr(module, "padding_idx", None) is not None:
                table = getattr(module, "weight", None)
                if table is not None:  # RoBERTa's embeddings as a whole have a padding_idx, too
                    table[module.padding_idx] = 0
    return model.eval()


def expected_outputs(model: transformers.PreTrainedModel, batch: Tensors) -> dict[str, Any]:
    """The outputs under the names of the exported artifact, of those that the model has.

    Args:
      model: of `build`, or any of these classes.
      batch: `input_word_ids`, `input_mask` and `input_type_ids`, int [B, S], for multiple choice
        [B, C, S]; `masked_lm_positions`, int [B, N], for a masked language model. Only BERT is
        given the types: DistilBERT has none, RoBERTa one, and what is read adds its row to all.

    Returns:
      `encoder_outputs`, a list of [B, S, H], `sequence_output` [B, S, H], `pooled_output` [B, H]
      where the encoder has a pooler, and the head's logits: `mlm_logits` [B, N, V], `nsp_logits`
      [B, 2], `classifier_logits` [B, C], `token_logits` [B, S, C], `start_logits` and `end_logits`
      [B, S], `choice_logits` [B, C]. Of multiple choice, the encoder's are those of B * C rows.
    """
    names = {"input_word_ids": "input_ids", "input_mask": "attention_mask"}
    if model.config.model_type == "bert":
        names["input_type_ids"] = "token_type_ids"
    with torch.no_grad():
        outputs = model(
            **{theirs: torch.from_numpy(batch[ours]).long() for ours, theirs in names.items()},
            output_hidden_states=True,
            return_dict=True,
        )
        layers = [layer.numpy() for layer in outputs.hidden_states[1:]]
        expected: dict[str, Any] = {"encoder_outputs": layers, "sequence_output": layers[-1]}
        pooler = getattr(encoder_of(model), "pooler", None)
        if pooler is not None:
            expected["pooled_output"] = pooler(outputs.hidden_states[-1]).numpy()
    for ours, theirs in LOGITS[head_of(type(model).__name__)].items():
        logits = outputs[theirs]
        if ours == "mlm_logits":
            rows = torch.arange(logits.shape[0])[:, None]
            logits = logits[rows, batch["masked_lm_positions"]]
        expected[ours] = logits.numpy()
    return expected
