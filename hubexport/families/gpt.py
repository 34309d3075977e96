"""GPT (openai.com/index/language-unsupervised): a Transformer that sees no token to come.

From transformers, from the archives of its predecessor pytorch_pretrained_bert, and as OpenAI
released it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.families.configuration import Configuration
from hubexport.families.family import Family
from hubexport.families.gpt_config import GptConfig, read_gpt
from hubexport.families.heads import (
    Head,
    causal_language_model,
    double_heads,
    linear_summary,
    other_summary,
    pooled_head,
)
from hubexport.families.names import Names, OpenAINames, TorchNames
from hubexport.families.registry import register
from hubexport.families.tensor_map import Part, conv1d, layer_norm, table
from hubexport.families.transforms import AS_IS, AsIs, Columns, Rows

if TYPE_CHECKING:
    from hubexport.networks.layers import LayerNorm
    from hubexport.networks.transformer import Encoder, Layer, MakeBlock
    from hubexport.networks.variables import NamedVariables, Variables

_PROJECTIONS = ("query", "key", "value")
"""The order of the columns of the kernel that computes all three."""


@register
class Gpt(Family):
    """Where a GPT's numbers come from and which network they fill; see `Family`."""

    name: ClassVar[str] = "gpt"
    title: ClassVar[str] = "GPT"
    model_types: ClassVar[tuple[str, ...]] = ("openai-gpt",)
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face", "openai")
    default_pooler: ClassVar[str] = "lasttoken"
    padding_side: ClassVar[str] = "any"
    causal: ClassVar[bool] = True
    positions_from_mask: ClassVar[bool] = True
    ignored_inputs: ClassVar[tuple[str, ...]] = ("input_type_ids",)
    transformers: ClassVar[str] = "OpenAIGPT"
    word_table: ClassVar[str] = "tokens_embed.weight"
    position_table: ClassVar[str] = "positions_embed.weight"
    config: GptConfig

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> GptConfig:
        return read_gpt(configuration, overridden, activation_key="afn")

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        openais = _OPENAI_TABLES[cls.word_table]
        if openais in source.tensors:
            return [f"a tensor {openais}"]
        named = any(name.endswith(cls.word_table) for name in source.tensors)
        return [f"a tensor *{cls.word_table}"] if named else []

    def spelling(self, source: TensorSource) -> Names:
        return GptNames(source) if source.layout == "hugging_face" else OpenAINames()

    def embedding_dropout(self) -> float:
        rate = self.config.embedding_dropout_prob
        return super().embedding_dropout() if rate is None else rate

    # fmt: off
    def encoder(self) -> list[Part]:
        """Everything but heads."""
        c, H = self.config, self.config.hidden_size
        rows, trained = c.max_position_embeddings, self.trained_positions
        assert rows is not None and trained is not None
        fewer: AsIs = Rows(0, trained, "fewer positions are asked for")
        parts = [
            table("embeddings/word_embeddings", c.vocab_size, H, hugging_face=self.word_table),
            table("embeddings/position_embeddings", rows, H,
                  transform=AS_IS if rows == trained else fewer,
                  hugging_face=self.position_table),
        ]
        for i in range(c.num_hidden_layers):
            parts += self.block_parts(f"encoder/layer_{i}", f"h.{i}")
        return [with_openai_name(part) for part in parts]

    def block_parts(self, ours: str, theirs: str) -> list[Part]:
        """A block's weights: its layers, each followed by its norm."""
        H = self.config.hidden_size
        attention, feed_forward = self.layers(ours, theirs)
        return [
            *attention,
            layer_norm(f"{ours}/attention/output/LayerNorm", H, hugging_face=f"{theirs}.ln_1"),
            *feed_forward,
            layer_norm(f"{ours}/output/LayerNorm", H, hugging_face=f"{theirs}.ln_2"),
        ]

    def layers(self, ours: str, theirs: str) -> tuple[list[Part], list[Part]]:
        """The weights of a block's attention and of its feed-forward layer."""
        H, I = self.config.hidden_size, self.config.intermediate_size  # noqa: E741
        attention = [
            *(conv1d(f"{ours}/attention/self/{name}", H, H, cut=Columns(n * H, 3 * H),
                     hugging_face=f"{theirs}.attn.c_attn")
              for n, name in enumerate(_PROJECTIONS)),
            conv1d(f"{ours}/attention/output/dense", H, H, hugging_face=f"{theirs}.attn.c_proj"),
        ]
        return attention, [
            conv1d(f"{ours}/intermediate/dense", H, I, hugging_face=f"{theirs}.mlp.c_fc"),
            conv1d(f"{ours}/output/dense", I, H, hugging_face=f"{theirs}.mlp.c_proj"),
        ]

    def heads(self) -> Mapping[str, Head]:
        c = self.config
        score = {"hugging_face": "score"}
        fine_tuned = any(self.source.find(name) for name in self.fine_tuned)
        return {
            "lm": causal_language_model(c, carried=not fine_tuned),
            "double_heads": double_heads(
                c, {"hugging_face": ("multiple_choice_head.summary",
                                     "multiple_choice_head.linear")},
                refused=other_summary(self.configuration, linear_summary("cls_index"))),
            "classifier": pooled_head(
                "classifier", c, self.labels(score), None, score,
                pooling="lasttoken", bias=False),
        }
    # fmt: on

    fine_tuned: ClassVar[tuple[str, ...]] = ("score.weight",)
    """Tensors of heads that are trained in place of the language model."""

    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = dict.fromkeys(
        ("lm_head.weight", "lm_head.decoder.weight"),
        ("embeddings/word_embeddings", "embeddings/word_embeddings"),
    )

    def network(self, variables: Variables) -> Encoder:
        from hubexport.networks.embeddings import GptEmbeddings
        from hubexport.networks.transformer import Encoder, Stack, causal_state

        c = self.config
        embeddings = GptEmbeddings(c, variables, self.embedding_dropout())
        stack = Stack(variables, self.blocks())
        return Encoder(c, embeddings, stack, causal_state, self.last_norm(variables))

    def blocks(self) -> Sequence[tuple[MakeBlock, str]]:
        """What makes each block, and its scope."""
        return [(self.block, f"encoder/layer_{i}") for i in range(self.config.num_hidden_layers)]

    def last_norm(self, variables: Variables) -> LayerNorm | None:
        """The norm behind the last block."""
        return None

    def block(self, variables: NamedVariables, scope: str) -> Layer:
        """Attention, then feed-forward, normalized behind each."""
        from hubexport.networks.attention import SelfAttention
        from hubexport.networks.feed_forward import FeedForward
        from hubexport.networks.layers import LayerNorm
        from hubexport.networks.transformer import PostNorm, TransformerBlock

        c, attention = self.config, f"{scope}/attention"

        def post_norm(layer: Layer, scope: str) -> PostNorm:
            norm = LayerNorm(variables, f"{scope}/LayerNorm", c.hidden_size, c.layer_norm_eps)
            return PostNorm(layer, norm, c.hidden_dropout_prob)

        return TransformerBlock(
            post_norm(SelfAttention(c, variables, attention), f"{attention}/output"),
            post_norm(FeedForward(c, variables, scope), f"{scope}/output"),
        )


