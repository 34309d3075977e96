"""Transformer-XL as transformers 4 knows it, given a mask; and the original's checkpoints.

Names and meanings of those are of transformers' `load_tf_weights_in_transfo_xl`, read independently
of what the export goes by; the numbers are read by TensorFlow.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.training_state import training_state
from hubexport.errors import CheckpointError, some_of
from hubexport.validation.references.sources import first_line

_LAYER = re.compile(r"transformer/layer_(\d+)/(rel_attn|ff)/(\w+)/(\w+)")
_LAYERS = {"rel_attn": "dec_attn", "ff": "pos_ff"}
_PARTS = {
    "qkv": "qkv_net", "r": "r_net", "o": "o_net",
    "layer_1": "CoreNet.0", "layer_2": "CoreNet.3", "LayerNorm": "layer_norm",
}  # fmt: skip
_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
_TABLE = re.compile(r"transformer/adaptive_embed/(?:cutoff_(\d+)/)?(lookup_table|proj_W)")
_CLUSTER = re.compile(r"transformer/adaptive_softmax/(?:cutoff_(\d+)/)?(\w+)")
_SHARED = re.compile(r"((?:transformer\.)?)(r_[wr]_bias)")
_OF_ATTENTION = re.compile(r"((?:transformer\.)?)layers\.\d+\.dec_attn\.")
_OUTPUT = re.compile(r"((?:transformer\.)?)layers\.0\.dec_attn\.o_net\.weight")
_BIAS = re.compile(r"transformer/(r_[wr]_bias)")


@contextlib.contextmanager
def healed() -> Iterator[None]:
    """Within, `Tensor.type_as` takes a dtype, as releases 4.38 to 4.57 of transformers have it
    (huggingface/transformers, issue 29650)."""
    import torch

    original = torch.Tensor.type_as

    def type_as(self: Any, other: Any = None, *, dtype: Any = None) -> Any:
        return original(self, other) if dtype is None else self.to(dtype)

    torch.Tensor.type_as = type_as  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.type_as = original  # type: ignore[method-assign]


class Masked:
    """transformers' encoder, which knows of no padding, called with a mask.

    Padding is seen by itself alone.

    Without a memory it takes one of zeros, which tokens see: here there is none.

    Args:
      model: a TransfoXLModel.
      mem_len: how many vectors the memory keeps.
    """

    def __init__(self, model: Any, mem_len: int):
        self._model, self._mem_len = model, mem_len

    def __call__(self, input_ids: Any, attention_mask: Any, mems: Any = None, **others: Any) -> Any:
        """As an encoder that has a mask [B, S]; `mems` are [M, B, H], one of each layer."""
        import torch

        model = self._model
        if mems is None:
            mems = [torch.zeros(0, len(input_ids), model.d_model)] * model.n_layer
        length, before = attention_mask.shape[1], len(mems[0])
        absent = torch.nn.functional.pad(attention_mask.T == 0, (0, 0, before, 0))[None]
        itself = torch.arange(length)[:, None] + before == torch.arange(before + length)
        hidden = absent & ~itself[:, :, None]  # [S, M + S, B]

        def mask(layer: Any, arguments: Any, keywords: Any) -> Any:
            later = keywords["dec_attn_mask"]  # [S, M + S, 1]
            return arguments, {**keywords, "dec_attn_mask": later | hidden}

        hooks = [layer.register_forward_pre_hook(mask, with_kwargs=True) for layer in model.layers]
        try:
            with healed():
                given = model(input_ids, mems=mems, output_hidden_states=True, return_dict=True)
        finally:
            for hook in hooks:
                hook.remove()
        given.mems = [each[max(0, len(each) - self._mem_len) :] for each in given.mems]
        return given


def read_state_dict(source: TensorSource, values: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of an original checkpoint, as PyTorch's, under transformers' names.

    Args:
      source: its files and names.
      values: of `configuration`.

    Raises:
      CheckpointError: TensorFlow cannot read it, or a variable is not Transformer-XL's.
    """
    import tensorflow as tf
    import torch

    (index,) = (file for file in source.files if file.suffix == ".index")
    names = sorted(source.tensors.keys() - training_state(source).keys())
    try:
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        tensors = {name: torch.from_numpy(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, LookupError, RuntimeError) as error:
        raise CheckpointError(
            "TensorFlow cannot read the checkpoint",
            [("checkpoint", str(source.path)), ("TensorFlow", first_line(error))],
            "copy or download the checkpoint again.",
        ) from error
    state: dict[str, Any] = {}
    strangers: list[str] = []
    for name, tensor in tensors.items():
        translated = _translated(name, tensor, values)
        state |= translated
        strangers += [] if translated else [name]
    if strangers:
        raise CheckpointError(
            "the checkpoint is of another model than Transformer-XL",
            [("not known", some_of(strangers))],
            "record the outputs in the model's own code, and pass --source=file.",
        )
    if values["div_val"] == 1 and values["cutoffs"]:  # one bias in parts
        parts = [state.pop(f"crit.out_layers.{i}.bias") for i in range(len(values["cutoffs"]) + 1)]
        state["crit.out_layers.0.bias"] = torch.cat(parts)
    first = "transformer.word_emb.emb_projs.0"
    if values["div_val"] != 1 and first not in state:  # transformers projects, whatever the sizes
        state[first] = state["crit.out_projs.0"] = torch.eye(values["d_model"])
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _translated(name: str, tensor: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """A variable under transformers' names; {} where it is not one of Transformer-XL's."""
    for pattern, translate in _TRANSLATIONS.items():
        if match := pattern.fullmatch(name):
            return translate(match, tensor, values)
    return {}


def _of_layer(match: re.Match[str], tensor: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    number, layer, part, leaf = match.groups()
    if part not in _PARTS or leaf not in _LEAVES:
        return {}
    name = f"transformer.layers.{number}.{_LAYERS[layer]}.{_PARTS[part]}.{_LEAVES[leaf]}"
    return {name: tensor.T if leaf == "kernel" else tensor}


def _of_table(match: re.Match[str], tensor: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    number = match[1] or "0"
    if match[2] == "lookup_table":
        return {f"transformer.word_emb.emb_layers.{number}.weight": tensor}
    state = {f"transformer.word_emb.emb_projs.{number}": tensor.T}
    if not values["cutoffs"]:  # the softmax has no projection of its own
        state["crit.out_projs.0"] = tensor.T
    return state


def _of_cluster(match: re.Match[str], tensor: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    number = match[1] or "0"
    names = {
        "cluster_W": "crit.cluster_weight",
        "cluster_b": "crit.cluster_bias",
        "b": f"crit.out_layers.{number}.bias",
        "bias": "crit.out_layers.0.bias",
        "proj": f"crit.out_projs.{number}",
    }
    if match[2] not in names:
        return {}
    return {names[match[2]]: tensor.T if match[2] == "proj" else tensor}


def _of_bias(match: re.Match[str], tensor: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    if tensor.ndim == 2:
        return {f"transformer.{match[1]}": tensor}
    return {f"transformer.layers.{i}.dec_attn.{match[1]}": each for i, each in enumerate(tensor)}


_TRANSLATIONS: Mapping[
    re.Pattern[str], Callable[[re.Match[str], Any, Mapping[str, Any]], dict[str, Any]]
] = {_LAYER: _of_layer, _TABLE: _of_table, _CLUSTER: _of_cluster, _BIAS: _of_bias}


def completed(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what transformers does not find out by itself: biases that all layers share
    under the layers' names, too, which it would leave as they happen to be, and the frequencies of
    its sinusoids."""
    import torch

    found = dict(state)
    attention = [match for name in state if (match := _OF_ATTENTION.match(name))]
    for name, value in state.items():
        if match := _SHARED.fullmatch(name):
            found |= {f"{each[0]}{match[2]}": value for each in attention if each[1] == match[1]}
        elif match := _OUTPUT.fullmatch(name):
            size = value.shape[0]
            frequencies = 1 / 10000 ** (torch.arange(0.0, size, 2.0) / size)
            found.setdefault(f"{match[1]}pos_emb.inv_freq", frequencies)
    return found


def configuration(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The original's flags by the names of transformers' configurations, and as it takes them.

    Its norms have another epsilon, and with `same_length` a token sees one token more.
    """
    cutoffs = list(flags["cutoffs"])
    if cutoffs[:1] == [0]:  # corpus_info.json has the ends of the vocabulary, too
        cutoffs = cutoffs[1:-1]
    defaults = {
        "dropatt": 0.0, "div_val": 1, "untie_r": False, "same_length": False, "clamp_len": -1,
        "proj_share_all_but_first": False,
    }  # fmt: skip
    values = {**defaults, **flags, "cutoffs": cutoffs, "layer_norm_epsilon": 1e-12}
    values["mem_len"] += values["same_length"]
    return values
