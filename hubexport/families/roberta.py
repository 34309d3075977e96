"""RoBERTa (arxiv.org/abs/1907.11692): BERT's network, positions counted from the ids.

Also XLM-R (arxiv.org/abs/1911.02116), CamemBERT and BERTweet, which differ in their vocabularies;
from transformers and from fairseq.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError
from hubexport.families.bert import Bert
from hubexport.families.bert_config import activation, read_json
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
from hubexport.families.tensor_map import Part, dense
from hubexport.families.transforms import AsIs, Rows
from hubexport.networks.config import EncoderConfig

if TYPE_CHECKING:
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables

_FAIRSEQ = (
    (r"embeddings/word_embeddings", "embed_tokens.weight"),
    (r"embeddings/position_embeddings", "embed_positions.weight"),
    (r"embeddings/LayerNorm", ("emb_layer_norm", "layernorm_embedding")),
    (r"encoder/layer_(\d+)/attention/self/query", r"layers.\1.self_attn.q_proj"),
    (r"encoder/layer_(\d+)/attention/self/key", r"layers.\1.self_attn.k_proj"),
    (r"encoder/layer_(\d+)/attention/self/value", r"layers.\1.self_attn.v_proj"),
    (r"encoder/layer_(\d+)/attention/output/dense", r"layers.\1.self_attn.out_proj"),
    (r"encoder/layer_(\d+)/attention/output/LayerNorm", r"layers.\1.self_attn_layer_norm"),
    (r"encoder/layer_(\d+)/intermediate/dense", r"layers.\1.fc1"),
    (r"encoder/layer_(\d+)/output/dense", r"layers.\1.fc2"),
    (r"encoder/layer_(\d+)/output/LayerNorm", r"layers.\1.final_layer_norm"),
)
"""Scope of a part -> fairseq's name below `sentence_encoder.` (fairseq/models/roberta/model.py and
modules/transformer_sentence_encoder.py)."""

_FUSED = "fairseq_fused"
"""fairseq's layout before query, key and value were tensors of their own."""


