"""What `.bert_pack_inputs` does with texts that are too long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.gates.packing_rule import Rule, ordinary_segments, shared_room
from hubexport.validation.gates.text_preprocessor import (
    ArtifactError,
    TextPreprocessor,
    pack_examples,
)
from hubexport.validation.results import Measurement

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
