"""What the templates of an encoder's page read."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubexport.cards.parts import Architecture
from hubexport.cards.rendering import pooling
from hubexport.cards.rendering.facts.model import Facts, Record, has_mask_in
from hubexport.cards.rendering.heads import HeadFacts, heads_of
from hubexport.cards.schema import EncoderCard, PipelineCard, PreprocessorCard
from hubexport.tokenizers.conventions import CONVENTIONS

_SIZES = tuple(name for name in Architecture.__dataclass_fields__ if name != "source")


@dataclass(frozen=True)
class EncoderFacts(Facts):
    """Of an encoder.

    Attributes:
      beside: the record of its preprocessor; empty where that is not at hand.
    """

    card: EncoderCard
    beside: Record = field(default_factory=Record)

    @functools.cached_property
    def sizes(self) -> dict[str, Any]:
        """Sizes by their names in the record: as built, else as the card says, else None."""
        built = self.record.get("architecture") or {}
        sizes = {name: getattr(self.card.architecture, name) for name in _SIZES}
        for name in (
            "embedding_size", "hidden_act", "layer_norm_eps", "dtype", "padding", "num_parameters",
            "language",
        ):  # fmt: skip
            sizes[name] = None
        return sizes | {key: value for key, value in built.items() if value is not None}

    @property
    def preprocessor(self) -> PreprocessorCard:
        return self.catalogue.preprocessors[self.card.preprocessor]

    @property
    def preprocessor_load(self) -> str:
        return self.platform.load(self.preprocessor)

    @property
    def original(self) -> EncoderCard | None:
        """The encoder that this one was made of."""
        derived = self.card.derived_from
        return self.catalogue.encoders[derived.handle] if derived else None

    @property
    def pipelines(self) -> list[PipelineCard]:
        """The pipelines that hold it."""
        return self.catalogue.pipelines_of(self.card.handle)

    @property
    def heads(self) -> dict[str, HeadFacts]:
        """The exported heads, by name."""
        return heads_of(self.record, self.card)

    @property
    def conventions(self) -> Mapping[str, Any]:
        """What the record says of inputs; None where it does not."""
        said = ("padding_side", "causal", "ignored_inputs", "optional_inputs", "languages")
        return dict.fromkeys(said) | (self.record.get("conventions") or {})

    @property
    def needs_first_type(self) -> bool:
        """Whether all `input_type_ids` must be 0: there is a single type, and it is looked up."""
        ignored = self.conventions["ignored_inputs"] or ()
        return self.sizes["type_vocab_size"] == 1 and "input_type_ids" not in ignored

    @property
    def special_before_second(self) -> int:
        """How many special tokens are before the second text of a pair."""
        places = self._pair
        return next(n for n, place in enumerate(places) if place.startswith("$B")) - 1

    @property
    def summary_token(self) -> str:
        """Of the preprocessor's special tokens, the one that stands for a pair of texts: that which
        ends the sequence, where it is not that between the texts."""
        roles = {"start": "start_of_sequence_id", "end": "end_of_segment_id"}
        return roles[self._pair[-1].partition(":")[0]]

    @property
    def _pair(self) -> list[str]:
        return CONVENTIONS[self.preprocessor.model_type].pair.split()

    @property
    def has_mask(self) -> bool | None:
        """As of any model; what the encoder's record leaves open, its preprocessor's may tell."""
        own = super().has_mask
        return has_mask_in(self.beside) if own is None else own

    @property
    def tells_segments_apart(self) -> bool:
        """Whether the second text of a pair has other `input_type_ids` than the first."""
        types = {place.partition(":")[2] for place in self._pair if place.startswith("$")}
        return len(types) > 1 and self.sizes["type_vocab_size"] not in (0, 1)

    @property
    def stored_in(self) -> str:
        """Dtype of the dense layers' variables."""
        stored = (self.record.get("architecture") or {}).get("variable_dtype")
        return stored or "float32"

    @property
    def all_trainable(self) -> bool:
        """Whether the artifact says that each of its variables is trainable, and none is stored
        too narrow for it."""
        saved_model = self.record.get("saved_model") or {}
        parts = [saved_model.get("root") or {}, *(saved_model.get("sub_objects") or {}).values()]
        every = all(part.get("trainable_variables") == part.get("variables") for part in parts)
        return every and bool(parts[0].get("variables")) and self.stored_in == "float32"

    @property
    def pooling(self) -> Iterator[str]:
        """What `pooled_output` and `default` are, sentence by sentence."""
        return pooling.sentences(self.card.pooler, self.record.get("pooler"))

    @property
    def pooled_size(self) -> int | None:
        """Width of `pooled_output`."""
        signatures = (self.record.get("saved_model") or {}).get("signatures") or {}
        outputs = (signatures.get("serving_default") or {}).get("outputs") or {}
        shape = (outputs.get("pooled_output") or {}).get("shape") or [None]
        size: int | None = shape[-1] or self.sizes["hidden_size"]
        return size

    @property
    def pooler_needs_training(self) -> bool:
        """Whether nothing but fine-tuning makes `pooled_output` worth anything."""
        return (self.record.get("pooler") or {}).get("trained") is False

    @property
    def replaced(self) -> list[str]:
        """Values of the checkpoint's configuration that flags of the export replaced."""
        chosen = ("dtype", "variable_dtype")  # not of the checkpoint's, and in the table
        return [name for name in self.record.get("overrides") or {} if name not in chosen]

    @property
    def default_is_pooled(self) -> bool:
        """Whether `default` is `pooled_output`, as far as is known."""
        pooler = self.record.get("pooler") or {}
        return bool(pooler.get("default", "pooled_output") == "pooled_output")
