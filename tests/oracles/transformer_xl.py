"""Tiny Transformer-XLs of random weights, as files, and what transformers made of them.

transformers 5 has no Transformer-XL, so what 4.57.6 gave is kept in `transformer_xl.npz`, which
`transformer_xl_goldens.py` makes. Weights are drawn from a seed here and are in no file.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
Shape = tuple[int, ...]

GOLDENS = Path(__file__).with_suffix(".npz")

SIZES: Mapping[str, Any] = {
    "model_type": "transfo-xl",
    "vocab_size": 30,
    "cutoffs": [8, 18],
    "d_model": 16,
    "d_embed": 16,
    "n_head": 2,
    "d_head": 8,
    "d_inner": 24,
    "n_layer": 2,
    "div_val": 1,
    "mem_len": 20,
    "clamp_len": -1,
    "same_length": False,
    "untie_r": True,
    "pre_lnorm": False,
    "proj_share_all_but_first": True,
    "layer_norm_epsilon": 1e-5,
    "num_labels": 3,
    "tie_word_embeddings": True,
    "dropout": 0.1,
    "dropatt": 0.1,
    "eos_token_id": 0,
}
"""What models have in common, by the names of transformers' configurations."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    # As the published model: every cluster has a size of its own, and no token sees far.
    "wt103": {
        "div_val": 4, "d_head": 5, "same_length": True, "mem_len": 4, "clamp_len": 3,
    },
    "shared biases": {"div_val": 2, "untie_r": False, "clamp_len": 2},
    "projections of its own": {"d_embed": 12, "proj_share_all_but_first": False},
    "projections of all clusters": {"d_embed": 12, "same_length": True, "mem_len": 3},
    "no clusters": {"cutoffs": [], "mem_len": 6},
    "norms first": {"div_val": 2, "pre_lnorm": True, "proj_share_all_but_first": False},
}  # fmt: skip
"""Name -> what differs from `SIZES`."""

LAYOUTS = ("hugging_face", "tf1")
OF_TF1 = tuple(name for name, values in VARIANTS.items() if not values.get("pre_lnorm"))
"""Those that the original program for TensorFlow has, too."""


def config(name: str) -> dict[str, Any]:
    """The configuration of a variant, as transformers' class takes it."""
    return {**SIZES, **VARIANTS[name]}


def tied_projections(values: Mapping[str, Any]) -> list[bool]:
    """Of each cluster, whether the language model projects as the embeddings do."""
    return [False] + [bool(values["proj_share_all_but_first"])] * len(values["cutoffs"])


