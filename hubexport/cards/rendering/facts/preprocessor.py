"""What the templates of a preprocessor's page read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubexport.cards.rendering.facts.model import Facts
from hubexport.cards.schema import EncoderCard, PipelineCard, PreprocessorCard


@dataclass(frozen=True)
class PreprocessorFacts(Facts):
    """Of a preprocessor."""

    card: PreprocessorCard

    @property
    def tokenizer(self) -> Mapping[str, Any]:
        return self.record.get("tokenizer") or {}

    @property
    def vocab_size(self) -> int | None:
        """As built, else as the card says."""
        return self.tokenizer.get("vocab_size") or self.card.vocab_size

    @property
    def needs_ops(self) -> bool:
        """Whether loading it takes TensorFlow Text, as far as is known."""
        required = (self.record.get("saved_model") or {}).get("required_ops")
        return required is None or "tensorflow-text" in required

    @property
    def packing(self) -> Mapping[str, Any]:
        """How texts and special tokens are arranged; empty where the record does not say."""
        return self.tokenizer.get("packing") or {}

    @property
    def adds_special_tokens(self) -> bool:
        """Whether packing puts special tokens around texts, as far as is known."""
        places = [*self.packing.get("single", ()), *self.packing.get("pair", ())]
        return any("piece" in place for place in places)

    def arrangement(self, which: str) -> str:
        """Of `single` or `pair`, as Markdown: `[CLS]` text `[SEP]`."""
        names = ("text",) if which == "single" else ("first", "second")
        return " ".join(
            f"`{place['piece']}`" if "piece" in place else names[place["text"]]
            for place in self.packing[which]
        )

    @property
    def types(self) -> str:
        """What `input_type_ids` are, as Markdown."""
        if not self.packing:
            return "the type of a token, as the model expects it"
        of_text = {p["text"]: p["type_id"] for p in self.packing["pair"] if "text" in p}
        others = {
            f"`{place['piece']}`": place["type_id"]
            for place in (*self.packing["single"], *self.packing["pair"])
            if "piece" in place and place["type_id"] not in of_text.values()
        }
        if (padding := self.packing["padding"]["type_id"]) != 0:
            others["padding"] = padding
        if {*of_text.values(), *others.values()} == {0}:
            return "0 for all tokens"
        first, second = of_text[0], of_text[1]
        texts = f"{first} for the first text, {second} for the second"
        texts = texts if first != second else f"{first} for both texts"
        return "; ".join([texts, *(f"{type_id} for {what}" for what, type_id in others.items())])

    @property
    def sub_objects(self) -> Mapping[str, Any]:
        """Path -> what the record says of a callable part."""
        return (self.record.get("saved_model") or {}).get("sub_objects") or {}

    @property
    def encoders(self) -> list[EncoderCard]:
        """Those that take what it makes."""
        return self.catalogue.encoders_of(self.card.handle)

    @property
    def pipelines(self) -> list[PipelineCard]:
        """Those that hold it."""
        return [each for card in self.encoders for each in self.catalogue.pipelines_of(card.handle)]
