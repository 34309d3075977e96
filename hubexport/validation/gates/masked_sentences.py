"""Sentences with one piece masked, by an artifact's own preprocessor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from hubexport.families.heads import POSITIONS
from hubexport.validation.cases import Tensors
from hubexport.validation.gates.text_preprocessor import TextPreprocessor
from hubexport.validation.sentences import MLM_SENTENCES
from hubexport.validation.sizes import fitting

_LENGTH = 64
# Letters of scripts that next to no vocabulary has, no two with equal bytes.
_RARE = ("\U00012000", "\U000103a0", "\U00013000", "\U00016800", "\ua000")


@dataclasses.dataclass(frozen=True)
class MaskedSentences:
    """Attributes:

    inputs: the encoder's, int32 [B, S], and `masked_lm_positions` [B, 1].
    true: int32 [B, 1], the pieces that were masked.
    languages: of each row.
    """

    inputs: Tensors
    true: np.ndarray
    languages: list[str]


def masked_sentences(
    preprocessor: TextPreprocessor, sizes: Mapping[str, int], record: Mapping[str, Any] | None
) -> MaskedSentences | str:
    """The sentences that can be used, or why none can.

    One can if the word to mask is one piece, the same in the sentence as at the end of its
    beginning, and no piece is unknown.

    Raises:
      ArtifactError: the preprocessor does not work.
    """
    special = preprocessor.special_tokens()
    if "mask_id" not in special:
        return "the preprocessor reports no mask_id"
    unknown = _unknown_ids(preprocessor, record)
    starts = [text[: text.index(word)].rstrip() for _, text, word in MLM_SENTENCES]
    whole = preprocessor.tokens([sentence for _, sentence, _ in MLM_SENTENCES])
    before = preprocessor.tokens(starts)
    through = preprocessor.tokens(
        [text[: text.index(word) + len(word)] for _, text, word in MLM_SENTENCES]
    )
    languages, masked, true = [], [], []
    for number, (language, _, _) in enumerate(MLM_SENTENCES):
        ids, place = whole[number], len(before[number])
        alone = through[number] == [*before[number], *ids[place : place + 1]]
        if alone and ids[: place + 1] == through[number] and not unknown & set(ids):
            languages.append(language)
            true.append(ids[place])
            masked.append([*ids[:place], special["mask_id"], *ids[place + 1 :]])
    if not masked:
        return "of the sentences at hand none has all its pieces and the word to mask as a piece"
    packed = preprocessor.pack([masked], fitting(_LENGTH, sizes))
    at = packed["input_word_ids"] == special["mask_id"]
    fits = at.sum(axis=1) == 1  # others are longer than the model takes
    if not fits.any():
        return "no sentence fits into the model's positions"
    inputs = {name: value[fits].astype(np.int32) for name, value in packed.items()}
    inputs[POSITIONS] = at[fits].argmax(axis=1).astype(np.int32)[:, np.newaxis]
    kept = np.flatnonzero(fits)
    pieces = np.array(true, np.int32)[kept][:, np.newaxis]
    return MaskedSentences(inputs, pieces, [languages[row] for row in kept])


def _unknown_ids(preprocessor: TextPreprocessor, record: Mapping[str, Any] | None) -> set[int]:
    """The id for what cannot be spelled: as recorded, or what different rare letters all become.

    A byte-level vocabulary spells them, each otherwise: nothing is unknown there.
    """
    if record is not None:
        entry = record["tokenizer"]["special_tokens"].get("unknown_id")
        return {entry["id"]} if entry else set()
    tokens = [row for row in preprocessor.tokens(_RARE) if row]
    return {row[-1] for row in tokens if tokens.count(row) > 1}
