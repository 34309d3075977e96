"""The size of a BERT-like encoder, told by the names and shapes of its tensors alone.

For messages and summaries: what is exported is decided by the configuration. Nothing here
imports TensorFlow, and no tensor is read.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Mapping

from hubexport.checkpoints.source import TensorSource

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """What the tensors say; None for what they do not.

    Attributes:
      num_attention_heads: known only where kernels are kept as [H, A, D].
      embedding_size: of the word embeddings; other than `hidden_size` where factorized.
    """

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int | None
    intermediate_size: int | None
    vocab_size: int | None
    max_position_embeddings: int | None
    type_vocab_size: int | None
    embedding_size: int | None


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How a layout names the tensors that tell sizes.

    Attributes:
      name: for people.
      root, layer: the query kernel's name is `<root><layer>` with `{}` for the block's number.
      query, feed_forward: in a block; the kernel into the attention, and those that may lead into
        the intermediate layer. With `{}` for the block's number, that is below the root.
      word, position, types: the lookup tables, below the root; None where there are none, or many.
      outputs_first: kernels are [out, in], as PyTorch's are.
      fused: the kernel into the attention is that of query, key and value, [in, 3 * in], and
        kernels may be those of convolutions, [1, in, out]. Others name their layers likewise:
        such a model has its table of words, too.
    """

    name: str
    root: str
    layer: str
    query: str
    feed_forward: tuple[str, ...]
    word: str | None
    position: str | None
    types: str | None
    outputs_first: bool = False
    fused: bool = False


_MODEL_GARDEN = "Model Garden layout"
_MODEL_GARDEN_FEED_FORWARD = (
    "/_intermediate_dense/kernel",
    "/_feedforward_block/_intermediate_dense/0/kernel",  # with gated feed-forward blocks
)

# Full matches of names: optimizer slots, which are named after their variables, never match.
_LAYOUTS = (
    _Layout(
        "google-research/bert layout", r"(?:.*/)?", "encoder/layer_{}",
        "/attention/self/query/kernel", ("/intermediate/dense/kernel",),
        "embeddings/word_embeddings", "embeddings/position_embeddings",
        "embeddings/token_type_embeddings",
    ),
    _Layout(  # BertEncoderV2, by attribute
        _MODEL_GARDEN, r"(?:.*/)?", "_transformer_layers/{}",
        "/_attention_layer/_query_dense/kernel", _MODEL_GARDEN_FEED_FORWARD,
        "_embedding_layer/embeddings", "_position_embedding_layer/embeddings",
        "_type_embedding_layer/embeddings",
    ),
    _Layout(  # functional BertEncoder and EncoderScaffold: layers with weights are numbered
        _MODEL_GARDEN, r"(?:.*/)?", "layer_with_weights-{}",
        "/_attention_layer/_query_dense/kernel", _MODEL_GARDEN_FEED_FORWARD,
        "layer_with_weights-0/embeddings", "layer_with_weights-1/embeddings",
        "layer_with_weights-2/embeddings",
    ),
    _Layout(  # what the variables of both are called, which SavedModels keep
        "Model Garden's variable names", r"(?:.*/)?", "transformer/layer_{}",
        "/self_attention/query/kernel", ("/intermediate/kernel",),
        "word_embeddings/embeddings", "position_embedding/embeddings",
        "type_embeddings/embeddings",
    ),
    _Layout(
        "Hugging Face layout", r"(?:.*\.)?", "encoder.layer.{}",
        ".attention.self.query.weight", (".intermediate.dense.weight",),
        "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight", outputs_first=True,
    ),
    _Layout(  # DistilBERT
        "Hugging Face layout", r"(?:.*\.)?", "transformer.layer.{}",
        ".attention.q_lin.weight", (".ffn.lin1.weight",),
        "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight",
        None, outputs_first=True,
    ),
    _Layout(  # XLM, by either program
        "XLM layout", r"(?:.*\.)?", "attentions.{}",
        ".q_lin.weight", ("ffns.{}.lin1.weight",),
        "embeddings.weight", "position_embeddings.weight", None, outputs_first=True,
    ),
    *(
        _Layout(  # RoBERTa
            "fairseq layout", r"(?:.*\.)?(?:decoder|encoder)\.sentence_encoder\.", "layers.{}",
            query, (".fc1.weight",), "embed_tokens.weight", "embed_positions.weight",
            None, outputs_first=True,
        )
        # Older programs keep query, key and value as one kernel, [3 H, H].
        for query in (".self_attn.q_proj.weight", ".self_attn.in_proj_weight")
    ),
    *(
        _Layout(  # of GPT's release, which has no names, and of the program that loads it; of GPT-2
            name, r"(?:.*/)?", "h{}", "/attn/c_attn/w", ("/mlp/c_fc/w",),
            word, position, None, fused=True,
        )
        for name, word, position in (
            ("openai-gpt layout", "we", "pe"),
            ("openai/gpt-2 layout", "wte", "wpe"),
        )
    ),
    _Layout(  # Transformer-XL, of whose words there may be many tables
        "Hugging Face layout", r"(?:.*\.)?", "layers.{}",
        ".dec_attn.qkv_net.weight", (".pos_ff.CoreNet.0.weight",),
        None, None, None, outputs_first=True,
    ),
    _Layout(
        "kimiyoung/transformer-xl layout", "transformer/", "layer_{}",
        "/rel_attn/qkv/kernel", ("/ff/layer_1/kernel",),
        "adaptive_embed/lookup_table", None, None,
    ),
    *(
        _Layout(  # GPT and GPT-2
            "Hugging Face layout", r"(?:.*\.)?", "h.{}",
            ".attn.c_attn.weight", (".mlp.c_fc.weight",),
            f"{word}.weight", f"{position}.weight", None, fused=True,
        )
        for word, position in (("tokens_embed", "positions_embed"), ("wte", "wpe"))
    ),
)  # fmt: skip
_MLM_TABLE = re.compile(r"(.*/)?masked_lm/embedding_table")
_SHARED_BLOCK = "transformer/self_attention/"


