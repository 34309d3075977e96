"""XLNet (arxiv.org/abs/1906.08237): a permutation language model with attention by distance.

From transformers, and as zihangdai/xlnet released it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.families.bert_config import activation
from hubexport.families.configuration import Configuration
from hubexport.families.family import Family
from hubexport.families.heads import (
    INTERFACES,
    Head,
    HeadPooler,
    OptionalInput,
    beam_question_answering,
    other_summary,
    pooled_head,
    token_head,
)
from hubexport.families.labels import Labels
from hubexport.families.names import Names, TF1Names, TorchNames
from hubexport.families.registry import register
from hubexport.families.tensor_map import Leaf, Name, Part, dense, layer_norm, table
from hubexport.families.transforms import (
    AS_IS,
    TRANSPOSED,
    AsIs,
    HeadsMerged,
    Item,
    Squeezed,
    chain,
)
from hubexport.networks.config import MEMORY, NEW_MEMORY
from hubexport.networks.relative_config import RelativeConfig

if TYPE_CHECKING:
    from hubexport.networks.variables import Variables
    from hubexport.networks.xlnet import XlnetEncoder

_SUMMARY = {
    "summary_type": ("last", "first"),
    "summary_use_proj": (True,),
    "summary_activation": ("tanh",),
}
"""What configurations may say of how a text is summarized for classes: tanh of a dense layer."""

_PAD = 5
_TYPES = 4
"""Of tokens, in XLNet's own data: the first segment, the second, <cls>, and padding."""


@dataclasses.dataclass(frozen=True)
class XlnetConfig(RelativeConfig):
    """What shapes an XLNet; see `RelativeConfig`.

    Attributes:
      untie_r: whether each block's attention has biases of its own, and not all the same.
    """

    untie_r: bool = True


