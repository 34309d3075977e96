"""XLM (arxiv.org/abs/1901.07291): one Transformer for several languages, each with a vector that is
added to its tokens.

From transformers, and as facebookresearch/XLM saved it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import UsageError, some_of
from hubexport.families.bert import Bert
from hubexport.families.configuration import Configuration
from hubexport.families.heads import (
    ENCODER_LEAD,
    LANGUAGES,
    Head,
    HeadPooler,
    OptionalInput,
    beam_question_answering,
    language_model,
    linear_summary,
    other_summary,
    pooled_head,
    tied_masked_language_model,
    token_head,
)
from hubexport.families.labels import Labels
from hubexport.families.names import Names, TorchNames
from hubexport.families.registry import register
from hubexport.families.tensor_map import Part, dense, layer_norm, table
from hubexport.families.xlm_config import XlmConfig, read_languages, read_xlm, says_causal

if TYPE_CHECKING:
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables

_SIGN = re.compile(r"(transformer\.|module\.)?attentions\.0\.q_lin\.weight")
_SUMMARY = {"hugging_face": "sequence_summary.summary"}


@register
class Xlm(Bert):
    """Where an XLM's numbers come from and which network they fill; see `Family`."""

    name: ClassVar[str] = "xlm"
    title: ClassVar[str] = "XLM"
    model_types: ClassVar[tuple[str, ...]] = ("xlm",)
    encoder_types: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]] = ("hugging_face", "xlm_original")
    keys: ClassVar[frozenset[str]] = frozenset({"emb_dim", "n_words"})
    default_pooler: ClassVar[str] = "cls"
    ignored_inputs: ClassVar[tuple[str, ...]] = ("input_type_ids",)
    transformers: ClassVar[str] = "XLM"
    config: XlmConfig

    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> XlmConfig:
        return read_xlm(configuration, source, overridden)

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        named = any(_SIGN.fullmatch(name) for name in source.tensors)
        return ["tensors attentions.*.q_lin.weight"] if named else []

    def spelling(self, source: TensorSource) -> Names:
        return XlmNames(source) if source.layout == "xlm_original" else TorchNames(
            source, prefix="transformer."
        )  # fmt: skip

    def asked(self, overrides: Mapping[str, object]) -> dict[str, object]:
        found = dict(overrides)
        self._told_direction = "causal" in found
        name = found.pop("language", None)
        if name in (None, "none") or not self.has_languages:
            return found
        languages = self.languages()
        if name not in languages:
            raise UsageError(
                f"the model has no language {name!r}",
                [
                    ("configuration", str(self.configuration.path)),
                    ("languages", some_of(languages, len(languages)) or "none (lang2id)"),
                ],
                "pass one of these, or leave --language out and give input_language_ids.",
            )
        return {**found, "language": name, "language_id": languages[str(name)]}

    @property
    def has_languages(self) -> bool:
        return self.config.language_vocab_size > 0

    def optional_inputs(self) -> Mapping[str, OptionalInput]:
        if not self.has_languages:
            return {}
        purpose = "the language of each token, as the number that the model has for it"
        rows = self.config.language_vocab_size
        return {LANGUAGES: OptionalInput(purpose, ENCODER_LEAD, rows)}

    def languages(self) -> dict[str, int]:
        """Name -> row of their table."""
        return read_languages(self.configuration) if self.has_languages else {}

    def conventions(self) -> dict[str, object]:
        languages = {"languages": self.languages()} if self.has_languages else {}
        return {**super().conventions(), **languages}

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """As the configuration says, or the user."""
        return self.config.causal

    @property
    def positions_from_mask(self) -> bool:  # type: ignore[override]
        """Of causal models; the others count columns, as transformers does."""
        return self.causal

    @property
    def masks_padding(self) -> bool:  # type: ignore[override]
        return not self.causal

    @property
    def usual_language(self) -> int | None:
        return self.config.language_id

    @property
    def padding_side(self) -> str:  # type: ignore[override]
        return "any" if self.causal else "right"

    # fmt: off
    def encoder(self) -> list[Part]:
        """Everything but heads."""
        c = self.config
        H, I = c.hidden_size, c.intermediate_size  # noqa: E741
        rows, cut = self.positions()
        parts = [
            table("embeddings/word_embeddings", c.vocab_size, H,
                  hugging_face="embeddings.weight"),
            table("embeddings/position_embeddings", rows, H, transform=cut,
                  hugging_face="position_embeddings.weight"),
            *([table("embeddings/language_embeddings", c.language_vocab_size, H,
                     hugging_face="lang_embeddings.weight")]
              if c.language_vocab_size else []),
            layer_norm("embeddings/LayerNorm", H, hugging_face="layer_norm_emb"),
        ]
        for i in range(c.num_hidden_layers):
            layer = f"encoder/layer_{i}"
            parts += [
                *(dense(f"{layer}/attention/self/{name}", H, H,
                        hugging_face=f"attentions.{i}.{name[0]}_lin")
                  for name in ("query", "key", "value")),
                dense(f"{layer}/attention/output/dense", H, H,
                      hugging_face=f"attentions.{i}.out_lin"),
                layer_norm(f"{layer}/attention/output/LayerNorm", H,
                           hugging_face=f"layer_norm1.{i}"),
                dense(f"{layer}/intermediate/dense", H, I, hugging_face=f"ffns.{i}.lin1"),
                dense(f"{layer}/output/dense", I, H, hugging_face=f"ffns.{i}.lin2"),
                layer_norm(f"{layer}/output/LayerNorm", H, hugging_face=f"layer_norm2.{i}"),
            ]
        return parts

    def poolers(self, scope: str) -> Mapping[str, Part]:
        return {}

    def heads(self) -> Mapping[str, Head]:
        c, H = self.config, self.config.hidden_size
        bias, of_tokens = {"hugging_face": "pred_layer.proj.bias"}, {"hugging_face": "classifier"}
        refused = other_summary(self.configuration, linear_summary("first"))
        classes = self.labels(_SUMMARY)
        summary = dense("cls/multiple_choice/summary/dense", H, classes.number, base=False,
                        **_SUMMARY)
        return {
            **({"lm": language_model(c, bias)} if self.causal
               else {"mlm": tied_masked_language_model(c, bias)}),
            "classifier": pooled_head(
                "classifier", c, classes, None, _SUMMARY, refused=refused),
            "token_classifier": token_head(
                "token_classifier", "token_classifier", c, self.labels(of_tokens), of_tokens),
            "qa": token_head(
                "qa", "span_classifier", c, Labels(2), {"hugging_face": "qa_outputs"}),
            "qa_beam": beam_question_answering(
                c, "qa_outputs.", beginnings=self.configuration.integer("start_n_top", 5),
                ends=self.configuration.integer("end_n_top", 5)),
            "multiple_choice": pooled_head(
                "multiple_choice", c, Labels(1), HeadPooler(summary, "linear"),
                {"hugging_face": "logits_proj"}, refused=refused),
        }
    # fmt: on

    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = {
        "pred_layer.proj.weight": ("cls/predictions/output_bias", "embeddings/word_embeddings"),
        "module.pred_layer.proj.weight": (
            "cls/predictions/output_bias",
            "embeddings/word_embeddings",
        ),
    }
    other_heads: ClassVar[Mapping[str, re.Pattern[str]]] = {}

    def doubts(self) -> Iterator[str]:
        if not self._told_direction and says_causal(self.configuration) is None:
            yield (
                "the configuration does not say whether the model reads from left to right only; "
                "taken to read in both directions, as transformers does: models trained to predict "
                "the next word, such as xlm-clm-*, need --causal"
            )
        if self.has_languages and self.config.language is None:
            yield (
                "the model was trained with the embedding of a language added to each token, and "
                "nothing is added where input_language_ids is not given: pass --language to add one"
            )

    def network(self, variables: Variables) -> Encoder:
        from hubexport.networks.embeddings import CausalXlmEmbeddings, XlmEmbeddings
        from hubexport.networks.transformer import (
            Encoder,
            ZeroAtPadding,
            causal_state,
            masked_state,
        )

        c = self.config
        kind = CausalXlmEmbeddings if c.causal else XlmEmbeddings
        embeddings = kind(c, variables, c.language_vocab_size, c.language_id)
        # Of an encoder that skips padding, what is there is 0 anyway.
        made = Encoder if c.padding == "skip" else ZeroAtPadding
        state = causal_state if c.causal else masked_state
        return made(c, embeddings, self.stack(variables), state)


class XlmNames(TorchNames):
    """The original program's: transformers' without a prefix, but `module.` before all of them
    where the model was trained on several GPUs."""

    def __init__(self, source: TensorSource):
        super().__init__(source, "xlm_original", prefix="", fallback="hugging_face")
        several = any(name.startswith("module.") for name in source.tensors)
        self._root = "module." if several else ""

    def tensor(self, part: Part, leaf: str) -> str:
        name = super().tensor(part, leaf)
        return self._root + name
