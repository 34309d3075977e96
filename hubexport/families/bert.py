"""BERT (arxiv.org/abs/1810.04805): google-research/bert, Model Garden and transformers.

Also the small-BERT grid (arxiv.org/abs/1908.08962), whole-word masking, multilingual and Chinese
models, which differ in their configurations only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.families.bert_config import read_json, read_model_garden
from hubexport.families.configuration import Configuration
from hubexport.families.family import Family
from hubexport.families.heads import (
    Head,
    HeadPooler,
    masked_language_model,
    pooled_head,
    token_head,
)
from hubexport.families.labels import Labels
from hubexport.families.names import ModelGardenNames, Names, TF1Names, TorchNames
from hubexport.families.registry import register
from hubexport.families.tensor_map import (
    Part,
    dense,
    dense_from_heads,
    dense_to_heads,
    layer_norm,
    table,
)
from hubexport.families.transforms import AS_IS, AsIs, Rows
from hubexport.networks.config import EncoderConfig

if TYPE_CHECKING:
    from hubexport.networks.transformer import Encoder, Layer, Stack
    from hubexport.networks.variables import NamedVariables, Variables


@register
class Bert(Family):
    """Where a BERT's numbers come from and which network they fill; see `Family`."""

    name: ClassVar[str] = "bert"
    title: ClassVar[str] = "BERT"
    model_types: ClassVar[tuple[str, ...]] = ("bert", "")  # bert_config.json has no model_type
    encoder_types: ClassVar[tuple[str, ...]] = ("bert", "bert_v2")
    layouts: ClassVar[tuple[str, ...]] = ("tf1", "tf2", "hugging_face")
    transformers: ClassVar[str] = "Bert"

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> EncoderConfig:
        read = read_model_garden if configuration.kind == "model_garden" else read_json
        return read(configuration, source.layout, overridden)

    def spelling(self, source: TensorSource) -> Names:
        if source.layout == "tf1":
            return TF1Names()
        if source.layout == "hugging_face":
            return TorchNames(source, prefix="bert.")
        return ModelGardenNames(
            source,
            num_hidden_layers=self.config.num_hidden_layers,
            factorized=self.config.embedding_size != self.config.hidden_size,
        )

    def positions(self) -> tuple[int, AsIs]:
        """Rows of the table of positions, and what takes them out of the checkpoint's."""
        rows, trained = self.config.max_position_embeddings, self.trained_positions
        assert rows is not None and trained is not None
        if rows == trained:
            return rows, AS_IS
        return rows, Rows(0, trained, "fewer positions are asked for")

    # fmt: off
    def embeddings(self) -> list[Part]:
        """Lookup tables, their norm and, where factorized, the projection to the hidden size."""
        c, size = self.config, self.config.embedding_size
        rows, cut = self.positions()
        parts = [
            table("embeddings/word_embeddings", c.vocab_size, size,
                  tf2="_embedding_layer/embeddings",
                  hugging_face="embeddings.word_embeddings.weight"),
            table("embeddings/position_embeddings", rows, size, transform=cut,
                  tf2="_position_embedding_layer/embeddings",
                  hugging_face="embeddings.position_embeddings.weight"),
            *([table("embeddings/token_type_embeddings", c.type_vocab_size, size,
                     tf2="_type_embedding_layer/embeddings",
                     hugging_face="embeddings.token_type_embeddings.weight")]
              if c.type_vocab_size else []),
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

    def poolers(self, scope: str) -> Mapping[str, Part]:
        H = self.config.hidden_size
        own = dense(scope, H, H, tf1="bert/pooler/dense", tf2="_pooler_layer",
                    hugging_face="pooler.dense")
        # Model Garden's next-sentence head has one of its own, elsewhere it is the encoder's.
        return {"checkpoint": own, "next_sentence": own.renamed(tf2="next_sentence/pooler_dense")}

    def heads(self) -> Mapping[str, Head]:
        c, mlm = self.config, "cls/predictions"
        heads = {"mlm": masked_language_model(
            c,
            dense_names={"tf1": f"{mlm}/transform/dense", "tf2": "masked_lm/dense",
                         "hugging_face": "cls.predictions.transform.dense"},
            norm_names={"tf1": f"{mlm}/transform/LayerNorm", "tf2": "masked_lm/layer_norm",
                        "hugging_face": "cls.predictions.transform.LayerNorm"},
            bias_names={"tf1": f"{mlm}/output_bias", "tf2": "masked_lm/output_bias/bias",
                        "hugging_face": "cls.predictions.bias"},
        )}
        trained_on = self.poolers("cls/nsp/pooler/dense")["next_sentence"]
        heads["nsp"] = pooled_head(
            "nsp", c, Labels(2), HeadPooler(trained_on),
            {"tf1": "cls/seq_relationship", "tf2": "next_sentence/logits",
             "hugging_face": "cls.seq_relationship"},
            scope="cls/seq_relationship", refused=self.other_pooler("next_sentence"),
        )
        return {**heads, **self.fine_tuned_heads()}

    def fine_tuned_heads(self) -> Mapping[str, Head]:
        """Heads of transformers' classes, of google-research/bert's run_classifier.py and
        run_squad.py, and of Model Garden's `classification_heads`."""
        c, garden = self.config, self.names.classification_head
        of_text = {"hugging_face": "classifier", "tf1": ""}
        if garden:
            of_text["tf2"] = f"{garden}/logits"
        pooler = self.names.classification_pooler
        of_rows = {"hugging_face": "classifier"}

        def own(name: str, **names: str) -> HeadPooler:
            part = self.poolers(f"cls/{name}/pooler/dense")["checkpoint"]
            return HeadPooler(part.renamed(**names))

        return {
            "classifier": pooled_head(
                "classifier", c, self.labels(of_text),
                own("classifier", **({"tf2": pooler} if pooler else {})), of_text,
                refused=self.other_pooler(garden), doubt=self.unsaid_pooler(garden)),
            "token_classifier": token_head(
                "token_classifier", "token_classifier", c, self.labels(of_rows), of_rows),
            "qa": token_head(
                "qa", "span_classifier", c, Labels(2),
                {"hugging_face": "qa_outputs", "tf1": "cls/squad"}),
            "multiple_choice": pooled_head(
                "multiple_choice", c, Labels(1), own("multiple_choice"), of_rows),
        }
    # fmt: on

    def unsaid_pooler(self, head: str) -> str:
        """A warning where nothing says how Model Garden's head of that name is activated."""
        said = any(settings.get("name") == head for settings in self.configuration.heads)
        if said or not self.names.classification_pooler:
            return ""
        return (
            f"the configuration does not say how the classification head {head!r} is activated; "
            "taken to be tanh, Model Garden's default: the experiment's params.yaml tells"
        )

    def other_pooler(self, head: str) -> str:
        """What Model Garden's head of that name starts from, where that is something else than tanh
        of a dense layer on the first token; where nothing is said of it, it has the default, which
        is that."""
        usual = {"activation": "tanh", "cls_token_idx": 0}
        for settings in self.configuration.heads:
            said = {key: settings.get(key, value) for key, value in usual.items()}
            if settings.get("name") == head and said != usual:
                found, needed = (
                    ", ".join(f"{key}: {value!r}" for key, value in each.items())
                    for each in (said, usual)
                )
                return f"its configuration says {found}, and only {needed} is known"
        return ""

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

    # Of several, none is taken.
    other_heads: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "classification heads": re.compile(
            r"(.*/)?classification_heads/\d+/.*|[^/]+\.pooler_dense/(kernel|bias)"
        ),
    }

    def network(self, variables: Variables) -> Encoder:
        from hubexport.networks.embeddings import BertEmbeddings
        from hubexport.networks.transformer import Encoder

        embeddings = BertEmbeddings(self.config, variables)
        return Encoder(self.config, embeddings, self.stack(variables))

    def stack(self, variables: Variables) -> Stack:
        """The blocks."""
        from hubexport.networks.transformer import Stack

        layers = range(self.config.num_hidden_layers)
        return Stack(variables, [(self.block, f"encoder/layer_{i}") for i in layers])

    def block(self, variables: NamedVariables, layer: str) -> Layer:
        """One Transformer block: attention, then feed-forward, normalized behind each."""
        from hubexport.networks.layers import LayerNorm
        from hubexport.networks.transformer import PostNorm, TransformerBlock

        c, attention = self.config, f"{layer}/attention"
        behind_attention, behind_feed_forward = self.layer_dropout()

        def post_norm(layer: Layer, scope: str, rate: float) -> PostNorm:
            norm = LayerNorm(variables, f"{scope}/LayerNorm", c.hidden_size, c.layer_norm_eps)
            return PostNorm(layer, norm, rate)

        return TransformerBlock(
            post_norm(
                self.attention_layer(variables, attention), f"{attention}/output", behind_attention
            ),
            post_norm(
                self.feed_forward_layer(variables, layer), f"{layer}/output", behind_feed_forward
            ),
        )

    def attention_layer(self, variables: NamedVariables, scope: str) -> Layer:
        """A block's attention; what a variant plugs its own into."""
        from hubexport.networks.attention import SelfAttention

        return SelfAttention(self.config, variables, scope)

    def feed_forward_layer(self, variables: NamedVariables, scope: str) -> Layer:
        """A block's position-wise half."""
        from hubexport.networks.feed_forward import FeedForward

        return FeedForward(self.config, variables, scope)
