"""The normalizers of Hugging Face's SentencePiece-like tokenizers as tables and patterns.

`NFKD`, `StripAccents` and `Lowercase` act on single characters. `Precompiled`, the model's own
character map, acts on grapheme clusters (github.com/huggingface/spm_precompiled, src/lib.rs): a
cluster of less than six bytes whose beginning is a key becomes the value of the shortest such
key, *whatever follows in it*; in all others each character is looked up by itself. SentencePiece
itself takes the longest key at each place, so the two differ, mostly in letters with separate
accents.

Here most of it is one table of single characters. Where text has a short cluster that is not
treated character by character, patterns put a mark behind it, and keys that end in the mark do
the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from hubexport.tokenizers.tables.characters import re2_class
from hubexport.tokenizers.tables.sentencepiece_characters import sentencepiece_characters

WORD = "\u2581"
"""Stands for the space in front of a word."""
_SHORT = 6  # clusters of so many bytes and more are not keys
# Where unknown characters are found one by one; none is assigned in other planes.
_PLANES = [*range(0x40000), *range(0xE0000, 0xE1000)]
_NONCHARACTERS = [chr(c) for c in (0xFFFD, *range(0xFDD0, 0xFDF0), 0xFFFE, 0xFFFF)]


@dataclasses.dataclass(frozen=True)
class Clusters:
    """What is done to texts with short clusters that are keys, in place of the one table.

    Attributes:
      present: a pattern; text without a match has none.
      before: code point -> replacement; the first step.
      steps: (pattern, replacement), one after the other.
      after: code point -> replacement; the last step.
      short: the mark behind what the character map of the model makes one character.
    """

    present: str
    before: Mapping[int, str]
    steps: tuple[tuple[str, str], ...]
    after: Mapping[int, str]
    short: str


@dataclasses.dataclass(frozen=True)
class Normalization:
    """After it, words are between ASCII spaces.

    Attributes:
      unknown: the character in place of all that no piece has.
      other_space: the character in place of white space that does not end words.
      table: code point -> replacement.
      clusters: None where no short cluster can be a key.
      charsmap: key -> replacement, for the character map of a SentencePiece model.
    """

    unknown: str
    other_space: str
    table: Mapping[int, str]
    clusters: Clusters | None
    charsmap: Mapping[str, str]


def normalization(
    precompiled: Mapping[str, str],
    *,
    strip_accents: bool,
    lower_case: bool,
    alphabet: Iterable[str],
    unknown_piece: str,
    split_at_white_space: bool = True,
) -> Normalization:
    """The tables for one tokenizer.

    Args:
      precompiled: the model's character map.
      strip_accents: whether text is decomposed (NFKD) and loses its accents.
      lower_case: whether it is lower-cased, then.
      alphabet: the characters of all pieces.
      unknown_piece: as text, it is unknown too.
      split_at_white_space: whether any white space separates words, or only the ASCII space.

    Raises:
      ValueError: the character map cannot be treated so.
    """
    characters = sentencepiece_characters()
    alphabet = frozenset(alphabet)
    spaces = characters.white_space if split_at_white_space else {0x20}
    if any(ord(c) in characters.white_space - spaces for c in alphabet):
        raise ValueError("there are pieces with white space other than spaces")
    singles = {key: value for key, value in precompiled.items() if len(key) == 1}
    free = [c for c in _NONCHARACTERS if c not in alphabet and c not in singles]
    if len(free) < 6:
        raise ValueError("the pieces leave no characters for marks")
    unknown, other_space, *marks = free[:6]
    before = _before(strip_accents, lower_case)
    rules = _cluster_rules(precompiled, singles, before, marks)
    kept = {marks[1], *(c for key in rules.pairs for c in key)} if rules.steps else set()

    def final(text: str) -> str:
        done = []
        for character in (mapped for c in text for mapped in singles.get(c, c)):
            if character == WORD:
                done.append(" " + WORD)
            elif ord(character) in spaces:
                done.append(" ")
            elif character in alphabet or character in kept:
                done.append(character)
            elif ord(character) in characters.white_space:
                done.append(other_space)
            else:
                done.append(unknown)
        return "".join(done)

    def table(first: Mapping[int, str]) -> dict[int, str]:
        # All others become the unknown character, without being looked at one by one.
        known = {WORD, unknown, *alphabet, *kept, *singles}
        looked_at = {*before, *characters.white_space, *map(ord, known)}
        surrogates = set(range(0xD800, 0xE000))
        replacements = dict.fromkeys(set(_PLANES) - looked_at - surrogates, unknown)
        for code_point in looked_at - surrogates:
            text = first.get(code_point, chr(code_point))
            replacement = text if text in kept else final(text)
            if replacement != chr(code_point):
                replacements[code_point] = replacement
        return replacements

    charsmap = {unknown_piece: unknown}
    clusters = None
    if rules.steps:
        end, short, inside, _ = marks
        after = table({}) | dict.fromkeys(map(ord, (end, inside)), "")
        clusters = Clusters(rules.present, before, rules.steps, after, short)
        charsmap |= {key + short: final(value) for key, value in rules.pairs.items()}
        charsmap |= {short: ""}
        charsmap |= {c: final(c) for c in kept.intersection(singles)}
        if any(" " in value for value in charsmap.values()):
            raise ValueError("the character map makes white space of accents")
    return Normalization(unknown, other_space, table(before), clusters, charsmap)


def _before(strip_accents: bool, lower_case: bool) -> dict[int, str]:
    """What is done before the model's own character map."""
    characters = sentencepiece_characters()
    stripped = characters.stripped if strip_accents else {}
    if not lower_case:
        return dict(stripped)
    lower = characters.lower_case
    return lower | {
        c: "".join(lower.get(ord(part), part) for part in text) for c, text in stripped.items()
    }