def tables(values: Mapping[str, Any]) -> list[tuple[int, int, bool]]:
    """Of each lookup table: rows, columns, and whether a projection is behind it."""
    H, E, div = values["d_model"], values["d_embed"], values["div_val"]
    if div == 1:
        return [(values["vocab_size"], E, E != H)]
    ends = [0, *values["cutoffs"], values["vocab_size"]]
    return [(b - a, E // div**i, True) for i, (a, b) in enumerate(itertools.pairwise(ends))]


def shapes(values: Mapping[str, Any]) -> dict[str, Shape]:
    """The tensors of a model with a language model and a classifier, by transformers' names.

    What is tied is there once, by its name in the encoder.
    """
    H, A, D, inner = (values[key] for key in ("d_model", "n_head", "d_head", "d_inner"))
    found: dict[str, Shape] = {}
    for i, (rows, columns, projected) in enumerate(tables(values)):
        found[f"transformer.word_emb.emb_layers.{i}.weight"] = (rows, columns)
        if projected:
            found[f"transformer.word_emb.emb_projs.{i}"] = (H, columns)
    biases = ("r_w_bias", "r_r_bias")
    if not values["untie_r"]:
        found |= {f"transformer.{bias}": (A, D) for bias in biases}
    for n in range(values["n_layer"]):
        attention, feed_forward = (
            f"transformer.layers.{n}.dec_attn",
            f"transformer.layers.{n}.pos_ff",
        )
        if values["untie_r"]:
            found |= {f"{attention}.{bias}": (A, D) for bias in biases}
        found |= {
            f"{attention}.qkv_net.weight": (3 * A * D, H),
            f"{attention}.r_net.weight": (A * D, H),
            f"{attention}.o_net.weight": (H, A * D),
            f"{feed_forward}.CoreNet.0.weight": (inner, H),
            f"{feed_forward}.CoreNet.0.bias": (inner,),
            f"{feed_forward}.CoreNet.3.weight": (H, inner),
            f"{feed_forward}.CoreNet.3.bias": (H,),
        }
        for layer in (attention, feed_forward):
            found |= {f"{layer}.layer_norm.{leaf}": (H,) for leaf in ("weight", "bias")}
    clusters = len(values["cutoffs"])
    if clusters:
        found["crit.cluster_weight"] = (clusters, values["d_embed"])
        found["crit.cluster_bias"] = (clusters,)
    for i, (rows, _, _) in enumerate(tables(values)):
        found[f"crit.out_layers.{i}.bias"] = (rows,)
    for i, tied in enumerate(tied_projections(values)):
        of_table = 0 if values["div_val"] == 1 else i
        _, columns, projected = tables(values)[of_table]
        if projected and not tied:
            found[f"crit.out_projs.{i}"] = (H, columns)
    found["score.weight"] = (values["num_labels"], values["d_embed"])
    return found


@functools.cache
def _weights(name: str) -> Mapping[str, np.ndarray]:
    generator = np.random.default_rng(11)
    found = {}
    for key, shape in sorted(shapes(config(name)).items()):
        # The embeddings are multiplied by the square root of the hidden size.
        scale = 0.12 if ".emb_layers." in key else 0.4
        around = 1.0 if key.endswith("layer_norm.weight") else 0.0
        found[key] = (around + scale * generator.standard_normal(shape)).astype(np.float32)
    return found


def weights(name: str, *, head: str = "lm") -> Tensors:
    """A variant's tensors by transformers' names.

    Args:
      head: "lm", "classifier", or "" for the encoder alone.
    """
    own = {"lm": ("transformer.", "crit."), "classifier": ("transformer.", "score.")}
    starts = own.get(head, ("transformer.",))
    return {key: value for key, value in _weights(name).items() if key.startswith(starts)}


def copies(name: str) -> dict[str, str]:
    """Tensors that older files hold beside what they are tied to: copy -> what it is equal to."""
    values = config(name)
    found = {
        f"crit.out_layers.{i}.weight": f"transformer.word_emb.emb_layers.{i}.weight"
        for i in range(len(tables(values)))
    }
    for i, tied in enumerate(tied_projections(values)):
        of_table = 0 if values["div_val"] == 1 else i
        if tied and tables(values)[of_table][2]:
            found[f"crit.out_projs.{i}"] = f"transformer.word_emb.emb_projs.{of_table}"
    if not values["untie_r"]:
        found |= {
            f"transformer.layers.{n}.dec_attn.{bias}": f"transformer.{bias}"
            for n in range(values["n_layer"])
            for bias in ("r_w_bias", "r_r_bias")
        }
    return found


def write_hugging_face(directory: Path, name: str, *, head: str = "lm", **changed: Any) -> Path:
    """A variant as transformers 4 saves it; gives the directory.

    Args:
      **changed: entries of the configuration that are to be others; None takes one out.
    """
    import safetensors.numpy

    directory.mkdir(parents=True)
    of_class = {"lm": "LMHeadModel", "classifier": "ForSequenceClassification", "": "Model"}
    values = {**config(name), "architectures": [f"TransfoXL{of_class[head]}"], **changed}
    # transformers keeps what it makes of this flag.
    values["tie_projs"] = tied_projections(values)
    del values["proj_share_all_but_first"]
    kept = {key: value for key, value in values.items() if value is not None}
    (directory / "config.json").write_text(json.dumps(kept))
    frequencies = 1 / 10000 ** (np.arange(0.0, values["d_model"], 2.0) / values["d_model"])
    tensors = {
        **weights(name, head=head),
        "transformer.pos_emb.inv_freq": frequencies.astype(np.float32),
    }
    if not head:  # the base class knows no prefix
        tensors = {key.removeprefix("transformer."): value for key, value in tensors.items()}
    safetensors.numpy.save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    return directory


FLAGS = (
    "n_layer", "d_model", "d_embed", "n_head", "d_head", "d_inner", "dropout", "dropatt", "div_val",
    "untie_r", "proj_share_all_but_first", "mem_len", "clamp_len", "same_length", "vocab_size",
)  # fmt: skip
"""Of train_gpu.py of kimiyoung/transformer-xl, and of the corpus_info.json that it reads."""


def variables(name: str) -> Tensors:
    """A variant's language model by the names of kimiyoung/transformer-xl's tf/model.py."""
    values, tensors = config(name), weights(name)
    found: Tensors = {}
    many = values["div_val"] != 1
    for i, (_, _, projected) in enumerate(tables(values)):
        scope = "transformer/adaptive_embed" + (f"/cutoff_{i}" if many else "")
        found[f"{scope}/lookup_table"] = tensors[f"transformer.word_emb.emb_layers.{i}.weight"]
        if projected:
            found[f"{scope}/proj_W"] = tensors[f"transformer.word_emb.emb_projs.{i}"].T
    for bias in ("r_w_bias", "r_r_bias"):
        found[f"transformer/{bias}"] = (
            np.stack([
                tensors[f"transformer.layers.{n}.dec_attn.{bias}"] for n in range(values["n_layer"])
            ])
            if values["untie_r"]
            else tensors[f"transformer.{bias}"]
        )  # fmt: skip
    for n in range(values["n_layer"]):
        theirs, ours = f"transformer.layers.{n}", f"transformer/layer_{n}"
        for layer in "qkv", "r", "o":
            kernel = tensors[f"{theirs}.dec_attn.{layer}_net.weight"]
            found[f"{ours}/rel_attn/{layer}/kernel"] = kernel.T
        for number, layer in (0, "layer_1"), (3, "layer_2"):
            found[f"{ours}/ff/{layer}/kernel"] = tensors[
                f"{theirs}.pos_ff.CoreNet.{number}.weight"
            ].T
            found[f"{ours}/ff/{layer}/bias"] = tensors[f"{theirs}.pos_ff.CoreNet.{number}.bias"]
        for layer, part in ("dec_attn", "rel_attn"), ("pos_ff", "ff"):
            found[f"{ours}/{part}/LayerNorm/gamma"] = tensors[f"{theirs}.{layer}.layer_norm.weight"]
            found[f"{ours}/{part}/LayerNorm/beta"] = tensors[f"{theirs}.{layer}.layer_norm.bias"]
    softmax, ends = "transformer/adaptive_softmax", [0, *values["cutoffs"], values["vocab_size"]]
    if len(ends) == 2:
        found[f"{softmax}/bias"] = tensors["crit.out_layers.0.bias"]
        return found
    found[f"{softmax}/cutoff_0/cluster_W"] = tensors["crit.cluster_weight"]
    found[f"{softmax}/cutoff_0/cluster_b"] = tensors["crit.cluster_bias"]
    for i, (start, end) in enumerate(itertools.pairwise(ends)):
        own = tensors[f"crit.out_layers.{i if many else 0}.bias"]
        found[f"{softmax}/cutoff_{i}/b"] = own if many else own[start:end]
        if (projection := tensors.get(f"crit.out_projs.{i}")) is not None:
            found[f"{softmax}/cutoff_{i}/proj"] = projection.T
    return found


def write_tf1(
    directory: Path, name: str, *, others: Mapping[str, np.ndarray] | None = None, **changed: Any
) -> Path:
    """A variant as the original program saves it, its flags in bert_config.json; gives the prefix.

    Args:
      others: further variables, or other values.
      **changed: flags that are to be others; None takes one out.
    """
    import tensorflow as tf

    directory.mkdir(parents=True)
    found, values = {**variables(name), **(others or {})}, config(name)
    prefix = directory / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(found), shape_and_slices=[""] * len(found),
        tensors=list(map(tf.constant, found.values())),
    )  # fmt: skip
    cutoffs = [0, *values["cutoffs"], values["vocab_size"]]  # as corpus_info.json has them
    flags = {key: values[key] for key in FLAGS} | {"cutoffs": cutoffs} | changed
    kept = {key: value for key, value in flags.items() if value is not None}
    (directory / "bert_config.json").write_text(json.dumps(kept))
    return prefix


PLAIN_MASK = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 1],
        [1, 1, 0, 1, 1, 1, 0],
    ],
    np.int32,
)
"""A full row, padding on either side, a hole."""


