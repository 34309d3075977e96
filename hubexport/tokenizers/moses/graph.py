"""Moses tokenization of a string tensor; see `hubexport.tokenizers.moses.rules` for the rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import tensorflow as tf
import tensorflow_text as text

from hubexport.tokenizers.moses.rules import Characters, Replace, Step
from hubexport.tokenizers.tables.characters import re2_class
from hubexport.tokenizers.tables.moses_characters import Prefixes, code_points, re2
from hubexport.tokenizers.tables.normalizer import build_normalizer

_CUT = b"\xfe"  # never in UTF-8, so never in text


class Replacements(tf.Module):
    """Rules, one after the other."""

    def __init__(self, steps: Iterable[Step]):
        """Args:
        steps: character maps in succession are made one.
        """
        super().__init__(name="replacements")
        self._steps = []
        for step in _joined(steps):
            if isinstance(step, Replace):
                self._steps.append((step.pattern, step.rewrite))
            else:
                self._steps.append(character_map(step.replacements))

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """string [n] -> string [n]."""
        for step in self._steps:
            if isinstance(step, tuple):
                texts = tf.strings.regex_replace(texts, *step)
            else:
                texts = step.normalize(texts)
        return texts


def character_map(replacements: Mapping[int, str]) -> text.FastBertNormalizer:
    """An op that replaces single characters: code point -> text of at most 63 bytes."""
    buffer = tf.constant(build_normalizer(replacements))
    return text.FastBertNormalizer(model_buffer=buffer)


class Periods(tf.Module):
    """The last rules: which periods are words of their own.

    A period that a word ends in becomes a word, unless the rest of the word has another one and a
    letter, is one of the language's prefixes, or the next word begins in lower case.
    """

    def __init__(self, prefixes: Prefixes, korean: bool = False):
        """Args:
        prefixes: of the language.
        korean: whether Hangul counts as letters.
        """
        super().__init__(name="periods")
        letters = code_points("alphabetic") | (code_points("hangul") if korean else set())
        self._inner_period = r"(?s).*\..*"
        self._letter = f"(?s).*[{re2_class(letters)}].*"
        self._always = _any_of(prefixes.always)
        self._before_digits = _any_of(prefixes.before_digits)
        self._lower = f"(?s)[{re2('lower')}].*"

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """string [n], words between spaces -> string [n], words between single spaces."""
        words = tf.strings.split(texts)
        words = words.with_values(self._detach(words))
        texts = tf.strings.reduce_join(words, axis=1, separator=" ")
        texts = tf.strings.regex_replace(texts, r"\.' ?$", " . ' ")
        return tf.cond(
            tf.reduce_any(tf.strings.regex_full_match(texts, "(?s).*DOTMULTI.*")),
            lambda: _restore_dots(texts),
            lambda: texts,
        )

    def _detach(self, words: tf.RaggedTensor) -> tf.Tensor:
        """string [n, (words)] -> string [words in all], some with a space inside."""
        match = tf.strings.regex_full_match
        flat, splits = words.values, words.row_splits
        # Periods in a row are words of their own by now.
        found = tf.where(match(flat, r"(?s).*[^.]\."))[:, 0]  # int64 [f]
        with_period = tf.gather(flat, found)
        prefix = tf.strings.regex_replace(with_period, r"\.$", "")
        # The next word of the same text, or "".
        boundary = tf.gather(splits, tf.searchsorted(splits, found + 1))
        following = tf.gather(tf.concat([flat, [""]], axis=0), found + 1)
        following = tf.where(tf.equal(boundary, found + 1), "", following)
        keep = match(prefix, self._inner_period) & match(prefix, self._letter)
        keep |= match(prefix, self._always)
        keep |= match(following, self._lower)
        keep |= match(prefix, self._before_digits) & match(following, "(?s)[0-9].*")
        changed = tf.where(keep, with_period, tf.strings.join([prefix, " ."]))
        return tf.tensor_scatter_nd_update(flat, found[:, tf.newaxis], changed)


def lower_case_sigma(texts: tf.Tensor) -> tf.Tensor:
    """Lower-cases each capital sigma that a word ends in, as Python's `str.lower` does.

    All other letters have one lower case, wherever they stand.
    """
    cased, ignorable = re2("cased"), re2("case_ignorable")
    pattern = f"([{cased}][{ignorable}]*)Σ([{ignorable}]*(?:$|[^{cased}{ignorable}]))"
    return tf.cond(
        tf.reduce_any(tf.strings.regex_full_match(texts, "(?s).*Σ.*")),
        lambda: tf.strings.regex_replace(texts, pattern, r"\1ς\2"),
        lambda: texts,
    )


def _restore_dots(texts: tf.Tensor) -> tf.Tensor:
    """Literal DOTMULTI, DOTDOTMULTI, ... in text: as many periods.

    That is what sacremoses writes for several periods in a row until the end, when all become
    periods, those of the text too.
    """
    parts = tf.strings.split(
        tf.strings.regex_replace(texts, "((?:DOT)+)MULTI", _CUT + rb"\1" + _CUT), _CUT
    )
    flat, splits = parts.values, parts.row_splits
    # Every other part of a text is a match.
    place = tf.range(tf.size(flat, splits.dtype)) - tf.gather(splits, parts.value_rowids())
    periods = tf.strings.regex_replace(flat, "DOT", ".")
    flat = tf.where(place % 2 > 0, periods, flat)
    return tf.strings.reduce_join(parts.with_values(flat), axis=1)


def _any_of(words: Iterable[str]) -> str:
    """What matches one of the words; nothing if there are none."""
    return "|".join(map(re.escape, words)) or "[^\\x{0}-\\x{10ffff}]"


def _joined(steps: Iterable[Step]) -> list[Step]:
    joined: list[Step] = []
    for step in steps:
        last = joined[-1] if joined else None
        if isinstance(step, Characters) and isinstance(last, Characters):
            joined[-1] = _composed(last.replacements, step.replacements)
        else:
            joined.append(step)
    return joined


def _composed(first: Mapping[int, str], second: Mapping[int, str]) -> Characters:
    composed = {
        code_point: "".join(second.get(ord(c), c) for c in replacement)
        for code_point, replacement in first.items()
    }
    return Characters({**second, **composed})
