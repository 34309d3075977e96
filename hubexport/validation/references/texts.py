"""Cases of text, through the tokenizer that the reference implementation comes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from hubexport.errors import VocabularyError
from hubexport.families.heads import POSITIONS, OptionalInput
from hubexport.validation.cases import ENCODER_INPUTS, MASKED_CASE, Case, random_cases
from hubexport.validation.sentences import MLM_SENTENCES

LENGTH = 64
"""Tokens of a row of text, padding included; less where the model has fewer positions."""

_SHORTEST = 8  # with less, next to nothing of a pair is left between its special tokens

TEXTS = (
    "The ferry leaves the harbour at half past six.",
    "Émile ordered CRÈME brûlée; Zoë had an açaí bowl and Ångström waffles.",
    "Straßenbahnen fahren täglich von Köln nach Düsseldorf, außer Sonntags.",
    "Вечером дети возвращаются домой по тихой улице.",
    "春天来了，公园里的樱花都开了。",
    "東京の地下鉄は朝とても混んでいます。",
    "القطار يصل إلى المدينة في الصباح الباكر.",
    "We WON!!! 🎉🎉 See you @ 7pm (or 19:00) — don't be late 😅",
    "On the first day of the expedition the crew counted every rope, lantern and biscuit on board, "
    "wrote the numbers into a thick grey ledger, argued about the weather, mended two sails and a "
    "broken oar, fed the goats, drank a great deal of bitter tea, and went to sleep long before "
    "the moon rose over the quiet bay, because the captain had promised to wake everybody at four "
    "and nobody on that ship had ever known the captain to break a promise of this kind.",
)
"""Accents composed and upper case, scripts with and without spaces, emoji, and one row that no
tokenizer fits into `LENGTH`."""

_BOTH_LONG = (
    "The library keeps its oldest maps in flat drawers on the second floor, where the light is dim "
    "and the air is dry, and every visitor has to put on cotton gloves, sign the book, and leave "
    "pens, bottles and bags with the woman at the desk before a drawer is opened.",
    "Nobody remembers who drew the largest of them, a chart of the river with all of its islands "
    "and sandbanks, but its paper is older than the town, and three of the villages that it shows "
    "have been under water since the great flood moved the bed of the river to the west.",
)
PAIRS = (
    ("Is the museum open on Mondays?", "It is closed on Mondays and on public holidays."),
    ("Wo hast du gestern gegessen?", "In dem kleinen Restaurant am Fluss."),
    ("Yes.", TEXTS[-1]),
    _BOTH_LONG,
)
"""A question and its answer, another language, a long second segment, and two long segments."""


class TextTokenizer(Protocol):
    """A tokenizer of a reference implementation.

    Attributes:
      name: program and version, for people.
      truncation: how a pair that is too long is cut, for people.
      mask_id, unknown_id: of its special pieces; None where it has none.
    """

    name: str
    truncation: str
    mask_id: int | None
    unknown_id: int | None

    def ids(self, text: str) -> list[int]:
        """The pieces of a text, without special ones."""

    def pack(
        self, segments: Sequence[str], length: int
    ) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Ids, mask and type ids of a row of that length, for one or two segments."""


def make_cases(
    architecture: Mapping[str, Any],
    seed: int,
    tokenizer: TextTokenizer | None,
    *,
    mlm: bool,
    padding_side: str = "right",
    optional: Mapping[str, OptionalInput] = MappingProxyType({}),
) -> tuple[list[Case], list[str]]:
    """All inputs of a model, and notes about those of text.

    Args:
      architecture: `vocab_size`, `max_position_embeddings`, `type_vocab_size` at least, and
        `pad_token_id` where it is not 0.
      seed: of the random cases.
      tokenizer: None for no cases of text.
      mlm: whether the reference has a masked-language-model head.
      padding_side: of the model's family.
      optional: what the model can do without, by name.

    Raises:
      VocabularyError: the tokenizer gives ids that the model has no embeddings for.
    """
    sizes = ("vocab_size", "max_position_embeddings", "type_vocab_size")
    cases = random_cases(
        **{name: architecture[name] for name in sizes},
        seed=seed,
        pad_token_id=architecture.get("pad_token_id", 0),
        padding_side=padding_side,
        optional=optional,
    )
    if tokenizer is None:
        return cases, []
    length = min(LENGTH, architecture["max_position_embeddings"] or LENGTH)
    if length < _SHORTEST:
        return cases, [f"no cases of text: the model has {length} positions"]
    notes = [f"text by {tokenizer.name}, pairs cut {tokenizer.truncation}"]
    of_text = [_packed("texts", tokenizer, [[text] for text in TEXTS], length)]
    pairs = _packed("text_pairs", tokenizer, [list(pair) for pair in PAIRS], length)
    # RoBERTa's tokenizer parts segments by its separators alone.
    if pairs.inputs["input_type_ids"].max() < max(1, architecture["type_vocab_size"]):
        of_text.append(pairs)
    else:
        notes.append("no pairs of segments: the tokenizer gives types that the model has not")
    if mlm:
        masked = _masked(tokenizer, length)
        if masked is None:
            notes.append("no masked sentences: none fits the vocabulary and the positions")
        else:
            of_text.append(masked)
    _check_ids(tokenizer, of_text, architecture["vocab_size"])
    return cases + of_text, notes


def _packed(
    name: str, tokenizer: TextTokenizer, texts: Sequence[Sequence[str]], length: int
) -> Case:
    rows = zip(*(tokenizer.pack(segments, length) for segments in texts), strict=True)
    inputs = {
        key: np.array(value, np.int32) for key, value in zip(ENCODER_INPUTS, rows, strict=True)
    }
    return Case(name, inputs, texts)


def _masked(tokenizer: TextTokenizer, length: int) -> Case | None:
    """One masked piece in each sentence that the vocabulary knows; None where it knows none."""
    mask_id = tokenizer.mask_id
    if mask_id is None:
        return None
    sentences, masked = [], []
    for _, sentence, word in MLM_SENTENCES:
        ids, piece = tokenizer.ids(sentence), tokenizer.ids(word)
        if tokenizer.unknown_id in ids or len(ids) + 2 > length:
            continue
        # A word of several pieces would be guessed from its own rest.
        if len(piece) == 1 and ids.count(piece[0]) == 1:
            sentences.append([sentence])
            masked.append(piece)
    if not sentences:
        return None
    case = _packed(MASKED_CASE, tokenizer, sentences, length)
    word_ids, masked_ids = case.inputs["input_word_ids"], np.array(masked, np.int32)
    positions = (word_ids == masked_ids).argmax(axis=1, keepdims=True).astype(np.int32)
    np.put_along_axis(word_ids, positions, np.int32(mask_id), axis=1)
    return Case(case.name, {**case.inputs, POSITIONS: positions}, case.texts, masked_ids)


def _check_ids(tokenizer: TextTokenizer, cases: Sequence[Case], vocab_size: int) -> None:
    largest = max(int(case.inputs["input_word_ids"].max()) for case in cases)
    if largest >= vocab_size:
        raise VocabularyError(
            "the tokenizer is of another model: it gives ids without an embedding",
            [
                ("tokenizer", tokenizer.name),
                ("largest id on a few sentences", f"{largest:,}"),
                ("model", f"vocab_size {vocab_size:,}"),
            ],
            "pass the tokenizer that the checkpoint was trained with.",
        )
