"""FastBertNormalizer with a table of ours applies any map of code points."""

import random

import pytest
import tensorflow as tf
import tensorflow_text as text

from hubexport.tokenizers.tables.normalizer import MAXIMUM_BYTES, build_normalizer


def normalize(replacements, texts):
    model = tf.constant(build_normalizer(replacements))
    normalizer = text.FastBertNormalizer(model_buffer=model)
    found = normalizer.normalize(tf.constant([t.encode() for t in texts]))
    return [t.decode() for t in found.numpy()]


def test_any_map():
    choose = random.Random(0)
    code_points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    replacements = {
        c: "".join(map(chr, choose.sample(code_points, choose.randrange(4))))
        for c in [0, 0x20, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF]
        + choose.sample(code_points, 2_000)
    }
    texts = ["a".join(map(chr, choose.sample(code_points, 30))) for _ in range(500)]
    texts += ["x".join(map(chr, choose.sample(sorted(replacements), 20))) for _ in range(300)]
    assert normalize(replacements, texts) == [t.translate(replacements) for t in texts]


@pytest.mark.parametrize("replacement", ["", "b", "\0", "é" * 31 + "x"])
def test_zero_bytes_and_the_longest_replacement(replacement):
    texts = ["a\0b", "\0", "", "A"]
    replacements = {0: replacement, ord("A"): replacement}
    assert normalize(replacements, texts) == [t.translate(replacements) for t in texts]


def test_no_replacements():
    assert normalize({}, ["", "aé\0中"]) == ["", "aé\0中"]


def test_too_long():
    with pytest.raises(ValueError, match=r"U\+0041 cannot be replaced by 64 bytes"):
        build_normalizer({0x41: "x" * (MAXIMUM_BYTES + 1)})
