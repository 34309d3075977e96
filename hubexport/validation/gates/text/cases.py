"""The reference's texts through an artifact's preprocessor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hubexport.families.heads import POSITIONS
from hubexport.validation.cases import ENCODER_INPUTS, Case
from hubexport.validation.context import Context
from hubexport.validation.gates.text.client import Packed, TextPreprocessor, different_rows
from hubexport.validation.gates.text.packing import POLICIES, shared_room


@dataclasses.dataclass(frozen=True)
class Preprocessed:
    """A case's texts, packed.

    Attributes:
      packed: by the artifact, [B, S] each.
      expected: by the reference's tokenizer; pieces that were masked afterwards are put back.
      cut_otherwise: bool [B]: pairs that do not fit, and that would be the reference's if the
        artifact shared the room by another policy. They say nothing about ids.
    """

    packed: Packed
    expected: Packed
    cut_otherwise: np.ndarray


def text_cases(context: Context) -> list[Case]:
    """The reference's cases that come from text."""
    cases = context.reference.cases.values() if context.reference else ()
    return [case for case in cases if case.texts is not None]


def preprocess(preprocessor: TextPreprocessor, case: Case) -> Preprocessed:
    """Tokenizes and packs a case's texts at its length.

    Raises:
      ArtifactError: the preprocessor cannot.
    """
    assert case.texts is not None
    rows, length = case.shape
    expected = _unmasked(case)
    packed = {name: np.zeros_like(expected[name]) for name in ENCODER_INPUTS}
    cut_otherwise = np.zeros(rows, bool)
    for count in sorted({len(segments) for segments in case.texts}):
        of_count = [i for i, segments in enumerate(case.texts) if len(segments) == count]
        tokens = [
            preprocessor.tokens([case.texts[row][segment] for row in of_count])
            for segment in range(count)
        ]
        found = preprocessor.pack(tokens, length)
        wanted = {name: value[of_count] for name, value in expected.items()}
        different = different_rows(found, wanted)
        if different.any() and found["input_word_ids"].shape != (len(of_count), length):
            return Preprocessed(found, expected, cut_otherwise)
        if count > 1 and different.any():
            cut_otherwise[of_count] = different & _as_cut(preprocessor, tokens, wanted)
        for name, value in found.items():
            packed[name][of_count] = value
    return Preprocessed(packed, expected, cut_otherwise)


def _as_cut(
    preprocessor: TextPreprocessor, tokens: Sequence[list[list[int]]], wanted: Packed
) -> np.ndarray:
    """bool [B]: which rows are `wanted` once the segments are cut by some policy before packing."""
    rows, length = wanted["input_word_ids"].shape
    nothing: list[list[int]] = [[]]
    specials = int(preprocessor.pack([nothing] * len(tokens), length)["input_mask"].sum())
    equal = np.zeros(rows, bool)
    for policy in POLICIES:
        cut: list[list[list[int]]] = [[] for _ in tokens]
        for row in range(rows):
            sizes = [len(segment[row]) for segment in tokens]
            for into, segment, kept in zip(
                cut, tokens, shared_room(sizes, length - specials, policy), strict=True
            ):
                into.append(segment[row][:kept])
        equal |= ~different_rows(preprocessor.pack(cut, length), wanted)
    return equal


def _unmasked(case: Case) -> Packed:
    inputs = {name: case.inputs[name] for name in ENCODER_INPUTS}
    if case.masked_lm_ids is not None:
        ids = inputs["input_word_ids"].copy()
        np.put_along_axis(ids, case.inputs[POSITIONS], case.masked_lm_ids, axis=1)
        inputs["input_word_ids"] = ids
    return inputs
