"""transformers' XLM of every class, tiny and random, and what it gives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.oracles.inputs import Tensors

LANGUAGES = {"de": 0, "en": 1, "fr": 2}
SIZES: Mapping[str, Any] = {
    "vocab_size": 50,
    "emb_dim": 16,
    "n_layers": 3,
    "n_heads": 2,
    "max_position_embeddings": 12,
    "n_langs": len(LANGUAGES),
    "lang2id": LANGUAGES,
    "id2lang": {number: name for name, number in LANGUAGES.items()},
    "start_n_top": 3,
    "end_n_top": 2,
}

HEADS: Mapping[str, str] = {
    "XLMModel": "",
    "XLMWithLMHeadModel": "mlm",
    "XLMForSequenceClassification": "classifier",
    "XLMForTokenClassification": "token_classifier",
    "XLMForQuestionAnsweringSimple": "qa",
    "XLMForQuestionAnswering": "qa_beam",
    "XLMForMultipleChoice": "multiple_choice",
}
"""Class -> the head of its artifact; a causal model has `lm` in the place of `mlm`."""

_OF_QUESTIONS = {
    "start_top_probs": "start_top_log_probs",
    "start_top_index": "start_top_index",
    "end_top_probs": "end_top_log_probs",
    "end_top_index": "end_top_index",
    "cls_logits": "cls_logits",
}


def build(name: str, **config: Any) -> transformers.PreTrainedModel:
    """A tiny model, every weight random, as float32.

    Args:
      name: of the class, one of `HEADS`.
      **config: what differs from `SIZES`.
    """
    model_class = getattr(transformers, name)
    classes = {"num_labels": 5} if HEADS[name] in ("classifier", "token_classifier") else {}
    model = model_class(
        transformers.XLMConfig(**{**SIZES, **classes, **config}, attn_implementation="eager")
    )
    generator = np.random.default_rng(7)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            around = 1.0 if "layer_norm" in key and key.endswith("weight") else 0.0
            value = around + 0.4 * generator.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))
    return model.eval()


def encoded(model: transformers.PreTrainedModel, batch: Tensors) -> list[np.ndarray]:
    """The output of every layer, [B, S, H]; 0 at padding.

    Of a causal model each text alone, of its tokens only: transformers' mask does not hide padding
    there. Positions are then counted from the first token.
    """
    base = getattr(model, "transformer", model)
    mask = batch["input_mask"]
    langs = batch.get("input_language_ids")
    layers = [np.zeros((*mask.shape, model.config.emb_dim), np.float32)] * model.config.n_layers
    layers = [layer.copy() for layer in layers]
    rows: list[Any] = list(range(len(mask))) if model.config.causal else [slice(None)]
    for row in rows:
        columns: Any = np.flatnonzero(mask[row]) if model.config.causal else slice(None)
        if model.config.causal and not len(columns):
            continue
        given = {
            "input_ids": batch["input_word_ids"][row][..., columns],
            "attention_mask": mask[row][..., columns],
        }
        if langs is not None:
            given["langs"] = langs[row][..., columns]
        if model.config.causal:
            given["position_ids"] = columns - columns[0]
        tensors = {
            key: torch.from_numpy(np.atleast_2d(value)).long() for key, value in given.items()
        }
        with torch.no_grad():
            states = base(**tensors, output_hidden_states=True, return_dict=True).hidden_states
        for layer, state in zip(layers, states[1:], strict=True):
            layer[row, columns] = state.numpy()
    return layers


class Given(torch.nn.Module):
    """In the place of an encoder: gives what it was made with."""

    def __init__(self, sequence: np.ndarray):
        super().__init__()
        self.outputs = transformers.modeling_outputs.BaseModelOutput(torch.from_numpy(sequence))

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        return self.outputs


def expected_outputs(model: transformers.PreTrainedModel, batch: Tensors) -> dict[str, Any]:
    """The outputs under the names of the exported artifact, of those that the model has.

    Args:
      model: of `build`.
      batch: `input_word_ids`, `input_mask`, perhaps `input_language_ids`, int [B, S];
        `masked_lm_positions` [B, N], `answer_mask` [B, S], `cls_positions` [B].
    """
    layers = encoded(model, batch)
    sequence = layers[-1]
    expected: dict[str, Any] = {
        "encoder_outputs": layers, "sequence_output": sequence, "pooled_output": sequence[:, 0],
    }  # fmt: skip
    head = HEADS[type(model).__name__]
    if not head:
        return expected
    ids = torch.from_numpy(batch["input_word_ids"]).long()
    encoder, model.transformer = model.transformer, Given(sequence)
    try:
        with torch.no_grad():
            if head == "mlm":
                logits = model(ids, return_dict=True).logits
                expected |= _of_logits(logits, batch, causal=model.config.causal)
            elif head in ("classifier", "token_classifier"):
                name = {"classifier": "classifier_logits"}.get(head, "token_logits")
                expected[name] = model(ids, return_dict=True).logits.numpy()
            elif head == "qa":
                outputs = model(ids, return_dict=True)
                expected["start_logits"] = outputs.start_logits.numpy()
                expected["end_logits"] = outputs.end_logits.numpy()
            elif head == "multiple_choice":
                expected["choice_logits"] = model(ids[:, None], return_dict=True).logits.numpy()
            elif ids.shape[1] >= max(model.config.start_n_top, model.config.end_n_top):
                outputs = model(
                    ids,
                    p_mask=1 - torch.from_numpy(batch["answer_mask"] * batch["input_mask"]).float(),
                    cls_index=torch.from_numpy(batch["cls_positions"]).long(),
                    return_dict=True,
                )
                expected |= {
                    ours: outputs[theirs].numpy() for ours, theirs in _OF_QUESTIONS.items()
                }
    finally:
        model.transformer = encoder
    return expected


def _of_logits(logits: torch.Tensor, batch: Tensors, *, causal: bool) -> dict[str, np.ndarray]:
    """Logits [B, S, V] at positions, and of a causal model the log-probabilities of tokens."""
    ids, mask = batch["input_word_ids"], batch["input_mask"]
    at = np.take_along_axis(logits.numpy(), batch["masked_lm_positions"][:, :, None], axis=1)
    if not causal:
        return {"mlm_logits": at}
    of_pieces = torch.log_softmax(logits.double(), dim=-1).numpy()
    of_tokens = np.zeros(ids.shape)
    for row, column in np.argwhere(mask[:, 1:] * mask[:, :-1]):
        of_tokens[row, column + 1] = of_pieces[row, column, ids[row, column + 1]]
    return {
        "lm_logits": at,
        "token_log_probs": of_tokens.astype(np.float32),
        "sequence_log_probs": of_tokens.sum(axis=1).astype(np.float32),
    }


def save_original(
    model: transformers.PreTrainedModel,
    path: Path,
    *,
    several: bool = False,
    zipped: bool = True,
    **params: Any,
) -> Path:
    """As facebookresearch/XLM saves: its names, its arguments and its dictionary.

    Args:
      model: `XLMWithLMHeadModel`.
      path: the file.
      several: whether it was trained on several GPUs.
      zipped: in PyTorch's format since 1.6; the releases are older.
      **params: arguments of the program that are to be others; None takes one out.
    """
    config, root = model.config, "module." if several else ""
    state = {
        root + name.removeprefix("transformer."): value.clone()
        for name, value in model.state_dict().items()
    }
    words = {number: f"word{number}" for number in range(config.vocab_size)}
    said = {
        "emb_dim": config.emb_dim, "n_layers": config.n_layers, "n_heads": config.n_heads,
        "dropout": config.dropout, "attention_dropout": config.attention_dropout,
        "gelu_activation": config.gelu_activation, "share_inout_emb": True, "asm": False,
        "sinusoidal_embeddings": False, "n_langs": config.n_langs, "lang2id": config.lang2id,
        "id2lang": config.id2lang, "langs": list(config.lang2id), "use_memory": False,
        "encoder_only": True, "n_words": config.vocab_size, "pad_index": config.pad_token_id,
        "clm_steps": [], "mlm_steps": [("en", None), ("fr", None)], "lambda_mlm_config": None,
        "pred_probs": torch.FloatTensor([0.8, 0.1, 0.1]), "mask_scores": np.linspace(0, 1, 50),
        "debug": False, "optimizer": "adam,lr=0.0001",
    }  # fmt: skip
    content = {
        "model": OrderedDict(state),
        "params": {key: value for key, value in {**said, **params}.items() if value is not None},
        "dico_id2word": words,
        "dico_word2id": {word: number for number, word in words.items()},
        "dico_counts": dict.fromkeys(words.values(), 1),
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
