"""BERT with talking-heads attention (arxiv.org/abs/2003.02436) and gated GELU
(arxiv.org/abs/2002.05202), as Model Garden trains it: `EncoderScaffold` of `TransformerScaffold`s
with `TalkingHeadsAttention` and `GatedFeedforward`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hubexport.families.bert import Bert
from hubexport.families.registry import register
from hubexport.families.tensor_map import Part, dense, layer_norm, table

if TYPE_CHECKING:
    from hubexport.networks.transformer import Layer
    from hubexport.networks.variables import NamedVariables


@register
class TalkingHeads(Bert):
    """BERT whose attention heads are mixed before and after the softmax."""

    name: ClassVar[str] = "talking_heads"
    title: ClassVar[str] = "Talking-heads BERT"
    layouts: ClassVar[tuple[str, ...]] = ("tf2",)
    marker: ClassVar[str] = "pre_softmax_weight"

    # fmt: off
    def attention(self, layer: str, tf2: str, hugging_face: str) -> list[Part]:
        A = self.config.num_attention_heads
        return super().attention(layer, tf2, hugging_face) + [
            table(f"{layer}/attention/self/{name}", A, A,
                  tf2=f"{tf2}/_attention_layer/{name}")
            for name in ("pre_softmax_weight", "post_softmax_weight")
        ]

    def feed_forward(self, layer: str, tf2: str, hugging_face: str) -> list[Part]:
        H, I = self.config.hidden_size, self.config.intermediate_size  # noqa: E741
        block = f"{tf2}/_feedforward_block"
        return [
            dense(f"{layer}/intermediate/dense", H, I,
                  tf2=f"{block}/_intermediate_dense/0"),
            dense(f"{layer}/output/dense", I, H,
                  tf2=f"{block}/_output_dense/0"),
            layer_norm(f"{layer}/output/LayerNorm", H,
                       tf2=f"{block}/_output_layer_norm/0"),
            # Last: variables keep the order that earlier exports have.
            dense(f"{layer}/gate/dense", H, I,
                  tf2=f"{block}/_gate_dense/0"),
        ]
    # fmt: on

    def attention_layer(self, variables: NamedVariables, scope: str) -> Layer:
        from hubexport.networks.attention import TalkingHeadsAttention

        return TalkingHeadsAttention(self.config, variables, scope)

    def feed_forward_layer(self, variables: NamedVariables, scope: str) -> Layer:
        from hubexport.networks.feed_forward import GatedFeedForward

        return GatedFeedForward(self.config, variables, scope)
