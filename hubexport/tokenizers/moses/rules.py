"""The rules of Moses tokenizers, as data: what is replaced by what, in which order.

Moses' Perl scripts (github.com/moses-smt/mosesdecoder, scripts/tokenizer) were ported to Python by
sacremoses, which is what XLM and Transformer-XL use through Hugging Face's transformers. These are
the rules as the Python does them, in the syntax of RE2, with its character classes spelled out.
The one rule that looks at words, that of periods, is in `hubexport.tokenizers.moses.graph`.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

from hubexport.errors import ConfigurationError
from hubexport.tokenizers.tables.moses_characters import languages, re2

NO_GRAPH = {
    "zh": "its words come from jieba",
    "ja": "its words come from KyTea",
    "th": "its words come from PyThaiNLP",
}
"""Languages that XLM does not tokenize by Moses' rules."""

# Those of XLM's models without a list of non-breaking prefixes, which have rules all the same.
# Source: github.com/facebookresearch/XLM, README.md, "The 17 and 100 languages".
_OTHERS = """
    af als am an ang ar arz ast az bar be bg br bs ceb ckb cy da eo eu fa fy gan gl gv he hr hy
    ia id jv ka kk ko ku la lb mk mn ms my nds ne nn no oc sco scn sh si simple sq sr sw ta tl tr
    tt uk ur uz vi war wuu yi zh_classical zh_min_nan zh_yue
"""


@dataclasses.dataclass(frozen=True)
class Replace:
    r"""Replaces all matches, from left to right.

    Attributes:
      pattern: RE2.
      rewrite: what a match becomes; \0 is all of it, \1 and \2 its groups.
    """

    pattern: str
    rewrite: str


@dataclasses.dataclass(frozen=True)
class Characters:
    """Replaces single characters: code point -> text."""

    replacements: Mapping[int, str]


Step: TypeAlias = Replace | Characters


def supported_languages() -> frozenset[str]:
    """The languages that have rules here."""
    return (languages() | frozenset(_OTHERS.split())) - NO_GRAPH.keys()


def check_language(language: str) -> None:
    """Raises ConfigurationError for a language that cannot be followed, with the reason."""
    if language in NO_GRAPH:
        raise ConfigurationError(
            f"text in this language ({language}) cannot be tokenized in a graph",
            [("language", f"{language}: {NO_GRAPH[language]}, a program with a model of its own")],
            "tokenize the text before, with spaces between the words, and pass the language "
            "`none`, which splits at spaces only.",
        )
    if language not in supported_languages():
        raise ConfigurationError(
            "the language is not known",
            [("language", repr(language)), ("known", " ".join(sorted(supported_languages())))],
            "pass one of these, or `none` for text that has spaces between its words already.",
        )


def unicode_punctuation() -> tuple[Step, ...]:
    """Full-width and CJK punctuation to ASCII: replace-unicode-punctuation.perl, as XLM has it."""
    others = _letters("，、∶：？）！（；～’━〈〉【】％", ",,::?)!(;~'-<>[]%")
    digits = {0xFF10 + digit: str(digit) for digit in range(10)}
    quotes = dict.fromkeys(map(ord, "”“《》「」"), '"')
    return (
        Replace(rf"[。．][{re2('white_space')}]*", ". "),
        Characters({**others, **digits, **quotes, ord("…"): "..."}),
    )


def normalize_punctuation(language: str) -> tuple[Step, ...]:
    """normalize-punctuation.perl, as sacremoses' `MosesPunctNormalizer` has it by default."""
    digit, white_space = re2("digit"), re2("white_space")
    quotes = dict.fromkeys(map(ord, "„“”"), '"')
    apostrophes = dict.fromkeys(map(ord, "´‘‚’"), "'")
    nbsp = r"\x{a0}"
    steps: list[Step] = [
        Characters({ord("\r"): "", ord("("): " (", ord(")"): ") "}),
        Replace(" +", " "),
        Replace(r"\) ([.!:?;,])", r")\1"),
        Replace(r"\( ", "("),
        Replace(r" \)", ")"),
        Replace(f"([{digit}]) %", r"\1%"),
        Replace(" ([:;])", r"\1"),
        # Any two of these are a double quote; a single ` becomes an apostrophe.
        Replace("[`']{2}", ' " '),
        Characters(
            {ord("`"): "'", **quotes, **apostrophes}
            | {ord("–"): "-", ord("—"): " - ", ord("…"): "..."}
        ),
        Replace(" +", " "),
        Replace("''", '"'),
        Replace(f"{nbsp}«{nbsp}", '"'),
        Replace(f"«{nbsp}", '"'),
        Replace("«", '"'),
        Replace(f"{nbsp}»{nbsp}", '"'),
        Replace(f"{nbsp}»", '"'),
        Replace("»", '"'),
        Replace(f"{nbsp}%", "%"),
        Replace(f"nº{nbsp}", "nº "),
        Replace(f"{nbsp}:", ":"),
        Replace(f"{nbsp}(ºC|cm)", r" \1"),
        Replace(rf"{nbsp}\?", "?"),
        Replace(f"{nbsp}!", "!"),
        Replace(f"{nbsp};", ";"),
        Replace(f",{nbsp}", ", "),
        Replace(" +", " "),
    ]
    if language == "en":
        steps.append(Replace('"([,.]+)', r'\1"'))
    elif language in ("de", "es", "fr"):
        steps.append(Replace(',"', '",'))
        steps.append(Replace(rf'(\.+)"([{white_space}]*[^<])', r'"\1\2'))
    separator = "," if language in ("de", "es", "cz", "cs", "fr") else "."
    steps.append(Replace(f"([{digit}]){nbsp}([{digit}])", rf"\1{separator}\2"))
    return (*steps, *strip())


