"""What the site shows of models: cards with the record's numbers in them, alone and as a grid."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering import collection
from hubexport.cards.schema import KINDS, EncoderCard, Model, PipelineCard, PreprocessorCard
from hubexport.cards.site.paths import page_path

Record: TypeAlias = Mapping[str, Any]

_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads")


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is known of a model; None or empty where nothing is.

    Attributes:
      card: what people say.
      source: what they say of where it is from: of a pipeline, its encoder's card.
      record: what machines say; empty where the model has not been exported.
      path: of its page.
      families: of the encoder, of the one that a pipeline holds, or of those that take what the
        preprocessor makes.
      layers, hidden, attention_heads: L, H, A: as built, else as the card says.
      parameters: as counted, else as the card's authors state them.
      stated: whether `parameters` is only stated.
      heads: names of the exported heads.
      vocabulary: number of a preprocessor's pieces.
    """

    card: Model
    source: EncoderCard | PreprocessorCard
    record: Record
    path: str
    families: tuple[str, ...]
    layers: int | None = None
    hidden: int | None = None
    attention_heads: int | None = None
    parameters: int | None = None
    stated: bool = False
    heads: tuple[str, ...] = ()
    vocabulary: int | None = None

    @property
    def searched(self) -> str:
        """The text that searches look into, folded."""
        card, source = self.card, self.source
        texts = [card.handle, card.title, card.description]
        if isinstance(source, EncoderCard):
            texts += source.also_known_as
            for author in source.authors:
                texts += [author.name, author.organisation or ""]
        return folded(" ".join(filter(None, texts)))


def summarize(catalogue: Catalogue, records: Mapping[str, Record]) -> list[Summary]:
    """All models by kind, encoders first, the small before the large."""
    summaries = [
        _encoder(card, card, records.get(card.handle, {})) for card in catalogue.encoders.values()
    ]
    summaries += [_pipeline(card, catalogue, records) for card in catalogue.pipelines.values()]
    summaries += [
        _preprocessor(card, catalogue, records) for card in catalogue.preprocessors.values()
    ]
    return sorted(summaries, key=_order)


def folded(text: str) -> str:
    """Without accents and capitals: as site.js folds what is typed."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(
        each for each in letters if not unicodedata.category(each).startswith("M")
    ).lower()


def _encoder(card: Model, encoder: EncoderCard, record: Record) -> Summary:
    """Of an encoder, or of what holds one.

    Args:
      record: the encoder's.
    """
    built = record.get("architecture") or {}
    layers, hidden, heads = (built.get(key) or getattr(encoder.architecture, key) for key in _SIZES)
    counted = built.get("num_parameters")
    stated = encoder.architecture.stated_parameters
    return Summary(
        card,
        encoder,
        record,
        page_path(card),
        families=(encoder.family,),
        layers=layers,
        hidden=hidden,
        attention_heads=heads,
        parameters=counted or stated,
        stated=not counted and stated is not None,
        heads=tuple(sorted(record.get("heads") or ())),
    )


def _pipeline(card: PipelineCard, catalogue: Catalogue, records: Mapping[str, Record]) -> Summary:
    held = records.get(card.handle, {}).get("encoder") or {}
    return _encoder(card, catalogue.encoders[card.encoder], held)


def _preprocessor(
    card: PreprocessorCard, catalogue: Catalogue, records: Mapping[str, Record]
) -> Summary:
    record = records.get(card.handle, {})
    return Summary(
        card,
        card,
        record,
        page_path(card),
        families=tuple(sorted({each.family for each in catalogue.encoders_of(card.handle)})),
        vocabulary=(record.get("tokenizer") or {}).get("vocab_size") or card.vocab_size,
    )


def _order(summary: Summary) -> tuple[Any, ...]:
    card = summary.card
    sizes = (summary.layers or 0, summary.hidden or 0)
    return ([*KINDS].index(card.kind), summary.families[:1], sizes, card.handle)


class Grid(collection.Grid[Summary]):
    """Summaries of models by size."""

    @property
    def any_stated(self) -> bool:
        """Whether some numbers of parameters are the authors' and not counted."""
        return any(each.stated for each in self.cells.values())


def grid_of(summaries: Iterable[Summary]) -> Grid | None:
    """The grid that a collection's encoders fill, each cell once; None where they do not."""
    encoders = [each for each in summaries if isinstance(each.card, EncoderCard)]
    made = collection.fill((each.layers, each.hidden, each) for each in encoders)
    return None if made is None else Grid(made.layers, made.hidden, made.cells)


def millions(value: float) -> str:
    """Three digits are enough to compare sizes: 4.39 M, 110 M."""
    return f"{significant(value / 1e6)} M"


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.125, 4.39, 1,230."""
    if value == 0:
        return "0"
    places = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exponent(value: float) -> str:
    """An error: 2.71e-07; 0 where there is none."""
    return "0" if value == 0 else f"{value:.2e}"