@dataclasses.dataclass(frozen=True)
class _Rules:
    """Attributes:

    present, steps: see `Clusters`; no steps if no short cluster is treated as a whole.
    pairs: two or three characters -> replacement, of clusters whose base is not a key by itself.
    """

    present: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    pairs: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _cluster_rules(
    precompiled: Mapping[str, str],
    singles: Mapping[str, str],
    before: Mapping[int, str],
    marks: list[str],
) -> _Rules:
    """What `Precompiled` does to clusters that the earlier steps leave in text."""
    characters = sentencepiece_characters()
    made = {ord(c) for text in before.values() for c in text}

    def by_length(code_points: Iterable[int]) -> dict[int, set[int]]:
        groups: dict[int, set[int]] = {1: set(), 2: set(), 3: set(), 4: set()}
        for c in code_points:
            if not 0xD800 <= c < 0xE000 and (c in made or before.get(c, chr(c)) == chr(c)):
                groups[len(chr(c).encode())].add(c)
        return groups

    extending = by_length(characters.extending)
    every_extending = set().union(*extending.values())
    no_base = characters.apart | characters.extending | characters.prepended
    bases = by_length(set(range(0x10000)) - no_base - {ord(mark) for mark in marks})
    keys = by_length({ord(key) for key in singles} - no_base)
    pairs = {
        key: value
        for key, value in precompiled.items()
        if len(key) > 1
        and len(key.encode()) < _SHORT
        and key[0] not in singles
        and key[:-1] not in precompiled
        and ord(key[0]) in bases[len(key[0].encode())]
        and all(ord(c) in every_extending for c in key[1:])
    }
    # Of a key's head and what is dropped behind it, and of both characters of a pair.
    present = [
        (keys[n], followers)
        for n in (1, 2, 3)
        if keys[n] and (followers := set().union(*(extending[m] for m in range(2, _SHORT - n))))
    ]
    if pairs:
        present.append(({ord(k[0]) for k in pairs}, {ord(k[1]) for k in pairs}))
    if not pairs and not present:
        return _Rules()
    if any(ord(key[0]) in characters.prepended for key in precompiled):
        raise ValueError("the character map has keys that begin with a prepended character")
    end, short, inside, stand_in = marks
    base, follower = re2_class(set().union(*bases.values())), re2_class(every_extending)
    steps = [
        # What the text itself has of the marks is unknown, as is their stand-in.
        (f"[{end}{short}{inside}]", stand_in),
        (
            f"([{re2_class(characters.prepended)}][{base}])([{follower}])",
            rf"\1{inside}\2",
        ),
        (f"([{base}][{follower}]+)", rf"\1{end}"),
    ]
    for n, heads in keys.items():
        tail = set().union(*(extending[m] for m in range(2, _SHORT - n)))
        if heads and tail:
            steps.append((f"([{re2_class(heads)}])[{re2_class(tail)}]{end}", r"\1"))
    seconds = re2_class(extending[2])
    if keys[1] and seconds:
        steps.append((f"([{re2_class(keys[1])}])[{seconds}]{{2}}{end}", r"\1"))
    longer = _pattern(k for k in pairs if len(k) == 2 and len(k.encode()) == 3)
    if longer:
        steps.append((f"({longer})[{seconds}]{end}", rf"\1{short}"))
    if pairs:
        steps.append((f"({_pattern(pairs)}){end}", rf"\1{short}"))
    if before:
        # The first table may drop what stands between a head and its followers.
        followers_made = set().union(*(followers for _, followers in present))
        sources = {c for c, text in before.items() if any(ord(p) in followers_made for p in text)}
        alternatives = [f"[{re2_class(followers_made | sources)}]"]
    else:
        alternatives = [f"[{re2_class(head)}][{re2_class(tail)}]" for head, tail in present]
    alternatives.append(f"[{end}{short}{inside}]")
    return _Rules(f"(?s).*(?:{'|'.join(alternatives)}).*", tuple(steps), pairs)


def unit_pattern(clusters: bool, others: str = "") -> str:
    """A group that matches parts of a text that are normalized whatever is around them.

    Also a byte that is not UTF-8.

    Args:
      clusters: whether a part is a character with those that extend it.
      others: a pattern of what else is one part.
    """
    characters = sentencepiece_characters()
    one = "(?s:.)"
    if clusters:
        extending = re2_class(characters.extending)
        one = f"[{re2_class(characters.prepended)}]*{one}[{extending}]*"
        others = f"(?:{others})[{extending}]*" if others else ""
    return f"({others}|{one}|\\C)" if others else f"({one}|\\C)"


def _pattern(keys: Iterable[str]) -> str:
    """Matches the keys, which have the same few last characters."""
    heads: dict[str, set[int]] = {}
    for key in keys:
        heads.setdefault(key[1:], set()).add(ord(key[0]))
    return "|".join(f"[{re2_class(first)}]{rest}" for rest, first in sorted(heads.items()))
