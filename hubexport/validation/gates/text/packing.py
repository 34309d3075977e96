"""What `.bert_pack_inputs` packs: special tokens, padding, mask, types, truncation.

The special tokens that the artifact reports must be where its family has them:

- with a record whose `model_type` is known, as that type packs (docs/tokenizers.md), unless it was
  made from a tokenizer.json, which may say otherwise;
- else, of the ids that are reported, the start at the beginning of a row (at its end where padding
  is on the left, as XLNet has it), the end behind each segment.

Types are those of the family. Without a record they are 0 in the first segment and 1 in the second
where the row looks like BERT's (`start A end B end`). Else the first segment's are 0, the second's
0 or 1.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from hubexport.tokenizers.conventions import CONVENTIONS
from hubexport.tokenizers.definition import Segment, Token
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.gates.text.client import (
    ArtifactError,
    Packed,
    TextPreprocessor,
    check,
    pack_examples,
)
from hubexport.validation.results import Measurement

_LENGTH = 32
_SHORT = (5, 4)
_ENDS = ("start_of_sequence_id", "end_of_segment_id")
_SEGMENTS = {1: "one text", 2: "two texts"}
_FITTING: Mapping[int, Sequence[Sequence[int]]] = {
    1: [(0,), (1,), (9,)],
    2: [(0, 0), (0, 3), (3, 0), (7, 6)],
}


def packing_measurements(
    preprocessor: TextPreprocessor, record: Mapping[str, Any] | None
) -> Iterator[Measurement]:
    """Everything about one text and about two."""
    try:
        special = preprocessor.special_tokens()
        if not _has_length(preprocessor, special):
            return  # the forms of bert_pack_inputs have said so
    except ArtifactError as error:
        yield Measurement("packing", False, str(error))
        return
    for count in _SEGMENTS:
        yield from _of_segments(count, preprocessor, special, record)


def _of_segments(
    count: int,
    preprocessor: TextPreprocessor,
    special: Mapping[str, int],
    record: Mapping[str, Any] | None,
) -> Iterator[Measurement]:
    name = f"packing of {_SEGMENTS[count]}"
    segments = ordinary_segments(_SHORT[:count], special)
    try:
        short = preprocessor.pack([[segment] for segment in segments], _LENGTH)
        row = {key: value[0] for key, value in short.items()}
        rule = observe(row, segments, {special[n] for n in _ENDS if n in special})
    except ArtifactError as error:
        yield Measurement(name, False, str(error), "the segments whole, in order, and padding")
        return
    yield _specials(name, rule, special, record)
    yield _types(name, rule, special, record)
    padding = special.get("padding_id", rule.padding_id)
    yield Measurement(f"{name}: padding", rule.padding_id == padding, rule.padding_id, padding)

    examples = [ordinary_segments(lengths, special) for lengths in _FITTING[count]]
    expected = rule.packed(examples, _LENGTH)

    def unequal(key: str) -> str:
        return _unequal(pack_examples(preprocessor, examples, _LENGTH)[key], expected[key])

    for key in ENCODER_INPUTS:
        yield check(f"{name}: {key}", functools.partial(unequal, key), "as the short text's")
    yield from truncation_measurements(name, count, preprocessor, rule, special, record)


def _specials(
    name: str, rule: Rule, special: Mapping[str, int], record: Mapping[str, Any] | None
) -> Measurement:
    """Which special tokens stand where."""
    wanted = _places_of_family(rule, special, record)
    what = f"{name}: special tokens"
    if wanted is not None:
        return Measurement(
            what, _show(rule.places) == _show(wanted), _show(rule.places), _show(wanted)
        )
    right = rule.padding_side == "right"
    wrong = []
    if "start_of_sequence_id" in special:
        outermost = rule.places[0 if right else -1]
        start = special["start_of_sequence_id"]
        if not isinstance(outermost, Token) or outermost.id != start:
            wrong.append(f"start {start} at the {'beginning' if right else 'end'}")
    if "end_of_segment_id" in special:
        end = special["end_of_segment_id"]
        behind = [
            after
            for place, after in zip(rule.places, (*rule.places[1:], None), strict=True)
            if isinstance(place, Segment)
        ]
        if any(not isinstance(after, Token) or after.id != end for after in behind):
            wrong.append(f"end {end} behind each text")
    return Measurement(what, not wrong, _show(rule.places), " and ".join(wrong) or None)


def _types(
    name: str, rule: Rule, special: Mapping[str, int], record: Mapping[str, Any] | None
) -> Measurement:
    """The entries of input_type_ids for the special tokens and segments."""
    types = [place.type_id for place in rule.places]
    wanted = _places_of_family(rule, special, record)
    what = f"{name}: types"
    if wanted is not None:
        expected = [place.type_id for place in wanted]
        return Measurement(what, types == expected, str(types), str(expected))
    of_segments = [place.type_id for place in rule.places if isinstance(place, Segment)]
    start, end = (special.get(each) for each in _ENDS)
    bert = {1: f"{start} A {end}", 2: f"{start} A {end} B {end}"}[len(of_segments)]
    if record is None and _show(rule.places) == bert:
        expected = [0, 0, 0, 1, 1] if len(of_segments) == 2 else [0, 0, 0]
        return Measurement(what, types == expected, str(types), str(expected))
    allowed = [[0, 1], [0, 0]] if len(of_segments) == 2 else [[0]]
    return Measurement(what, of_segments in allowed, str(of_segments), str(allowed[0]))


def _places_of_family(
    rule: Rule, special: Mapping[str, int], record: Mapping[str, Any] | None
) -> Places | None:
    """As the record's model type packs; None where that is not known."""
    tokenizer = record["tokenizer"] if record else {}
    convention = CONVENTIONS.get(str(tokenizer.get("model_type")))
    if convention is None or "tokenizer_file" in tokenizer["files"]:
        return None
    if set(convention.special_tokens) - set(special):
        return None  # the dict's measurement has said so
    template = convention.packing(special)
    pair = any(isinstance(place, Segment) and place.index == 1 for place in rule.places)
    return template.pair if pair else template.single


