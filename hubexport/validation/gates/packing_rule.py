"""How a preprocessor packs texts, found out from two short ones, and what follows from that.

Families pack differently (`A <sep> <cls>`, padding on the left, two ends between segments), and
nothing in the interface says how. What a short row shows is taken as the rule; longer rows must
follow it. Ids are given to `.bert_pack_inputs` directly, so that no text and no tokenizer matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from hubexport.tokenizers.definition import Segment, Token
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.gates.text_preprocessor import ArtifactError, Packed

Places = tuple[Token | Segment, ...]
_LEAST_PADDING = 4
_LEAST_PIECES = 16
_ENOUGH = 1000


@dataclasses.dataclass(frozen=True)
class Rule:
    """How one text, or two, are packed.

    Attributes:
      places: special tokens and segments in order, without padding.
      padding_id, padding_type_id: what fills up ids and types.
      padding_side: where that stands.
    """

    places: Places
    padding_id: int
    padding_type_id: int
    padding_side: Literal["left", "right"]

    @property
    def specials(self) -> int:
        """How many special tokens there are."""
        return sum(isinstance(place, Token) for place in self.places)

    def row(self, segments: Sequence[Sequence[int]], seq_length: int) -> dict[str, list[int]]:
        """The encoder inputs of one example whose segments fit."""
        ids: list[int] = []
        types: list[int] = []
        for place in self.places:
            of_place = [place.id] if isinstance(place, Token) else list(segments[place.index])
            ids += of_place
            types += [place.type_id] * len(of_place)
        padding = seq_length - len(ids)
        columns = {
            "input_word_ids": (ids, self.padding_id),
            "input_mask": ([1] * len(ids), 0),
            "input_type_ids": (types, self.padding_type_id),
        }
        return {
            name: values + [fill] * padding
            if self.padding_side == "right"
            else [fill] * padding + values
            for name, (values, fill) in columns.items()
        }

    def packed(self, examples: Sequence[Sequence[Sequence[int]]], seq_length: int) -> Packed:
        """The encoder inputs of examples whose segments fit, int32 [B, S] each."""
        rows = [self.row(segments, seq_length) for segments in examples]
        return {name: np.array([row[name] for row in rows], np.int32) for name in ENCODER_INPUTS}


def observe(
    row: dict[str, np.ndarray], segments: Sequence[Sequence[int]], endings: set[int]
) -> Rule:
    """The rule that a row shows.

    The padding is the run of equal ids at one end of the row. Where that could hide a special
    token, because the padding is one of `endings`, the mask tells where the text ends.

    Args:
      row: encoder inputs [S] with several places of padding.
      segments: the ids that were packed, all different, none of them special.
      endings: ids of the tokens that begin and end segments.

    Raises:
      ArtifactError: the segments are not in the row, in order and whole, or there is no padding.
    """
    ids = row["input_word_ids"].tolist()
    types = row["input_type_ids"].tolist()
    right, left = _run(ids[::-1]), _run(ids)
    side: Literal["left", "right"] = "right" if right >= left else "left"
    padding = max(right, left)
    if padding < _LEAST_PADDING:
        raise ArtifactError(f"no padding in {ids}")
    outermost = -1 if side == "right" else 0
    if ids[outermost] in endings:
        zeros = int((row["input_mask"] == 0).sum())
        padding = zeros if 0 < zeros <= padding else padding
    begin, end = (0, len(ids) - padding) if side == "right" else (padding, len(ids))
    places: list[Token | Segment] = []
    index, position = 0, begin
    while position < end:
        size = len(segments[index]) if index < len(segments) else 0
        if size and ids[position : position + size] == list(segments[index]):
            places.append(Segment(index, types[position]))
            index, position = index + 1, position + size
        else:
            places.append(Token(ids[position], types[position]))
            position += 1
    if index < len(segments):
        raise ArtifactError(f"segment {index + 1} is not in {ids}, whole and in order")
    return Rule(tuple(places), ids[outermost], types[outermost], side)


def _run(ids: Sequence[int]) -> int:
    """How many equal ids a sequence begins with."""
    return next((i for i, each in enumerate(ids) if each != ids[0]), len(ids))


def shared_room(lengths: Sequence[int], room: int, policy: str) -> list[int]:
    """How many tokens of each segment are kept, dealt out one by one.

    Args:
      lengths: of 1 or 2 segments.
      room: places for their tokens.
      policy: `round_robin` begins with the first segment, `longest_first` with the longer one, the
        second of two of one length.
    """
    order = list(range(len(lengths)))
    if policy == "longest_first" and len(lengths) == 2 and lengths[1] >= lengths[0]:
        order = [1, 0]
    kept = [0] * len(lengths)
    while room > 0 and any(kept[i] < lengths[i] for i in order):
        for i in order:
            if room > 0 and kept[i] < lengths[i]:
                kept[i] += 1
                room -= 1
    return kept


def ordinary_segments(lengths: Sequence[int], special: Mapping[str, int]) -> list[list[int]]:
    """Segments of ids that are none of the special tokens', going round the vocabulary.

    Args:
      lengths: of the segments.
      special: `vocab_size` and the special tokens' ids by name.

    Raises:
      ArtifactError: the vocabulary is too small to tell positions apart.
    """
    size = special.get("vocab_size", 0)
    reserved = {number for name, number in special.items() if name != "vocab_size"}
    ordinary = [number for number in range(min(size, _ENOUGH)) if number not in reserved]
    if len(ordinary) < _LEAST_PIECES:
        raise ArtifactError(f"a vocabulary of {size} pieces is too small to look at packing")
    taken, segments = 0, []
    for length in lengths:
        segments.append([ordinary[(taken + i) % len(ordinary)] for i in range(length)])
        taken += length
    return segments