def dimensions(source: TensorSource) -> Dimensions | None:
    """The sizes of the BERT-like encoder in a checkpoint, or None where there is none.

    An encoder whose layers share one block (ALBERT) is none: how often it is applied, no tensor
    tells.
    """
    found = _find(source)
    return found[1] if found else None


def dimensions_of_variables(shapes: Mapping[str, Shape]) -> Dimensions | None:
    """The same from variables' names, as google-research/bert's and Model Garden's programs (and
    the SavedModels made of them) have them, and their shapes."""
    found = _match(_without_numbers(shapes))
    return found[1] if found else None


def describe(source: TensorSource) -> str:
    """A phrase for messages: `google-research/bert layout, 12 layers, hidden size 768`."""
    found = _find(source)
    if found is None:
        return f"{source.format}, no BERT-like layers"
    layout, sizes = found
    plural = "" if sizes.num_hidden_layers == 1 else "s"
    return f"{layout}, {sizes.num_hidden_layers} layer{plural}, hidden size {sizes.hidden_size}"


def layout_name(source: TensorSource) -> str | None:
    """The layout's name for people, None where no BERT-like layer is found."""
    found = _find(source)
    return found[0] if found else None


def _find(source: TensorSource) -> tuple[str, Dimensions] | None:
    shapes = {name: tensor.shape for name, tensor in source.tensors.items()}
    found = _match(_without_numbers(shapes), source)
    if found is None:  # variables.index of a SavedModel: `variables/7`, but the old names are kept
        names = source.variable_names()
        by_variable = {names[name]: shape for name, shape in shapes.items() if names.get(name)}
        return _match(_without_numbers(by_variable))
    if found[1].num_hidden_layers == 1 and any(
        name.startswith(_SHARED_BLOCK) for name in source.variable_names().values()
    ):
        return None
    return found


def _without_numbers(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Keras keeps some variables under their tensors' names: `kernel:0`."""
    return {name.removesuffix(":0"): shape for name, shape in shapes.items()}


def _match(
    shapes: Mapping[str, Shape], source: TensorSource | None = None
) -> tuple[str, Dimensions] | None:
    for layout in _LAYOUTS:
        roots = _blocks(layout, shapes)
        if roots:
            root = max(roots, key=lambda root: len(roots[root]))  # the first of the largest
            sizes = _sizes(layout, root, roots[root], shapes, source)
            if sizes is not None:
                return layout.name, sizes
    return None


def _blocks(layout: _Layout, shapes: Mapping[str, Shape]) -> dict[str, dict[int, str]]:
    """Root -> number of a block -> its name."""
    block, query = re.escape(layout.layer).replace(r"\{\}", r"(\d+)"), re.escape(layout.query)
    pattern = re.compile(f"({layout.root})({block}){query}")
    roots: dict[str, dict[int, str]] = collections.defaultdict(dict)
    for name in shapes:
        if match := pattern.fullmatch(name):
            roots[match[1]][int(match[3])] = match[1] + match[2]
    return roots


def _sizes(
    layout: _Layout,
    root: str,
    blocks: Mapping[int, str],
    shapes: Mapping[str, Shape],
    source: TensorSource | None,
) -> Dimensions | None:
    def find(name: str) -> Shape | None:
        if name not in shapes and source is not None:
            tensor = source.find(name)  # stored under another path
            return tensor.shape if tensor is not None else None
        return shapes.get(name)

    def table(name: str | None) -> Shape:
        """[rows, width], or () where it is not there."""
        shape = find(root + name) if name is not None else None
        return shape if shape is not None and len(shape) == 2 else ()

    def kernel(shape: Shape) -> Shape:
        return shape[1:] if layout.fused and len(shape) == 3 and shape[0] == 1 else shape

    block = blocks[min(blocks)]
    query = kernel(shapes[block + layout.query])
    if len(query) not in (2, 3):
        return None
    if layout.fused and (query != (query[0], 3 * query[0]) or not table(layout.word)):
        return None
    first = min(blocks)
    spelled = (
        root + name.format(first) if "{}" in name else block + name for name in layout.feed_forward
    )
    into = next(filter(None, map(find, spelled)), None)
    into = kernel(into) if into is not None else None
    if into is not None and len(into) != 2:
        into = None
    word = table(layout.word)
    if not word:  # a pretrainer's checkpoint may keep them with the head that they are tied to
        tied = (shape for name, shape in shapes.items() if _MLM_TABLE.fullmatch(name))
        word = next((shape for shape in tied if len(shape) == 2), ())
    position, types = table(layout.position), table(layout.types)
    inputs, outputs = (-1, 0) if layout.outputs_first else (0, -1)  # axes of a kernel
    return Dimensions(
        num_hidden_layers=len(blocks),
        hidden_size=query[inputs],
        num_attention_heads=query[1] if len(query) == 3 else None,
        intermediate_size=into[outputs] if into else None,
        vocab_size=word[0] if word else None,
        max_position_embeddings=position[0] if position else None,
        type_vocab_size=types[0] if types else None,
        embedding_size=word[1] if word else None,
    )