@register
class Roberta(Bert):
    """BERT whose positions are counted from the tokens that are not padding; see `Family`."""

    name: ClassVar[str] = "roberta"
    title: ClassVar[str] = "RoBERTa"
    model_types: ClassVar[tuple[str, ...]] = ("roberta", "xlm-roberta", "camembert")
    encoder_types: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face", "fairseq")
    default_pooler: ClassVar[str] = "cls"
    pooler_is_pretrained: ClassVar[bool] = False
    padding_side: ClassVar[str] = "any"
    transformers: ClassVar[str] = "Roberta"

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> EncoderConfig:
        if configuration.kind == "fairseq":
            return read_fairseq(configuration, source, overridden)
        return read_json(configuration, "hugging_face", overridden, padded_positions=True)

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        if configuration.kind == "fairseq" or source.layout == "fairseq":
            return ["fairseq's names of tensors"]
        if source.layout != "hugging_face":
            return []
        found = [
            f"tensors {prefix}*"
            for prefix, sign in (("roberta.", "roberta."), ("lm_head.", "lm_head.dense."))
            if any(name.startswith(sign) for name in source.tensors)
        ]
        if not found and _padding_row_is_zero(source):
            found = ["a row of zeros for the position of padding"]
        if not found and configuration.values.get("type_vocab_size") == 1:
            raise ConfigurationError(
                "the model is a BERT or a RoBERTa, and nothing tells which",
                [
                    ("configuration", f"{configuration.path}, without a model_type"),
                    ("found", "the tensors' names of both, and a single token type as RoBERTa has"),
                ],
                "pass --family roberta or --family bert to `hubexport encoder`: RoBERTa's first "
                "position is row 2 of its table.",
            )
        return found

    @property
    def ignored_inputs(self) -> tuple[str, ...]:  # type: ignore[override]
        """A single token type is added to all tokens alike."""
        return ("input_type_ids",) if self.config.type_vocab_size <= 1 else ()

    def spelling(self, source: TensorSource) -> Names:
        if source.layout == "hugging_face":
            return TorchNames(source, prefix="roberta.")
        root = self.root
        fused = any(name.endswith("self_attn.in_proj_weight") for name in source.tensors)
        layout = _FUSED if fused else "fairseq"
        names = TorchNames(source, layout, prefix=f"{root}sentence_encoder.", fallback="fairseq")
        names.classification_head = _classification_head(source)
        return names

    @property
    def root(self) -> str:
        """fairseq's name of the model in its checkpoints: older ones say decoder."""
        return "encoder." if f"encoder.{_WORDS}" in self.source.tensors else "decoder."

    def positions(self) -> tuple[int, AsIs]:
        """Padding's row and those of positions; the rows before are never looked up."""
        longest, pad = self.config.max_position_embeddings, self.config.pad_token_id
        assert longest is not None and self.trained_positions is not None
        of = self.trained_positions + 1 + pad
        return longest + 1, Rows(pad, of, "rows before padding's are never looked up")

    def encoder(self) -> list[Part]:
        """Everything but poolers and heads."""
        return [_with_fairseq(part, self.config.hidden_size) for part in super().encoder()]

    # fmt: off
    def poolers(self, scope: str) -> Mapping[str, Part]:
        H = self.config.hidden_size
        return {"checkpoint": dense(scope, H, H, hugging_face="pooler.dense")}

    def heads(self) -> Mapping[str, Head]:
        c, H, head = self.config, self.config.hidden_size, self.names.classification_head
        root = self.root
        of_text = {"hugging_face": "classifier.out_proj"}
        trained_on = {"hugging_face": "classifier.dense"}
        if head:
            of_text["fairseq"], trained_on["fairseq"] = f"{head}.out_proj", f"{head}.dense"
        of_rows = {"hugging_face": "classifier"}

        def pooler(name: str) -> HeadPooler:
            return HeadPooler(self.poolers(f"cls/{name}/pooler/dense")["checkpoint"])

        return {
            "mlm": masked_language_model(
                c,
                # transformers' head computes the one GELU whatever the blocks do.
                activation="gelu_erf" if self.source.layout == "hugging_face" else c.hidden_act,
                dense_names={"hugging_face": "lm_head.dense", "fairseq": f"{root}lm_head.dense"},
                norm_names={"hugging_face": "lm_head.layer_norm",
                            "fairseq": f"{root}lm_head.layer_norm"},
                bias_names={"hugging_face": "lm_head.bias", "fairseq": f"{root}lm_head.bias"},
            ),
            "classifier": pooled_head(
                "classifier", c, self.labels(of_text),
                HeadPooler(dense("cls/classifier/pooler/dense", H, H, base=False, **trained_on)),
                of_text),
            "token_classifier": token_head(
                "token_classifier", "token_classifier", c, self.labels(of_rows), of_rows),
            "qa": token_head(
                "qa", "span_classifier", c, Labels(2), {"hugging_face": "qa_outputs"}),
            "multiple_choice": pooled_head(
                "multiple_choice", c, Labels(1), pooler("multiple_choice"), of_rows),
        }
    # fmt: on

    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = {
        name: ("cls/predictions/output_bias", copy_of)
        for name, copy_of in (
            ("lm_head.decoder.weight", "embeddings/word_embeddings"),
            ("lm_head.decoder.bias", "cls/predictions/output_bias"),
            ("encoder.lm_head.weight", "embeddings/word_embeddings"),
            ("decoder.lm_head.weight", "embeddings/word_embeddings"),
        )
    }

    other_heads: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "classification heads": re.compile(r"((encoder|decoder)\.)?classification_heads\..*"),
    }

    def network(self, variables: Variables) -> Encoder:
        from hubexport.networks.embeddings import PaddedPositionEmbeddings
        from hubexport.networks.transformer import Encoder

        embeddings = PaddedPositionEmbeddings(self.config, variables)
        return Encoder(self.config, embeddings, self.stack(variables))


_WORDS = "sentence_encoder.embed_tokens.weight"
_CLASSIFICATION_HEAD = re.compile(r"((?:(?:encoder|decoder)\.)?classification_heads\.[^.]+)\..*")


def _classification_head(source: TensorSource) -> str:
    """The one classification head of a fairseq checkpoint, "" where there is none or several."""
    found = {match[1] for name in source.tensors if (match := _CLASSIFICATION_HEAD.fullmatch(name))}
    return found.pop() if len(found) == 1 else ""


