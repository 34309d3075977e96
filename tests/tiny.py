"""Small checkpoints with google-research/bert's names, written without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from hubexport.tf_formats.bundle import BundleWriter

CONFIG = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
}
TASKS = {"run_classifier": ("", 3), "run_squad": ("cls/squad/", 2)}
"""google-research/bert's program for fine-tuning -> scope of its head, and the head's rows."""
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tensor_shapes(
    config: Mapping[str, object], *, heads: bool = True, task: str | None = None
) -> dict[str, tuple]:
    """Names and shapes as google-research/bert's modeling.py and run_pretraining.py make them.

    With one of `TASKS`, as that program does: the pre-training's heads are not among them.
    """
    V, H, L, I, P, T = (  # noqa: E741
        config[key]
        for key in (
            "vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size",
            "max_position_embeddings", "type_vocab_size",
        )
    )  # fmt: skip
    shapes: dict[str, tuple] = {
        "bert/embeddings/word_embeddings": (V, H),
        "bert/embeddings/position_embeddings": (P, H),
        "bert/embeddings/token_type_embeddings": (T, H),
        "bert/pooler/dense/kernel": (H, H),
        "bert/pooler/dense/bias": (H,),
    }
    norms = ["bert/embeddings/LayerNorm"]
    for i in range(L):
        layer = f"bert/encoder/layer_{i}"
        dense = {f"attention/self/{name}": (H, H) for name in ("query", "key", "value")}
        dense |= {"attention/output/dense": (H, H)}
        dense |= {"intermediate/dense": (H, I), "output/dense": (I, H)}
        for name, shape in dense.items():
            shapes |= {f"{layer}/{name}/kernel": shape, f"{layer}/{name}/bias": shape[1:]}
        norms += [f"{layer}/attention/output/LayerNorm", f"{layer}/output/LayerNorm"]
    if task is not None:
        scope, rows = TASKS[task]
        shapes |= {f"{scope}output_weights": (rows, H), f"{scope}output_bias": (rows,)}
    elif heads:
        norms.append("cls/predictions/transform/LayerNorm")
        shapes |= {
            "cls/predictions/transform/dense/kernel": (H, H),
            "cls/predictions/transform/dense/bias": (H,),
            "cls/predictions/output_bias": (V,),
            "cls/seq_relationship/output_weights": (2, H),
            "cls/seq_relationship/output_bias": (2,),
        }
    for norm in norms:
        shapes |= {f"{norm}/gamma": (H,), f"{norm}/beta": (H,)}
    return shapes


def tensors(
    config: Mapping[str, object] = CONFIG, *, heads: bool = True, task: str | None = None
) -> dict[str, np.ndarray]:
    """Random values, spread so that no bias or norm is without effect."""
    generator = np.random.default_rng(7)
    return {
        name: (generator.normal(0, 0.1, shape) + name.endswith("gamma")).astype(np.float32)
        for name, shape in tensor_shapes(config, heads=heads, task=task).items()
    }


def write_checkpoint(
    directory: Path,
    config: Mapping[str, object] = CONFIG,
    *,
    heads: bool = True,
    task: str | None = None,
    slots: bool = False,
    change: Callable[[dict[str, np.ndarray]], object] = lambda values: None,
) -> Path:
    """Writes bert_model.ckpt and bert_config.json into a directory; gives the prefix.

    `slots` adds Adam's, and the step, as every training leaves them.
    """
    values = tensors(config, heads=heads, task=task)
    if slots:
        values |= {
            f"{name}/{slot}": value * factor
            for name, value in values.items()
            for slot, factor in (("adam_m", np.float32(0.5)), ("adam_v", np.float32(0.25)))
        }
        values["global_step"] = np.array(1000, np.int64)
    change(values)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bert_config.json").write_text(json.dumps(config))
    with BundleWriter(directory / "bert_model.ckpt") as writer:
        for name, value in sorted(values.items()):
            writer.add(name, value.dtype.name, value.shape, [value.tobytes()])
    return directory / "bert_model.ckpt"


def write_vocabulary(path: Path, size: int = 50, *, upper: bool = False) -> Path:
    """A WordPiece vocabulary of so many pieces, the specials first."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if upper else "abcdefghijklmnopqrstuvwxyz"
    pieces = [*SPECIALS, *letters, *(f"##{c}" for c in letters)]
    pieces += [f"{a}{b}" for a in letters for b in letters]
    path.write_text("\n".join(pieces[:size]) + "\n", "utf-8")
    return path
