"""Texts to tokenize: of people, of every code point, and made up to be difficult."""

import functools
import io
import json
import random
import sys
import unicodedata
import zipfile

from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from tests.material import material

DIFFICULT = list(DIFFICULT_TEXTS)

_BLOCKS = [
    (0x20, 0x7F),
    (0x0, 0x250),
    (0x250, 0x600),
    (0x600, 0xE00),
    (0xE00, 0x1200),
    (0x1200, 0x2000),
    (0x2000, 0x2C00),
    (0x2C00, 0x3400),
    (0x3400, 0xA000),
    (0xA000, 0xD800),
    (0xF900, 0x10000),
    (0x10000, 0x11000),
    (0x1D000, 0x1D800),
    (0x1F000, 0x1FB00),
    (0xE0000, 0xE01F0),
]


def varied_code_points(assigned_only=True):
    """Code points between letters, before a digit and alone; about 54,000 assigned ones.

    Every one, but of unified ideographs and Hangul syllables, of which nothing but their number
    sets one apart, two of sixteen: those with which ranges begin and end.
    """
    return list(_varied_code_points(assigned_only))


@functools.cache
def _varied_code_points(assigned_only):
    return tuple(
        f"xa{c}b 1{c}2 {c}"
        for c in map(chr, range(sys.maxunicode + 1))
        if not 0xD800 <= ord(c) < 0xE000
        and not (assigned_only and unassigned(c))
        and (ord(c) % 16 in (0, 15) or not _one_of_many(c))
    )


def _one_of_many(character):
    return unicodedata.name(character, "").startswith(("CJK UNIFIED", "HANGUL SYLLABLE"))


def unassigned(character):
    return unicodedata.category(character) in ("Cn", "Co")


def generated(count, seed=0, words=()):
    """Random strings: letters of one block among spaces, punctuation, contractions and `words`."""
    choose = random.Random(seed)
    common = [" ", " ", "  ", "a", "B", "the", "'s", "'ll", "1", "23", ".", ",", "\n", "\t", "-"]
    common += ["é", "e\u0301", "中", "\u00a0", "!", '"', "``", *words, *words]
    texts = []
    for _ in range(count):
        first, last = choose.choice(_BLOCKS)
        plain = choose.random()
        texts.append(
            "".join(
                choose.choice(common)
                if choose.random() < plain
                else chr(choose.randrange(first, last))
                for _ in range(choose.randrange(1, 24))
            )
        )
    return texts


def real_texts(limit=None):
    """Name -> lines of the texts in the material; skips the test where it is absent."""
    return {name: lines[:limit] for name, lines in _real_texts().items()}


@functools.cache
def _real_texts():
    texts = {
        "botchan": _lines("text/en/botchan.txt"),
        "bert_sample": _lines("text/en/bert_sample_text.txt"),
        "blns": _lines("text/blns/blns.txt"),
    }
    novel = material("text/ja/wagahaiwa_nekodearu.txt").read_text("utf-8")
    texts["ja"] = [s + "。" for s in novel.split("。")]
    for language in ("ar", "en", "hi", "ru", "zh"):
        data = json.loads(material(f"text/xquad/xquad.{language}.json").read_text("utf-8"))
        paragraphs = [p for article in data["data"] for p in article["paragraphs"]]
        texts[f"xquad.{language}"] = [p["context"] for p in paragraphs]
        texts[f"xquad.{language}"] += [qa["question"] for p in paragraphs for qa in p["qas"]]
    archive = zipfile.ZipFile(io.BytesIO(material("text/udhr/udhr-txt.zip").read_bytes()))
    texts["udhr"] = [
        line
        for name in sorted(archive.namelist())
        if name.endswith(".txt")
        for line in archive.read(name).decode("utf-8").split("\n")
    ]
    return {name: [line for line in lines if line] for name, lines in texts.items()}


def _lines(name):
    return material(name).read_text("utf-8").split("\n")


def differences(tokenize, reference, texts, batch=2048):
    """(text, ids, expected ids) of the texts with other ids.

    Args:
      tokenize: string tensor -> RaggedTensor [batch, (pieces)] or [batch, (words), (pieces)].
      reference: list of texts -> list of lists of ids.
    """
    import tensorflow as tf

    found = []
    for begin in range(0, len(texts), batch):
        part = texts[begin : begin + batch]
        ids = tokenize(tf.constant([text.encode() for text in part], tf.string))
        if ids.ragged_rank > 1:
            ids = ids.merge_dims(1, 2)
        splits, values = ids.row_splits.numpy().tolist(), ids.values.numpy().tolist()
        for number, (text, expected) in enumerate(zip(part, reference(part), strict=True)):
            got = values[splits[number] : splits[number + 1]]
            if got != expected:
                found.append((text, got, expected))
    return found
