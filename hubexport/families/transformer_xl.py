"""Transformer-XL (arxiv.org/abs/1901.02860): relative distances, a memory, words in clusters.

From transformers 4, which was the last to have it, and from the original program for TensorFlow
(kimiyoung/transformer-xl).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.training_state import FREQUENCIES, training_state
from hubexport.errors import ConfigurationError
from hubexport.families.configuration import Configuration
from hubexport.families.family import Family
from hubexport.families.heads import (
    Head,
    OptionalInput,
    adaptive_language_model,
    pooled_head,
)
from hubexport.families.names import Names, TF1Names, TorchNames
from hubexport.families.registry import register
from hubexport.families.tensor_map import Leaf, Part, dense, layer_norm, table
from hubexport.families.transformer_xl_config import TransformerXlConfig, read_transformer_xl
from hubexport.families.transforms import (
    AS_IS,
    TRANSPOSED,
    AsIs,
    Columns,
    Item,
    Rows,
    chain,
)
from hubexport.networks.config import MEMORY, NEW_MEMORY

if TYPE_CHECKING:
    from hubexport.networks.relative import RelativeEncoder
    from hubexport.networks.transformer import Layer
    from hubexport.networks.variables import NamedVariables, Variables

_PROJECTIONS = ("query", "key", "value")
"""The order of the rows, or columns, of the kernel that computes all three."""

_BIASES = ("r_w_bias", "r_r_bias")
"""Added to queries before they meet keys, and distances."""


@register
class TransformerXl(Family):
    """Where a Transformer-XL's numbers come from and which network they fill; see `Family`."""

    name: ClassVar[str] = "transformer_xl"
    title: ClassVar[str] = "Transformer-XL"
    model_types: ClassVar[tuple[str, ...]] = ("transfo-xl",)
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face", "tf1")
    keys: ClassVar[frozenset[str]] = frozenset({"cutoffs"})
    default_pooler: ClassVar[str] = "lasttoken"
    padding_side: ClassVar[str] = "any"
    causal: ClassVar[bool] = True
    ignored_inputs: ClassVar[tuple[str, ...]] = ("input_type_ids",)
    transformers: ClassVar[str] = "TransfoXL"
    transformers_releases: ClassVar[str] = ">=4.36,<4.58"
    config: TransformerXlConfig

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> TransformerXlConfig:
        return read_transformer_xl(configuration, source.layout)

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        pattern = re.compile(
            r"(.*\.)?dec_attn\.r_net\.weight|transformer/layer_0/rel_attn/qkv/kernel"
        )
        named = next((name for name in source.tensors if pattern.fullmatch(name)), None)
        return [f"a tensor {named}"] if named else []

    def _check(self) -> None:
        """Also that the frequencies that transformers keeps are those that the network computes."""
        super()._check()
        size = self.config.hidden_size
        expected = 10000.0 ** -(np.arange(0, size, 2) / size)
        for name, kind in training_state(self.source).items():
            if kind != FREQUENCIES:
                continue
            found = self.source.tensors[name].read().astype(np.float64)
            if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-5, atol=0):
                raise ConfigurationError(
                    "distances are told by other frequencies than Transformer-XL's",
                    [("checkpoint", str(self.source.path)), ("tensor", name)],
                    "pass a checkpoint in float32 that transformers' own class can load: buffers "
                    "are rounded with the weights where a model is cast.",
                )

    def spelling(self, source: TensorSource) -> Names:
        if source.layout == "tf1":
            return TF1Names()
        return TorchNames(source, prefix="transformer.")

    def conventions(self) -> dict[str, object]:
        scale = "residual" if self.config.pre_lnorm else "normalized"
        return {**super().conventions(), "layer_scale": scale}

    # fmt: off
    def encoder(self) -> list[Part]:
        """Everything but heads."""
        parts = self.embeddings()
        if not self.config.untie_r:
            parts += [self.bias(f"encoder/{bias}", bias, hugging_face=bias) for bias in _BIASES]
        for i in range(self.config.num_hidden_layers):
            parts += self.block_parts(i)
        return parts

    def embeddings(self) -> list[Part]:
        """Of each lookup table, its rows and its projection."""
        parts = []
        for i, of_words in enumerate(self.config.clusters.tables):
            ours, theirs = f"embeddings/cutoff_{i}", "transformer/adaptive_embed"
            theirs += "" if self.config.div_val == 1 else f"/cutoff_{i}"
            parts.append(table(
                f"{ours}/word_embeddings", of_words.end - of_words.start, of_words.size,
                hugging_face=f"word_emb.emb_layers.{i}.weight", tf1=f"{theirs}/lookup_table"))
            if of_words.projected:
                parts.append(self.projection(
                    f"{ours}/projection", of_words.size,
                    hugging_face=f"word_emb.emb_projs.{i}", tf1=f"{theirs}/proj_W"))
        return parts

    def projection(self, scope: str, size: int, *, base: bool = True, **names: str) -> Part:
        """A matrix [size, H]."""
        leaf = Leaf("", (size, self.config.hidden_size), {"hugging_face": TRANSPOSED})
        return Part(scope, (leaf,), names, base)

    def bias(self, scope: str, name: str, item: AsIs = AS_IS, **names: str) -> Part:
        """A bias of attention, [A, D]; the original program keeps those of all layers as one."""
        shape = (self.config.num_attention_heads, self.config.head_size)
        names["tf1"] = f"transformer/{name}"
        return Part(scope, (Leaf("", shape, {"tf1": item}),), names)

    def norms(self, scope: str) -> tuple[str, str]:
        """Scopes of a block's norms: of attention's, and of the feed-forward layer's."""
        if self.config.pre_lnorm:
            return f"{scope}/attention/LayerNorm", f"{scope}/intermediate/LayerNorm"
        return f"{scope}/attention/output/LayerNorm", f"{scope}/output/LayerNorm"

    def block_parts(self, i: int) -> list[Part]:
        """A block's weights."""
        c, ours, theirs = self.config, f"encoder/layer_{i}", f"layers.{i}"
        H, I, L = c.hidden_size, c.intermediate_size, c.num_hidden_layers  # noqa: E741
        of_attention, of_feed_forward = self.norms(ours)
        AD, original = c.num_attention_heads * c.head_size, f"transformer/layer_{i}"

        def kernel(
            scope: str, size_in: int, size_out: int, name: str, cut: int | None = None
        ) -> Part:
            transforms: dict[str, AsIs] = {"hugging_face": TRANSPOSED}
            if cut is not None:
                of = 3 * size_out
                transforms = {
                    "hugging_face": chain(Rows(cut * size_out, of), TRANSPOSED),
                    "tf1": Columns(cut * size_out, of),
                }
            leaf = Leaf("kernel", (size_in, size_out), transforms)
            names = {"hugging_face": f"{theirs}.dec_attn.{name}_net",
                     "tf1": f"{original}/rel_attn/{name}"}
            return Part(f"{ours}/attention/{scope}", (leaf,), names)

        return [
            *(kernel(f"self/{name}", H, AD, "qkv", n) for n, name in enumerate(_PROJECTIONS)),
            kernel("self/relative", H, AD, "r"),
            *((self.bias(f"{ours}/attention/self/{bias}", bias, Item(i, L),
                         hugging_face=f"{theirs}.dec_attn.{bias}") for bias in _BIASES)
              if c.untie_r else ()),
            kernel("output/dense", AD, H, "o"),
            layer_norm(of_attention, H,
                       hugging_face=f"{theirs}.dec_attn.layer_norm",
                       tf1=f"{original}/rel_attn/LayerNorm"),
            dense(f"{ours}/intermediate/dense", H, I,
                  hugging_face=f"{theirs}.pos_ff.CoreNet.0", tf1=f"{original}/ff/layer_1"),
            dense(f"{ours}/output/dense", I, H,
                  hugging_face=f"{theirs}.pos_ff.CoreNet.3", tf1=f"{original}/ff/layer_2"),
            layer_norm(of_feed_forward, H,
                       hugging_face=f"{theirs}.pos_ff.layer_norm",
                       tf1=f"{original}/ff/LayerNorm"),
        ]

    def heads(self) -> Mapping[str, Head]:
        c, score = self.config, {"hugging_face": "score"}
        return {
            "lm": adaptive_language_model(c, self.softmax("cls/lm")),
            "classifier": pooled_head(
                "classifier", c, self.labels(score), None, score,
                pooling="lasttoken", bias=False),
        }

    def softmax(self, scope: str) -> list[Part]:
        """What a language model has beside the tables that it shares with the embeddings."""
        c, clusters, theirs = self.config, self.config.clusters, "transformer/adaptive_softmax"
        others, parts = len(clusters.ends) - 1, []
        for i, (start, end) in enumerate(clusters.ranges):
            number, cut = clusters.table(i), AS_IS
            own = f"{theirs}/cutoff_{i}" if others else theirs
            if len(clusters.tables) <= others:  # transformers keeps the biases with the one table
                cut = Rows(start, c.vocab_size)
            bias = Leaf("", (end - start,), {"hugging_face": cut})
            parts.append(Part(
                f"{scope}/cutoff_{i}/output_bias", (bias,),
                {"hugging_face": f"crit.out_layers.{number}.bias",
                 "tf1": f"{own}/b" if others else f"{own}/bias"}, base=False))
            if clusters.tables[number].projected and not clusters.tied[i]:
                parts.append(self.projection(
                    f"{scope}/cutoff_{i}/projection", clusters.tables[number].size, base=False,
                    hugging_face=f"crit.out_projs.{i}", tf1=f"{own}/proj"))
        if others:
            parts += [
                table(f"{scope}/clusters/{ours}", *shape, base=False,
                      hugging_face=f"crit.cluster_{torchs}",
                      tf1=f"{theirs}/cutoff_0/cluster_{originals}")
                for ours, torchs, originals, shape in (
                    ("output_weights", "weight", "W", (others, clusters.tables[0].size)),
                    ("output_bias", "bias", "b", (others,)))
            ]
        return parts
    # fmt: on

    def optional_inputs(self) -> Mapping[str, OptionalInput]:
        shape = ("B", self.config.num_hidden_layers, "M", self.config.hidden_size)
        kept = self.config.mem_len
        return {MEMORY: OptionalInput(
            purpose="what the layers were given for the tokens before these, as `new_mems` of an "
            f"earlier call; it keeps the last {kept:,} tokens",
            axes=shape,
            outputs={NEW_MEMORY: shape},
        )}  # fmt: skip

    def dropout_places(self) -> int:
        """Behind embeddings, sinusoids and the last layer; in each layer, of attention's weights
        and behind it, and within the feed-forward layer and behind it."""
        c, L = self.config, self.config.num_hidden_layers
        hidden = 3 + 3 * L if c.hidden_dropout_prob else 0
        return hidden + (L if c.attention_probs_dropout_prob else 0)

    def network(self, variables: Variables) -> RelativeEncoder:
        from hubexport.networks.adaptive import AdaptiveEmbeddings
        from hubexport.networks.relative import RelativeEncoder, causal_bias_of
        from hubexport.networks.transformer import Stack

        c = self.config
        embeddings = AdaptiveEmbeddings(c, variables, c.clusters)
        layers = range(c.num_hidden_layers)
        stack = Stack(variables, [(self.block, f"encoder/layer_{i}") for i in layers])
        return RelativeEncoder(c, embeddings, stack, causal_bias_of(c.attention_span))

    def block(self, variables: NamedVariables, scope: str) -> Layer:
        """Attention, then feed-forward, normalized behind each, or before."""
        from hubexport.networks.feed_forward import FeedForward
        from hubexport.networks.layers import LayerNorm
        from hubexport.networks.relative import RelativeAttention
        from hubexport.networks.transformer import PostNorm, PreNorm, TransformerBlock

        c, (of_attention, of_feed_forward) = self.config, self.norms(scope)
        rate, residual = c.hidden_dropout_prob, PreNorm if c.pre_lnorm else PostNorm

        def norm(scope: str) -> LayerNorm:
            return LayerNorm(variables, scope, c.hidden_size, c.layer_norm_eps)

        norm_of_attention = norm(of_attention)
        attention = RelativeAttention(
            c,
            variables,
            f"{scope}/attention",
            shared="" if c.untie_r else "encoder",
            memory_norm=norm_of_attention if c.pre_lnorm else None,
        )
        return TransformerBlock(
            residual(attention, norm_of_attention, rate),
            residual(FeedForward(c, variables, scope, rate), norm(of_feed_forward), rate),
        )

    def tied(self) -> Mapping[str, tuple[str, str]]:
        """Tables and projections that transformers' language model shares with the embeddings, and
        biases that all layers share: PyTorch has them under every name."""
        c, clusters, softmax = self.config, self.config.clusters, "cls/lm/cutoff_0/output_bias"
        found = {
            f"crit.out_layers.{i}.weight": (softmax, f"embeddings/cutoff_{i}/word_embeddings")
            for i, _ in enumerate(clusters.tables)
        }
        for i, tied in enumerate(clusters.tied):
            number = clusters.table(i)
            if tied and clusters.tables[number].projected:
                projection = f"embeddings/cutoff_{number}/projection"
                found[f"crit.out_projs.{i}"] = (softmax, projection)
        if not c.untie_r:
            prefix = self.names.prefix if isinstance(self.names, TorchNames) else ""
            found |= {
                f"{prefix}layers.{i}.dec_attn.{bias}": (f"encoder/{bias}", f"encoder/{bias}")
                for i in range(c.num_hidden_layers)
                for bias in _BIASES
            }
        return found