def _has_length(preprocessor: TextPreprocessor, special: Mapping[str, int]) -> bool:
    packed = preprocessor.pack([ordinary_segments([2], special)], _LENGTH)
    return packed["input_word_ids"].shape == (1, _LENGTH)


def _show(places: Places) -> str:
    return " ".join("AB"[p.index] if isinstance(p, Segment) else str(p.id) for p in places)


def _unequal(found: np.ndarray, expected: np.ndarray) -> str:
    if found.shape != expected.shape:
        return f"shape {list(found.shape)}"
    rows = np.flatnonzero((found != expected).any(axis=1))
    if not rows.size:
        return ""
    row = rows[0]
    return f"{found[row].tolist()} instead of {expected[row].tolist()}"


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
    """Segments of ids other than the special tokens', going round the vocabulary.

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


POLICIES = ("round_robin", "longest_first")
_LENGTHS = (32, 31)  # the policies differ where the room is odd
_TOO_LONG: Mapping[int, Sequence[Sequence[int]]] = {
    1: [(33,), (80,)],
    2: [(80, 90), (90, 80), (80, 80), (3, 80), (80, 3)],
}


def truncation_measurements(
    name: str,
    count: int,
    preprocessor: TextPreprocessor,
    rule: Rule,
    special: Mapping[str, int],
    record: Mapping[str, Any] | None,
) -> Iterator[Measurement]:
    """Each segment keeps its beginning; two share the room as recorded, or by a known policy.

    Args:
      name: of what is packed, for the report.
      count: of segments.
      rule: how they are packed where they fit.
      special: the artifact's special tokens.
      record: the artifact's, or None.
    """
    what = f"{name}: what is too long keeps its beginning"
    policies = [str(record["truncation"])] if record else list(POLICIES)
    otherwise: dict[str, str] = {}  # policy -> the first row that does not follow it
    try:
        for length in _LENGTHS:
            examples = [ordinary_segments(lengths, special) for lengths in _TOO_LONG[count]]
            packed = pack_examples(preprocessor, examples, length)
            for number, segments in enumerate(examples):
                row = {key: packed[key][number].tolist() for key in ENCODER_INPUTS}
                kept = _kept(rule, segments, length, row)
                sizes = [len(segment) for segment in segments]
                for policy in policies:
                    if kept != shared_room(sizes, length - rule.specials, policy):
                        otherwise.setdefault(policy, f"{sizes} become {kept} at length {length}")
    except ArtifactError as error:
        yield Measurement(what, False, str(error))
        return
    yield Measurement(what, True)
    found = "; ".join(dict.fromkeys(otherwise.values())) if len(otherwise) == len(policies) else ""
    yield Measurement(
        f"{name}: room is used up and shared", not found, found or None, " or ".join(policies)
    )


def _kept(
    rule: Rule, segments: Sequence[Sequence[int]], length: int, row: Mapping[str, list[int]]
) -> list[int]:
    """How many ids of each segment a row has.

    Raises:
      ArtifactError: they are not the first ones, or the rest of the row is not as the rule says.
    """
    room = length - rule.specials
    sizes = [len(segment) for segment in segments]
    # All that can be kept; what uses up the room, as it should, is tried first.
    shares = sorted(
        (
            kept
            for kept in np.ndindex(*(min(size, room) + 1 for size in sizes))
            if sum(kept) <= room
        ),
        key=sum,
        reverse=True,
    )
    for kept in shares:
        cut = [segment[:size] for segment, size in zip(segments, kept, strict=True)]
        wanted = rule.row(cut, length)
        if wanted["input_word_ids"] == row["input_word_ids"]:
            if wrong := [key for key in ENCODER_INPUTS if wanted[key] != row[key]]:
                raise ArtifactError(f"{wrong[0]} of {kept} kept tokens: {row[wrong[0]]}")
            return list(kept)
    raise ArtifactError(f"{sizes} become {row['input_word_ids']} at length {length}")
