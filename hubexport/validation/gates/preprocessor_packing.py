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

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hubexport.tokenizers.conventions import CONVENTIONS
from hubexport.tokenizers.definition import Segment, Token
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.gates.packing_rule import Places, Rule, observe, ordinary_segments
from hubexport.validation.gates.preprocessor_truncation import truncation_measurements
from hubexport.validation.gates.text_preprocessor import (
    ArtifactError,
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
