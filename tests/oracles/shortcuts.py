"""The models that transformers' first releases had shortcut names for, in their true sizes.

A checkpoint of one is written without its numbers: names, shapes and the file's length are those of
the model, and what was never written reads as zeros.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A model.

    Attributes:
      made_by: the class of transformers that its checkpoint was saved by.
      config: its sizes, where they are not the class's defaults.
      millions: parameters of encoder and heads, those that are tied once.
      heads: sub-objects of its encoder's artifact.
      options: of the export, that its configuration does not tell.
      others: tensors that its checkpoint has beside those of the class as it is today.
    """

    made_by: str
    config: Mapping[str, Any]
    millions: float
    heads: tuple[str, ...]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    others: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


_BERT, _MLM, _QA = ("mlm", "nsp"), ("mlm",), ("qa",)
_LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096,
}  # fmt: skip
_ROBERTA = {
    "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}  # fmt: skip


def _bert(vocab_size: int, millions: float, **config: Any) -> Shortcut:
    return Shortcut("BertForPreTraining", {"vocab_size": vocab_size, **config}, millions, _BERT)


def _squad(vocab_size: int, millions: float) -> Shortcut:
    """Saved when every class had a pooler."""
    pooler = {"bert.pooler.dense.weight": (1024, 1024), "bert.pooler.dense.bias": (1024,)}
    config = {"vocab_size": vocab_size, **_LARGE}
    return Shortcut("BertForQuestionAnswering", config, millions, _QA, others=pooler)


def _gpt2(millions: float, size: int, layers: int, heads: int) -> Shortcut:
    config = {"n_embd": size, "n_layer": layers, "n_head": heads}
    return Shortcut("GPT2LMHeadModel", config, millions, ("lm",))


def _xlm(words: int, languages: int, millions: float, **config: int) -> Shortcut:
    sizes = {"n_words": words, "n_langs": languages, "emb_dim": 1024, "n_layers": 6, "n_heads": 8}
    return Shortcut("XLMWithLMHeadModel", {**sizes, **config}, millions, _MLM)


def _causal(of: Shortcut) -> Shortcut:
    return dataclasses.replace(of, heads=("lm",), options={"causal": True})


MODELS: Mapping[str, Shortcut] = {
    "bert-base-uncased": _bert(30522, 110.11),
    "bert-large-uncased": _bert(30522, 336.23, **_LARGE),
    "bert-base-cased": _bert(28996, 108.93),
    "bert-large-cased": _bert(28996, 334.66, **_LARGE),
    "bert-base-multilingual-uncased": _bert(105879, 168.06),
    "bert-base-multilingual-cased": _bert(119547, 178.57),
    "bert-base-chinese": _bert(21128, 102.88),
    "bert-base-german-cased": _bert(30000, 109.71),
    "bert-large-uncased-whole-word-masking": _bert(30522, 336.23, **_LARGE),
    "bert-large-cased-whole-word-masking": _bert(28996, 334.66, **_LARGE),
    "bert-large-uncased-whole-word-masking-finetuned-squad": _squad(30522, 335.14),
    "bert-large-cased-whole-word-masking-finetuned-squad": _squad(28996, 333.58),
    "bert-base-cased-finetuned-mrpc": Shortcut(
        "BertForSequenceClassification", {"vocab_size": 28996}, 108.31, ("classifier",)
    ),
    "bert-base-german-dbmdz-cased": _bert(31102, 110.55),
    "bert-base-german-dbmdz-uncased": _bert(31102, 110.55),
    "openai-gpt": Shortcut("OpenAIGPTLMHeadModel", {"vocab_size": 40478}, 116.53, ("lm",)),
    "gpt2": _gpt2(124.44, 768, 12, 12),
    "gpt2-medium": _gpt2(354.82, 1024, 24, 16),
    "gpt2-large": _gpt2(774.03, 1280, 36, 20),
    "transfo-xl-wt103": Shortcut("TransfoXLLMHeadModel", {
        "vocab_size": 267735, "cutoffs": [20000, 40000, 200000], "d_model": 1024, "d_embed": 1024,
        "n_head": 16, "d_head": 64, "d_inner": 4096, "div_val": 4, "pre_lnorm": False,
        "n_layer": 18, "mem_len": 1600, "clamp_len": 1000, "same_length": True, "untie_r": True,
        "proj_share_all_but_first": True, "num_labels": 2,
    }, 285.21, ("lm",)),
    "xlnet-base-cased": Shortcut(
        "XLNetLMHeadModel", {"d_model": 768, "n_layer": 12, "n_head": 12, "d_inner": 3072},
        116.75, ("lm",),
    ),
    "xlnet-large-cased": Shortcut("XLNetLMHeadModel", {}, 360.30, ("lm",)),
    "xlm-mlm-en-2048": _xlm(30145, 1, 667.12, emb_dim=2048, n_layers=12, n_heads=16),
    "xlm-mlm-ende-1024": _xlm(64699, 2, 142.42),
    "xlm-mlm-enfr-1024": _xlm(64139, 2, 141.85),
    "xlm-mlm-enro-1024": _xlm(64592, 2, 142.31),
    "xlm-mlm-xnli15-1024": _xlm(95000, 15, 249.07, n_layers=12),
    "xlm-mlm-tlm-xnli15-1024": _xlm(95000, 15, 249.07, n_layers=12),
    "xlm-clm-enfr-1024": _causal(_xlm(64139, 2, 141.85)),
    "xlm-clm-ende-1024": _causal(_xlm(64699, 2, 142.42)),
    "roberta-base": Shortcut("RobertaForMaskedLM", _ROBERTA, 124.70, _MLM),
    "roberta-large": Shortcut("RobertaForMaskedLM", {**_ROBERTA, **_LARGE}, 355.41, _MLM),
    "roberta-large-mnli": Shortcut(
        "RobertaForSequenceClassification", {**_ROBERTA, **_LARGE, "num_labels": 3}, 355.36,
        ("classifier",),
    ),
    "xlm-roberta-base": Shortcut(
        "XLMRobertaForMaskedLM", {**_ROBERTA, "vocab_size": 250002}, 278.29, _MLM
    ),
    "xlm-roberta-large": Shortcut(
        "XLMRobertaForMaskedLM", {**_ROBERTA, **_LARGE, "vocab_size": 250002}, 560.14, _MLM
    ),
    "distilbert-base-uncased": Shortcut("DistilBertForMaskedLM", {}, 66.99, _MLM),
    "distilbert-base-uncased-distilled-squad": Shortcut(
        "DistilBertForQuestionAnswering", {}, 66.36, _QA
    ),
}  # fmt: skip


def write(name: str, directory: Path) -> Path:
    """The checkpoint of a model, without its numbers."""
    shortcut = MODELS[name]
    directory.mkdir()
    if shortcut.made_by.startswith("TransfoXL"):  # of which transformers 5 has no class
        from tests.oracles import transformer_xl

        shapes = transformer_xl.shapes(shortcut.config)
        del shapes["score.weight"]
        config = {**shortcut.config, "model_type": "transfo-xl"}
    else:
        shapes, config = _of_transformers(shortcut)
    (directory / "config.json").write_text(json.dumps(config))
    _write_sparse({**shapes, **shortcut.others}, directory / "model.safetensors")
    return directory


def _of_transformers(shortcut: Shortcut) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    import torch
    import transformers

    made_by = getattr(transformers, shortcut.made_by)
    config = made_by.config_class(**shortcut.config)
    with torch.device("meta"):
        model = made_by(config)
    model.tie_weights()
    shapes = {key: tuple(value.shape) for key, value in model.named_parameters()}
    return shapes, {**config.to_dict(), "architectures": [shortcut.made_by]}


def _write_sparse(shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """A safetensors file of float32 zeros that takes next to no room."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for axis in shape:
            size *= axis
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