def remove_control_characters() -> tuple[Step, ...]:
    """remove-non-printing-char.perl: all general categories C*, unassigned ones included."""
    return (Replace(f"[{re2('other')}]+", ""),)


def romanian() -> tuple[Step, ...]:
    """Letters without diacritics: WMT16's normalise-romanian.py and remove-diacritics.py."""
    return (Characters(_letters("ŞȘşșŢȚţțĂăÂâÎî", "SSssTTttAaAaIi")),)


def strip() -> tuple[Step, ...]:
    """Python's `str.strip`."""
    white_space = re2("white_space")
    return (Replace(f"^[{white_space}]+|[{white_space}]+$", ""),)


def clean() -> tuple[Step, ...]:
    """What the tokenizer begins with: single spaces, and no ASCII control characters."""
    return (
        Replace(f"[{re2('white_space')}]+", " "),
        Replace(r"[\x00-\x1f]", ""),
    )


def separate(language: str, dash_splits: bool = False, marks: str = "") -> tuple[Step, ...]:
    """Spaces round what is a word of its own, of clean text; all but the rule of periods.

    Args:
      language: supported.
      dash_splits: whether dashes between letters or digits become ` @-@ `.
      marks: for an RE2 class, what counts as letters besides.
    """
    alphanumeric = re2("alphanumeric", *(("hangul",) if language == "ko" else ())) + marks
    number = re2("number")
    white_space = re2("white_space")
    dash = Replace(f"([{alphanumeric}])-([{alphanumeric}])", r"\1 @-@ \2")
    return (
        *strip(),
        Replace(rf"([^{alphanumeric}{white_space}.'`,\-])", r" \1 "),
        # A match takes the letter behind the dash, which may be in front of the next one.
        *((dash, dash) if dash_splits else ()),
        Replace(r"\.{2,}", r" \0 "),
        Replace(f"([^{number}]),", r"\1 , "),
        Replace(f",([^{number}])", r" , \1"),
        Replace(f"([{number}]),$", r"\1 , "),
        *_apostrophes(language),
    )


def split_numbers() -> tuple[Step, ...]:
    """Transformer-XL: `23,000` and `1.5` to `23 @,@ 000` and `1 @.@ 5`."""
    digit = re2("digit")
    step = Replace(f"([{digit}])([,.])([{digit}])", r"\1 @\2@ \3")
    return (step, step)


def _apostrophes(language: str) -> tuple[Step, ...]:
    letter, number = re2("alphabetic"), re2("number")
    if language == "en":
        return (
            Replace(f"([^{letter}])'([^{letter}])", r"\1 ' \2"),
            Replace(f"([^{letter}{number}])'([{letter}])", r"\1 ' \2"),
            Replace(f"([{letter}])'([^{letter}])", r"\1 ' \2"),
            Replace(f"([{letter}])'([{letter}])", r"\1 '\2"),
            Replace(f"([{number}])'(s)", r"\1 '\2"),
        )
    if language in ("fr", "it"):
        return (
            Replace(f"([^{letter}])'([^{letter}])", r"\1 ' \2"),
            Replace(f"([^{letter}])'([{letter}])", r"\1 ' \2"),
            Replace(f"([{letter}])'([^{letter}])", r"\1 ' \2"),
            Replace(f"([{letter}])'([{letter}])", r"\1' \2"),
        )
    return (Replace("'", " ' "),)


def _letters(characters: str, replacements: str) -> dict[int, str]:
    return {ord(c): r for c, r in zip(characters, replacements, strict=True)}
