"""BERT (arxiv.org/abs/1810.04805): google-research/bert, Model Garden and transformers.

Also the small-BERT grid (arxiv.org/abs/1908.08962), whole-word masking, multilingual and Chinese
models, which differ in their configurations only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError, UsageError
from hubexport.families.bert_config import read_json, read_model_garden
from hubexport.families.configuration import Configuration
from hubexport.families.names import HuggingFaceNames, ModelGardenNames, Names, TF1Names
from hubexport.families.registry import register
from hubexport.families.tensor_map import (
    AS_IS,
    TRANSPOSED,
    FirstRows,
    Part,
    dense,
    dense_from_heads,
    dense_to_heads,
    layer_norm,
    table,
)

if TYPE_CHECKING:
    from hubexport.networks.transformer import Encoder, TransformerBlock
    from hubexport.networks.variables import NamedVariables, Variables


@register
class Bert:
    """Where a BERT's numbers come from and which network they fill.

    Args:
      configuration: the model's configuration file.
      source: the checkpoint's tensors.
      overrides: values of `EncoderConfig` that replace the configuration's.

    Raises:
      ConfigurationError: values missing, unusable, or asking for another network.
    """

    name: ClassVar[str] = "bert"
    title: ClassVar[str] = "BERT"
    model_types: ClassVar[tuple[str, ...]] = ("bert", "")  # bert_config.json has no model_type
    encoder_types: ClassVar[tuple[str, ...]] = ("bert", "bert_v2")
    layouts: ClassVar[tuple[str, ...]] = ("tf1", "tf2", "hugging_face")
    marker: ClassVar[str] = ""

    def __init__(
        self, configuration: Configuration, source: TensorSource, overrides: Mapping[str, object]
    ):
        read = read_model_garden if configuration.kind == "model_garden" else read_json
        trained = read(configuration, source.layout, overrides.keys())
        self.trained_positions = trained.max_position_embeddings
        self.config = dataclasses.replace(trained, **overrides)  # type: ignore[arg-type]
        self._check(configuration)
        self.names = self._names(source)

    def _check(self, configuration: Configuration) -> None:
        c = self.config
        if wrong := c.out_of_bounds():
            raise UsageError(
                "a value that was passed is none that a model can have",
                [("found, and possible", text) for text in wrong],
                "pass another value, or none.",
            )
        if c.hidden_size % c.num_attention_heads:
            raise ConfigurationError(
                "the hidden size is not a multiple of the number of attention heads",
                [
                    ("configuration", str(configuration.path)),
                    ("found", f"hidden_size {c.hidden_size}, heads {c.num_attention_heads}"),
                ],
                "pass the configuration that the checkpoint was trained with.",
            )
        if c.max_position_embeddings > self.trained_positions:
            raise ConfigurationError(
                "more positions are asked for than the model was trained with",
                [
                    ("asked for", str(c.max_position_embeddings)),
                    ("trained", str(self.trained_positions)),
                ],
                f"pass --max_position_embeddings of at most {self.trained_positions}.",
            )

    def _names(self, source: TensorSource) -> Names:
        if source.layout == "tf1":
            return TF1Names()
        if source.layout == "hugging_face":
            return HuggingFaceNames(source)
        return ModelGardenNames(
            source,
            num_hidden_layers=self.config.num_hidden_layers,
            factorized=self.config.embedding_size != self.config.hidden_size,
        )

    # fmt: off
    def embeddings(self) -> list[Part]:
        """Lookup tables, their norm and, where factorized, the projection to the hidden size."""
        c, size = self.config, self.config.embedding_size
        rows = self.trained_positions
        cut = AS_IS if rows == c.max_position_embeddings else FirstRows(rows)
        parts = [
            table("embeddings/word_embeddings", c.vocab_size, size,
                  tf2="_embedding_layer/embeddings",
                  hugging_face="embeddings.word_embeddings.weight"),
            table("embeddings/position_embeddings", c.max_position_embeddings, size, transform=cut,
                  tf2="_position_embedding_layer/embeddings",
                  hugging_face="embeddings.position_embeddings.weight"),
            table("embeddings/token_type_embeddings", c.type_vocab_size, size,
                  tf2="_type_embedding_layer/embeddings",
                  hugging_face="embeddings.token_type_embeddings.weight"),
            layer_norm("embeddings/LayerNorm", size,
                       tf2="_embedding_norm_layer",
                       hugging_face="embeddings.LayerNorm"),
        ]
        if size != c.hidden_size:
            parts.append(dense("encoder/embedding_hidden_mapping_in", size, c.hidden_size,
                               tf2="_embedding_projection",
                               hugging_face="embeddings_project"))
        return parts

    def attention(self, layer: str, tf2: str, hugging_face: str) -> list[Part]:
        c = self.config
        H, A, D = c.hidden_size, c.num_attention_heads, c.head_size
        return [
            *(dense_to_heads(f"{layer}/attention/self/{name}", H, A, D,
                             tf2=f"{tf2}/_attention_layer/_{name}_dense",
                             hugging_face=f"{hugging_face}.attention.self.{name}")
              for name in ("query", "key", "value")),
            dense_from_heads(f"{layer}/attention/output/dense", A, D, H,
                             tf2=f"{tf2}/_attention_layer/_output_dense",
                             hugging_face=f"{hugging_face}.attention.output.dense"),
            layer_norm(f"{layer}/attention/output/LayerNorm", H,
                       tf2=f"{tf2}/_attention_layer_norm",
                       hugging_face=f"{hugging_face}.attention.output.LayerNorm"),
        ]

    def feed_forward(self, layer: str, tf2: str, hugging_face: str) -> list[Part]:
        H, I = self.config.hidden_size, self.config.intermediate_size  # noqa: E741
        return [
            dense(f"{layer}/intermediate/dense", H, I,
                  tf2=f"{tf2}/_intermediate_dense",
                  hugging_face=f"{hugging_face}.intermediate.dense"),
            dense(f"{layer}/output/dense", I, H,
                  tf2=f"{tf2}/_output_dense",
                  hugging_face=f"{hugging_face}.output.dense"),
            layer_norm(f"{layer}/output/LayerNorm", H,
                       tf2=f"{tf2}/_output_layer_norm",
                       hugging_face=f"{hugging_face}.output.LayerNorm"),
        ]

    def encoder(self) -> list[Part]:
        """Everything but the pooler."""
        parts = self.embeddings()
        for i in range(self.config.num_hidden_layers):
            layer = (f"encoder/layer_{i}", f"_transformer_layers/{i}", f"encoder.layer.{i}")
            parts += self.attention(*layer) + self.feed_forward(*layer)
        return parts

    def pooler(self, scope: str) -> Part:
        """The dense layer, followed by tanh, that the encoder itself carries."""
        H = self.config.hidden_size
        return dense(scope, H, H, tf1="bert/pooler/dense", tf2="_pooler_layer",
                     hugging_face="pooler.dense")

    def heads(self) -> dict[str, list[Part]]:
        """Head -> its parts, less the pooler that next-sentence prediction starts from."""
        c = self.config
        mlm = "cls/predictions"
        heads = {"mlm": [
            dense(f"{mlm}/transform/dense", c.hidden_size, c.embedding_size,
                  tf1=f"{mlm}/transform/dense", tf2="masked_lm/dense",
                  hugging_face="cls.predictions.transform.dense"),
            layer_norm(f"{mlm}/transform/LayerNorm", c.embedding_size,
                       tf1=f"{mlm}/transform/LayerNorm", tf2="masked_lm/layer_norm",
                       hugging_face="cls.predictions.transform.LayerNorm"),
            table(f"{mlm}/output_bias", c.vocab_size,
                  tf1=f"{mlm}/output_bias", tf2="masked_lm/output_bias/bias",
                  hugging_face="cls.predictions.bias"),
        ]}
        nsp = "cls/seq_relationship"  # one kernel kept as [out, in] by google-research/bert
        heads["nsp"] = [
            Part(f"{nsp}/output_weights", (("", (2, c.hidden_size), TRANSPOSED, AS_IS),),
                 tf1=f"{nsp}/output_weights", tf2="next_sentence/logits/kernel",
                 hugging_face=f"{nsp.replace('/', '.')}.weight"),
            table(f"{nsp}/output_bias", 2,
                  tf1=f"{nsp}/output_bias", tf2="next_sentence/logits/bias",
                  hugging_face=f"{nsp.replace('/', '.')}.bias"),
        ]
        return heads

    def head_pooler(self, head: str, scope: str) -> Part | None:
        """The pooler that a head was trained on: Model Garden's next-sentence head has one of its
        own, elsewhere it is the encoder's."""
        if head != "nsp":
            return None
        return dataclasses.replace(self.pooler(scope), tf2="next_sentence/pooler_dense")
    # fmt: on

    # Copies that older PyTorch checkpoints keep of tied tensors:
    # name -> (variable that it matters to, variable whose tensor it must equal).
    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = {
        "cls.predictions.decoder.weight": (
            "cls/predictions/output_bias",
            "embeddings/word_embeddings",
        ),
        "cls.predictions.decoder.bias": (
            "cls/predictions/output_bias",
            "cls/predictions/output_bias",
        ),
    }

    # Parts of checkpoints that are known, and not exported: what they are by their names.
    other_heads: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "classifier": re.compile(r"classifier\.(weight|bias)|output_(weights|bias)"),
        "question answering": re.compile(r"qa_outputs\.(weight|bias)|cls/squad/output_\w+"),
        "classification heads": re.compile(r"(.*/)?classification_heads/\d+/.*"),
    }

    def network(self, variables: Variables) -> Encoder:
        """The network, its variables taken from `variables` by name."""
        from hubexport.networks.embeddings import BertEmbeddings
        from hubexport.networks.transformer import Encoder, Stack

        layers = [f"encoder/layer_{i}" for i in range(self.config.num_hidden_layers)]
        return Encoder(BertEmbeddings(self.config, variables), Stack(self.block, variables, layers))

    def block(self, variables: NamedVariables, layer: str) -> TransformerBlock:
        """One Transformer block; what a variant plugs its own parts into."""
        from hubexport.networks.attention import SelfAttention
        from hubexport.networks.feed_forward import FeedForward
        from hubexport.networks.transformer import TransformerBlock

        return TransformerBlock(
            SelfAttention(self.config, variables, f"{layer}/attention"),
            FeedForward(self.config, variables, layer),
        )
