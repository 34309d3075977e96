"""GPT-2 (openai.com/index/better-language-models): GPT that normalizes before each layer."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.families.configuration import Configuration
from hubexport.families.gpt import Gpt, with_openai_name
from hubexport.families.gpt_config import GptConfig, read_gpt
from hubexport.families.heads import Head, token_head
from hubexport.families.labels import Labels
from hubexport.families.registry import register
from hubexport.families.tensor_map import Part, layer_norm

if TYPE_CHECKING:
    from hubexport.networks.layers import LayerNorm
    from hubexport.networks.transformer import Layer, MakeBlock
    from hubexport.networks.variables import NamedVariables, Variables


@register
class Gpt2(Gpt):
    """GPT with norms before its layers and one behind the last block; see `Family`."""

    name: ClassVar[str] = "gpt2"
    title: ClassVar[str] = "GPT-2"
    model_types: ClassVar[tuple[str, ...]] = ("gpt2",)
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face", "tf1")
    layer_scale: ClassVar[str] = "residual"
    transformers: ClassVar[str] = "GPT2"
    word_table: ClassVar[str] = "wte.weight"
    position_table: ClassVar[str] = "wpe.weight"

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> GptConfig:
        config = read_gpt(configuration, overridden, activation_key="activation_function")
        return dataclasses.replace(
            config,
            scale_attn_weights=configuration.flag("scale_attn_weights", True),
            scale_attn_by_inverse_layer_idx=configuration.flag(
                "scale_attn_by_inverse_layer_idx", False
            ),
        )

    # fmt: off
    def encoder(self) -> list[Part]:
        """Everything but heads."""
        last = layer_norm("encoder/LayerNorm", self.config.hidden_size, hugging_face="ln_f")
        return [*super().encoder(), with_openai_name(last)]

    def block_parts(self, ours: str, theirs: str) -> list[Part]:
        """A block's weights: its layers, each behind its norm."""
        H = self.config.hidden_size
        attention, feed_forward = self.layers(ours, theirs)
        return [
            layer_norm(f"{ours}/attention/LayerNorm", H, hugging_face=f"{theirs}.ln_1"),
            *attention,
            layer_norm(f"{ours}/intermediate/LayerNorm", H, hugging_face=f"{theirs}.ln_2"),
            *feed_forward,
        ]

    def heads(self) -> Mapping[str, Head]:
        c, classifier = self.config, {"hugging_face": "classifier"}
        return {
            **super().heads(),
            "token_classifier": token_head(
                "token_classifier", "token_classifier", c, self.labels(classifier), classifier),
            "qa": token_head(
                "qa", "span_classifier", c, Labels(2), {"hugging_face": "qa_outputs"}),
        }
    # fmt: on

    fine_tuned: ClassVar[tuple[str, ...]] = (
        "score.weight",
        "classifier.weight",
        "qa_outputs.weight",
    )

    def blocks(self) -> Sequence[tuple[MakeBlock, str]]:
        scales = [self.score_scale(i) for i in range(self.config.num_hidden_layers)]
        kinds = {scale: functools.partial(self.pre_norm_block, scale=scale) for scale in scales}
        return [(kinds[scale], f"encoder/layer_{i}") for i, scale in enumerate(scales)]

    def score_scale(self, layer: int) -> float:
        """What the attention scores of a block are multiplied by."""
        c = self.config
        scale = 1.0 / math.sqrt(c.head_size) if c.scale_attn_weights else 1.0
        return scale / (layer + 1) if c.scale_attn_by_inverse_layer_idx else scale

    def last_norm(self, variables: Variables) -> LayerNorm | None:
        from hubexport.networks.layers import LayerNorm

        c = self.config
        return LayerNorm(variables, "encoder/LayerNorm", c.hidden_size, c.layer_norm_eps)

    def pre_norm_block(self, variables: NamedVariables, scope: str, scale: float) -> Layer:
        """Attention, then feed-forward, normalized before each."""
        from hubexport.networks.attention import SelfAttention
        from hubexport.networks.feed_forward import FeedForward
        from hubexport.networks.layers import LayerNorm
        from hubexport.networks.transformer import PreNorm, TransformerBlock

        c, attention = self.config, f"{scope}/attention"

        def pre_norm(layer: Layer, scope: str) -> PreNorm:
            norm = LayerNorm(variables, f"{scope}/LayerNorm", c.hidden_size, c.layer_norm_eps)
            return PreNorm(layer, norm, c.hidden_dropout_prob)

        return TransformerBlock(
            pre_norm(SelfAttention(c, variables, attention, scale), attention),
            pre_norm(FeedForward(c, variables, scope), f"{scope}/intermediate"),
        )