def _with_fairseq(part: Part, hidden_size: int) -> Part:
    """The part with its names in fairseq's layouts."""
    for scope, name in _FAIRSEQ:
        if not (match := re.fullmatch(scope, part.scope)):
            continue
        if isinstance(name, tuple):
            return part.renamed(fairseq=name)
        part = part.renamed(fairseq=match.expand(name))
        order = ("query", "key", "value")
        if (last := part.scope.rpartition("/")[2]) in order:
            start = order.index(last) * hidden_size
            return part.fused(
                _FUSED, match.expand(r"layers.\1.self_attn.in_proj_{}"),
                Rows(start, len(order) * hidden_size),
            )  # fmt: skip
        return part
    return part


def _padding_row_is_zero(source: TensorSource) -> bool:
    """Whether row 1 of the positions, which padding has, is as it was initialized."""
    table = source.find("embeddings.position_embeddings.weight")
    if table is None or len(table.shape) != 2 or table.shape[0] < 3 or table.size > 1 << 24:
        return False
    rows = table.read()
    return bool(not rows[1].any() and rows[2:].any(axis=1).all())


_PAD = 1
"""`pad()` of fairseq's dictionaries: <s>, <pad>, </s>, <unk> come first."""
_EMBEDDING = "sentence_encoder.embed_tokens.weight"


def read_fairseq(
    configuration: Configuration, source: TensorSource, overridden: Collection[str] = ()
) -> EncoderConfig:
    """`args` of a checkpoint of fairseq/models/roberta, with the defaults of its roberta_base.

    The size of the vocabulary is the dictionary's, which is a file of its own; the table of
    embeddings tells it. `encoder_normalize_before` is true in the released RoBERTas, whose blocks
    normalize after each layer all the same: the program of that time did not look at it. The one
    that calls the embeddings' norm `layernorm_embedding` does.
    """
    get = configuration.integer
    arch = configuration.text("arch", configuration.text("_name", "roberta"))
    if not arch.startswith(("roberta", "xlmr", "camembert")):
        raise ConfigurationError(
            f"the checkpoint is of fairseq's architecture {arch!r}",
            [("checkpoint", str(configuration.path)), ("supported", "roberta*, xlmr*, camembert*")],
            "export another model.",
        )
    why = "every position is attended to, and every layer computed as it was trained"
    configuration.refuse("untie_weights_rf", False, why=why)
    configuration.refuse("encoder_layers_to_keep", "", why=why)
    configuration.refuse("quant_noise_pq", 0, 0.0, why=why)
    configuration.refuse("spectral_norm_classification_head", False, why=why)
    configuration.refuse("pooler_activation_fn", "tanh", why="classifiers start from tanh")
    if any(".layernorm_embedding." in name for name in source.tensors):
        why = "only blocks that normalize behind each layer are supported"
        configuration.refuse("encoder_normalize_before", False, why=why)
    words = next((t for n, t in source.tensors.items() if n.endswith(_EMBEDDING)), None)
    if words is None or len(words.shape) != 2:
        raise ConfigurationError(
            "the checkpoint has no table of words",
            [("checkpoint", str(source.path)), ("looked for", f"*.{_EMBEDDING}")],
            "pass a RoBERTa that fairseq saved.",
        )
    hidden_size = get("encoder_embed_dim", 768)
    return EncoderConfig(
        vocab_size=words.shape[0],
        hidden_size=hidden_size,
        num_hidden_layers=get("encoder_layers", 12),
        num_attention_heads=get("encoder_attention_heads", 12),
        intermediate_size=get("encoder_ffn_embed_dim", 3072),
        max_position_embeddings=get("max_positions", 512),
        type_vocab_size=0,
        embedding_size=hidden_size,
        hidden_act=activation(configuration, "activation_fn", "hugging_face", overridden),
        layer_norm_eps=1e-5,  # torch.nn.LayerNorm's, which fairseq leaves as it is
        hidden_dropout_prob=configuration.fraction("dropout", 0.1),
        attention_probs_dropout_prob=configuration.fraction("attention_dropout", 0.1),
        pad_token_id=_PAD,
    )