_OPENAI_TABLES = {
    "tokens_embed.weight": "model/we",
    "positions_embed.weight": "model/pe",
    "wte.weight": "model/wte",
    "wpe.weight": "model/wpe",
}
"""transformers' tables -> those of OpenAI's programs, of GPT and of GPT-2."""


def with_openai_name(part: Part) -> Part:
    """The part with its name in OpenAI's programs: `h.0.ln_1` is `model/h0/ln_1` there."""
    name = part.names["hugging_face"]
    assert isinstance(name, str), part
    layer = re.sub(r"^h\.", "h", name).replace(".", "/")
    return part.renamed(openai=_OPENAI_TABLES.get(name, f"model/{layer}"))


class GptNames(TorchNames):
    """transformers' names; pytorch_pretrained_bert's archives may have `w`, `b` and `g` for leaves,
    as OpenAI's programs do."""

    def __init__(self, source: TensorSource):
        super().__init__(source, prefix="transformer.")
        self._short = any(re.search(r"\.ln_\w+\.g$", name) for name in source.tensors)

    def tensor(self, part: Part, leaf: str) -> str:
        name = super().tensor(part, leaf)
        if self._short and self._source.find(name) is None:
            stem, _, last = name.rpartition(".")
            short = {"weight": "g" if leaf == "gamma" else "w", "bias": "b"}.get(last, last)
            return f"{stem}.{short}"
        return name
