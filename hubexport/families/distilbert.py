"""DistilBERT (arxiv.org/abs/1910.01108): half of BERT's layers, no token types, no pooler."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.families.bert import Bert
from hubexport.families.bert_config import activation
from hubexport.families.configuration import Configuration
from hubexport.families.heads import (
    Head,
    HeadPooler,
    masked_language_model,
    pooled_head,
    token_head,
)
from hubexport.families.labels import Labels
from hubexport.families.names import Names, TorchNames
from hubexport.families.registry import register
from hubexport.families.tensor_map import Part, dense, layer_norm, table
from hubexport.networks.config import EncoderConfig


@register
class DistilBert(Bert):
    """BERT without token types, under names of its own; see `Family`."""

    name: ClassVar[str] = "distilbert"
    title: ClassVar[str] = "DistilBERT"
    model_types: ClassVar[tuple[str, ...]] = ("distilbert",)
    encoder_types: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face",)
    keys: ClassVar[frozenset[str]] = frozenset({"dim", "hidden_dim"})
    default_pooler: ClassVar[str] = "cls"
    ignored_inputs: ClassVar[tuple[str, ...]] = ("input_type_ids",)
    transformers: ClassVar[str] = "DistilBert"

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> EncoderConfig:
        get = configuration.integer
        configuration.refuse("pruned_heads", {}, why="every layer must have all its heads")
        vocabulary = ("vocab_size_or_config_json_file",)
        size = get("dim", aliases=("hidden_size",))
        pad = configuration.values.get("pad_token_id")
        return EncoderConfig(
            vocab_size=get("vocab_size", aliases=vocabulary),
            hidden_size=size,
            num_hidden_layers=get("n_layers", aliases=("num_hidden_layers",)),
            num_attention_heads=get("n_heads", aliases=("num_attention_heads",)),
            intermediate_size=get("hidden_dim", aliases=("intermediate_size",)),
            max_position_embeddings=get("max_position_embeddings", 512),
            type_vocab_size=0,
            embedding_size=size,
            hidden_act=activation(configuration, "activation", "hugging_face", overridden),
            layer_norm_eps=1e-12,  # in the code of transformers' modeling_distilbert.py
            hidden_dropout_prob=configuration.fraction("dropout", 0.1),
            attention_probs_dropout_prob=configuration.fraction("attention_dropout", 0.1),
            pad_token_id=0 if pad is None else get("pad_token_id", minimum=0),
        )

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        marker = ".attention.q_lin.weight"
        named = any(name.endswith(marker) for name in source.tensors)
        return [f"tensors *{marker}"] if named else []

    def spelling(self, source: TensorSource) -> Names:
        return TorchNames(source, prefix="distilbert.")

    def layer_dropout(self) -> tuple[float, float]:
        """None behind attention, as in transformers' modeling_distilbert.py."""
        return 0.0, self.config.hidden_dropout_prob

    # fmt: off
    def encoder(self) -> list[Part]:
        """Everything but heads."""
        c = self.config
        H, I = c.hidden_size, c.intermediate_size  # noqa: E741
        rows, cut = self.positions()
        parts = [
            table("embeddings/word_embeddings", c.vocab_size, H,
                  hugging_face="embeddings.word_embeddings.weight"),
            table("embeddings/position_embeddings", rows, H, transform=cut,
                  hugging_face="embeddings.position_embeddings.weight"),
            layer_norm("embeddings/LayerNorm", H, hugging_face="embeddings.LayerNorm"),
        ]
        for i in range(c.num_hidden_layers):
            ours, theirs = f"encoder/layer_{i}", f"transformer.layer.{i}"
            parts += [
                *(dense(f"{ours}/attention/self/{name}", H, H,
                        hugging_face=f"{theirs}.attention.{name[0]}_lin")
                  for name in ("query", "key", "value")),
                dense(f"{ours}/attention/output/dense", H, H,
                      hugging_face=f"{theirs}.attention.out_lin"),
                layer_norm(f"{ours}/attention/output/LayerNorm", H,
                           hugging_face=f"{theirs}.sa_layer_norm"),
                dense(f"{ours}/intermediate/dense", H, I, hugging_face=f"{theirs}.ffn.lin1"),
                dense(f"{ours}/output/dense", I, H, hugging_face=f"{theirs}.ffn.lin2"),
                layer_norm(f"{ours}/output/LayerNorm", H,
                           hugging_face=f"{theirs}.output_layer_norm"),
            ]
        return parts

    def poolers(self, scope: str) -> Mapping[str, Part]:
        return {}

    def heads(self) -> Mapping[str, Head]:
        c, H = self.config, self.config.hidden_size
        names = {"hugging_face": "classifier"}

        def pooler(name: str) -> HeadPooler:
            part = dense(f"cls/{name}/pooler/dense", H, H, base=False,
                         hugging_face="pre_classifier")
            return HeadPooler(part, "relu")

        return {
            "mlm": masked_language_model(
                c,
                dense_names={"hugging_face": "vocab_transform"},
                norm_names={"hugging_face": "vocab_layer_norm"},
                bias_names={"hugging_face": "vocab_projector.bias"},
            ),
            "classifier": pooled_head(
                "classifier", c, self.labels(names), pooler("classifier"), names),
            "token_classifier": token_head(
                "token_classifier", "token_classifier", c, self.labels(names), names),
            "qa": token_head(
                "qa", "span_classifier", c, Labels(2), {"hugging_face": "qa_outputs"}),
            "multiple_choice": pooled_head(
                "multiple_choice", c, Labels(1), pooler("multiple_choice"), names),
        }
    # fmt: on

    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = {
        "vocab_projector.weight": ("cls/predictions/output_bias", "embeddings/word_embeddings"),
    }