def plain() -> Tensors:
    """Rows with and without padding, and positions of tokens."""
    ids = np.random.default_rng(3).integers(0, SIZES["vocab_size"], PLAIN_MASK.shape)
    ids[0, :4] = [0, 8, 18, SIZES["vocab_size"] - 1]  # the ends of clusters
    positions = np.array([[0, 6, 3], [0, 3, 1], [2, 6, 3], [0, 5, 3]])
    return {
        "input_word_ids": ids.astype(np.int32),
        "input_mask": PLAIN_MASK,
        "input_type_ids": np.zeros_like(PLAIN_MASK),
        "lm_positions": positions.astype(np.int32),
    }


def segments() -> tuple[Tensors, Tensors]:
    """Two segments of the same texts, one after the other, without padding."""
    ids = np.random.default_rng(4).integers(0, SIZES["vocab_size"], (2, 9))
    positions = np.array([[3, 0], [1, 3]], np.int32)

    def part(columns: slice) -> Tensors:
        chosen = ids[:, columns].astype(np.int32)
        return {
            "input_word_ids": chosen,
            "input_mask": np.ones_like(chosen),
            "input_type_ids": np.zeros_like(chosen),
            "lm_positions": positions,
        }

    return part(slice(5)), part(slice(5, 9))


def recorded(path: Path, name: str, layout: str) -> Path:
    """The same as `hubexport reference --source=file` takes it: two cases, one with a memory."""
    found, arrays = goldens(name, layout), {}
    for case, prefix, batch in ("plain", "", plain()), ("later", "later/", segments()[1]):
        inputs = {**batch, "masked_lm_positions": batch["lm_positions"]}
        del inputs["lm_positions"]
        layers = found[f"{prefix}layers"]
        outputs = {f"encoder_outputs[{i}]": layer for i, layer in enumerate(layers)}
        outputs |= {"sequence_output": layers[-1], "lm_log_probs": found[f"{prefix}log_probs"]}
        if prefix:
            inputs["mems"], outputs["new_mems"] = found["mems"], found["new_mems"]
        arrays |= {f"{case}/inputs/{key}": value for key, value in inputs.items()}
        arrays |= {f"{case}/outputs/{key}": value for key, value in outputs.items()}
    np.savez(path, **arrays)
    return path


def goldens(name: str, layout: str) -> Tensors:
    """What transformers gave for a variant, as `transformer_xl_goldens.py` describes it."""
    prefix = f"{name}/{layout}/"
    with np.load(GOLDENS) as found:
        return {key.removeprefix(prefix): found[key] for key in found if key.startswith(prefix)}