@register
class Xlnet(Family):
    """Where an XLNet's numbers come from and which network they fill; see `Family`."""

    name: ClassVar[str] = "xlnet"
    title: ClassVar[str] = "XLNet"
    model_types: ClassVar[tuple[str, ...]] = ("xlnet",)
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face", "tf1")
    keys: ClassVar[frozenset[str]] = frozenset({"d_model", "untie_r", "ff_activation"})
    default_pooler: ClassVar[str] = "lasttoken"
    padding_side: ClassVar[str] = "any"
    transformers: ClassVar[str] = "XLNet"
    config: XlnetConfig

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> XlnetConfig:
        """transformers' config.json, or xlnet_config.json.

        The latter says nothing of what zihangdai/xlnet's programs take as flags, of which the
        defaults are meant.
        """
        get, values = configuration.integer, configuration.values
        configuration.refuse("bi_data", False, why="half of each batch would be read backwards")
        configuration.refuse("same_length", False, why="every token sees all of the memory")
        configuration.refuse("reuse_len", 0, why="a memory keeps all steps of its segment")
        configuration.refuse("pruned_heads", {}, why="every layer must have all its heads")
        tied = "the language model multiplies by the table of words"
        configuration.refuse("tie_word_embeddings", True, why=tied)
        configuration.refuse("attn_type", "bi", "uni", why="tokens see both sides, or one")
        size = get("d_model", aliases=("hidden_size",))
        heads = get("n_head", aliases=("num_attention_heads",))
        if "d_head" not in values and size % heads:
            configuration.refuse("n_head", why=f"{size} hidden units are not a multiple of it")
        clamp, padded = values.get("clamp_len", -1), values.get("pad_token_id") is not None
        rate = configuration.fraction("dropout", 0.1)
        eps = 1e-12  # in the code of zihangdai/xlnet's modeling.py
        if source.layout == "hugging_face":
            eps = configuration.fraction("layer_norm_eps", eps)
        return XlnetConfig(
            vocab_size=get("vocab_size", aliases=("n_token",)),
            hidden_size=size,
            num_hidden_layers=get("n_layer", aliases=("num_hidden_layers",)),
            num_attention_heads=heads,
            head_size=get("d_head", size // heads),
            intermediate_size=get("d_inner"),
            max_position_embeddings=None,
            type_vocab_size=_TYPES,
            embedding_size=size,
            hidden_act=activation(configuration, "ff_activation", source.layout, overridden),
            layer_norm_eps=eps,
            hidden_dropout_prob=rate,
            attention_probs_dropout_prob=rate,
            pad_token_id=get("pad_token_id", minimum=0) if padded else _PAD,
            causal=values.get("attn_type") == "uni",
            clamp_len=None if clamp in (None, -1) else get("clamp_len"),
            mem_len=get("mem_len", minimum=0) if values.get("mem_len") else None,
            untie_r=configuration.flag("untie_r", True),
        )

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        marker = re.compile(r".*layer[._]\d+[./]rel_attn[./](seg_embed|k(/kernel)?)")
        named = any(marker.fullmatch(name) for name in source.tensors)
        return ["tensors *rel_attn*"] if named else []

    def spelling(self, source: TensorSource) -> Names:
        if source.layout == "tf1":
            return XlnetTF1Names(source)
        return TorchNames(source, prefix="transformer.")

    def conventions(self) -> dict[str, object]:
        return {**super().conventions(), "causal": self.config.causal}

    def dropout_places(self) -> int:
        """Behind the embeddings, the sinusoids and the last block; and four in each block."""
        return 3 + 4 * self.config.num_hidden_layers if self.config.hidden_dropout_prob else 0

    def optional_inputs(self) -> Mapping[str, OptionalInput]:
        c = self.config
        axes = ("B", c.num_hidden_layers, "M", c.hidden_size)
        return {MEMORY: OptionalInput(
            "what the blocks were given for the tokens before, of which there may be none",
            axes, None, {NEW_MEMORY: axes},
        )}  # fmt: skip

    # fmt: off
    def encoder(self) -> list[Part]:
        """Everything but heads."""
        c, H = self.config, self.config.hidden_size
        parts = [table("embeddings/word_embeddings", c.vocab_size, H,
                       hugging_face="word_embedding.weight",
                       tf1="model/transformer/word_embedding/lookup_table")]
        if not self._biases_of_blocks:
            parts += self._biases("encoder", "", None)
        for i in range(c.num_hidden_layers):
            parts += self._block(f"encoder/layer_{i}", i)
        return parts

    def _block(self, ours: str, i: int) -> list[Part]:
        c = self.config
        H, I, AD = c.hidden_size, c.intermediate_size, c.num_attention_heads * c.head_size  # noqa: E741
        theirs, tf1 = f"layer.{i}", f"model/transformer/layer_{i}"
        heads = HeadsMerged((H, c.num_attention_heads, c.head_size))

        def norm(scope: str, name: str, tf1_name: str) -> Part:
            return layer_norm(f"{scope}/output/LayerNorm", H, hugging_face=f"{theirs}.{name}",
                              tf1=f"{tf1}/{tf1_name}/LayerNorm")

        def feed_forward(scope: str, size_in: int, size_out: int, name: str) -> Part:
            return dense(f"{ours}/{scope}/dense", size_in, size_out,
                         hugging_face=f"{theirs}.ff.{name}", tf1=f"{tf1}/ff/{name}")

        attention = f"{ours}/attention"
        seg_embed = (2, c.num_attention_heads, c.head_size)
        return [
            *(table(f"{attention}/self/{name}/kernel", H, AD, transform=heads,
                    hugging_face=f"{theirs}.rel_attn.{name[0]}",
                    tf1=f"{tf1}/rel_attn/{name[0]}/kernel")
              for name in ("query", "key", "value", "relative")),
            *(self._biases(f"{attention}/self", f"{theirs}.rel_attn.", i)
              if self._biases_of_blocks else []),
            self._stacked(f"{attention}/self/seg_embed", seg_embed, f"{theirs}.rel_attn.seg_embed",
                          "model/transformer/seg_embed", i),
            table(f"{attention}/output/dense/kernel", AD, H,
                  # Theirs is [H, A, D].
                  transform=chain(HeadsMerged((H, c.num_attention_heads, c.head_size)), TRANSPOSED),
                  hugging_face=f"{theirs}.rel_attn.o", tf1=f"{tf1}/rel_attn/o/kernel"),
            norm(attention, "rel_attn.layer_norm", "rel_attn"),
            feed_forward("intermediate", H, I, "layer_1"),
            feed_forward("output", I, H, "layer_2"),
            norm(ours, "ff.layer_norm", "ff"),
        ]

    @property
    def _biases_of_blocks(self) -> bool:
        """Whether there are biases for each block: transformers keeps them so in any case."""
        return self.config.untie_r or self.source.layout != "tf1"

    def _biases(self, scope: str, theirs: str, i: int | None) -> list[Part]:
        shape = (self.config.num_attention_heads, self.config.head_size)
        return [
            self._stacked(f"{scope}/{name}", shape, f"{theirs}{name}",
                          f"model/transformer/{name}", i)
            for name in ("r_w_bias", "r_r_bias", "r_s_bias")
        ]

    def _stacked(
        self, scope: str, shape: tuple[int, ...], theirs: str, tf1: str, i: int | None
    ) -> Part:
        """What zihangdai/xlnet keeps of all blocks in one tensor, or once for all."""
        item: AsIs = AS_IS if i is None else Item(i, self.config.num_hidden_layers)
        return Part(scope, (Leaf("", shape, {"tf1": item}),), {"hugging_face": theirs, "tf1": tf1})

    def heads(self) -> Mapping[str, Head]:
        c = self.config
        logits = {"hugging_face": "logits_proj"}
        classes = {**logits, "tf1": XlnetTF1Names.CLASSES}
        classifier = {"hugging_face": "classifier"}
        refused = other_summary(self.configuration, _SUMMARY)
        first = self.configuration.values.get("summary_type") == "first"
        pooling = "cls" if first else "lasttoken"

        def summarized(name: str, labels: Labels, names: Mapping[str, Name]) -> Head:
            pooler = HeadPooler(dense(
                f"cls/{name}/pooler/dense", c.hidden_size, c.hidden_size, base=False,
                hugging_face="sequence_summary.summary", tf1="model/sequnece_summary/summary"))
            return pooled_head(name, c, labels, pooler, names, pooling=pooling, refused=refused)

        return {
            "lm": self._language_model(),
            "classifier": summarized("classifier", self.labels(classes), classes),
            "token_classifier": token_head(
                "token_classifier", "token_classifier", c, self.labels(classifier), classifier),
            "qa": token_head(
                "qa", "span_classifier", c, Labels(2), {"hugging_face": "qa_outputs"}),
            "qa_beam": beam_question_answering(
                c, "", beginnings=self.configuration.integer("start_n_top", 5),
                ends=self.configuration.integer("end_n_top", 5)),
            "multiple_choice": summarized("multiple_choice", Labels(1), logits),
        }

    def _language_model(self) -> Head:
        c, scope = self.config, "cls/lm"
        bias = Part(f"{scope}/output_bias", (Leaf("", (c.vocab_size,)),),
                    {"hugging_face": "lm_loss.bias", "tf1": "model/lm_loss/bias"}, base=False)
        mask = table(f"{scope}/mask_emb", c.hidden_size, transform=chain(Squeezed(), Squeezed()),
                     hugging_face="mask_emb", tf1="model/transformer/mask_emb/mask_emb")
        interface = dataclasses.replace(
            INTERFACES["lm"].sized(V=c.vocab_size),
            purpose="guessing tokens in any order",
            inputs={"perm_mask": ("B", "S", "S"), "target_mapping": ("B", "N", "S")},
            functions={},
            encodes=True,
            # As of the encoder, but of two streams, which have embeddings and blocks of their own.
            dropout_places=4 + 8 * c.num_hidden_layers if c.hidden_dropout_prob else 0,
        )
        return Head("permutation_language_model", scope, interface, (bias,), companions=(mask,))
    # fmt: on

    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = {
        "lm_loss.weight": ("embeddings/word_embeddings", "embeddings/word_embeddings"),
    }

    def network(self, variables: Variables) -> XlnetEncoder:
        from hubexport.networks.xlnet import XlnetEncoder

        return XlnetEncoder(self.config, variables, "" if self._biases_of_blocks else "encoder")


class XlnetTF1Names(TF1Names):
    """zihangdai/xlnet's own; the output layer for classes has its task's name in it."""

    CLASSES: ClassVar[str] = "model/classification/logit"

    def __init__(self, source: TensorSource):
        task = re.compile(r"(model/(classification|regression)_[^/]+/logit)/kernel")
        found = [match[1] for name in source.tensors if (match := task.fullmatch(name))]
        self._classes = found[0] if len(found) == 1 else self.CLASSES

    def tensor(self, part: Part, leaf: str) -> str:
        if part.names.get("tf1") == self.CLASSES:
            leaf = {"output_weights": "kernel", "output_bias": "bias"}[leaf]
            return f"{self._classes}/{leaf}"
        return super().tensor(part, leaf)

    def transform(self, leaf: Leaf) -> AsIs:
        return TRANSPOSED if leaf.name == "output_weights" else super().transform(leaf)

    def knows(self, part: Part) -> bool:
        return "tf1" in part.names
