"""Character maps: what is written is read, and what is damaged is found."""

import struct

import numpy as np
import pytest

from hubexport.tokenizers.tables.charsmap import read_charsmap
from hubexport.tokenizers.tables.double_array import build_double_array
from hubexport.tokenizers.tables.sentencepiece_proto import ModelProto, build_charsmap
from tests.material import material


def test_round_trip():
    replacements = {"a": "b", "ab": "", "é": "e", "日本": "x y", "\x7f": "\U0010ffff", "aé": "1"}
    charsmap = build_charsmap({k.encode(): v.encode() for k, v in replacements.items()})
    assert read_charsmap(charsmap) == replacements
    assert read_charsmap(b"") == {}


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_it_says_what_tokenizers_does(step):
    normalizers = pytest.importorskip("tokenizers").normalizers
    model = ModelProto.FromString(material("sentencepiece/xlnet/spiece.model").read_bytes())
    charsmap = model.normalizer_spec.precompiled_charsmap
    replacements = read_charsmap(charsmap)
    normalize = normalizers.Precompiled(charsmap).normalize_str
    characters = [chr(c) for c in range(0, 0x110000, step) if not 0xD800 <= c < 0xE000]
    wrong = [c for c in characters if normalize(c) != replacements.get(c, c)]
    assert not wrong


GOOD = build_charsmap({b"ab": b"c"})
SIZE = struct.unpack("<I", GOOD[:4])[0]


def endless():
    """A node that is its own child."""
    units = np.zeros(256, "<u4")
    units[0] = (0 ^ 97 ^ 97) << 10
    units[97] = 97 << 10 | 97
    units[0] = 0
    return struct.pack("<I", units.nbytes) + units.tobytes() + b"x\0"


@pytest.mark.parametrize(
    ("charsmap", "problem"),
    [
        (b"abc", "cut short"),
        (GOOD[:20], "cut short"),
        (struct.pack("<I", 7) + GOOD[4:], "cut short"),
        (struct.pack("<I", 0) + GOOD[4:], "cut short"),
        (GOOD[: 4 + SIZE] + b"c", "without an end"),
        (build_charsmap({b"\xff": b"c"}), "decode"),
        (endless(), "without an end|alike"),
        (build_charsmap({b"a" * n: b"b" for n in range(1, 40)}), "alike"),
    ],
)
def test_damaged(charsmap, problem):
    with pytest.raises(ValueError, match=problem):
        read_charsmap(charsmap)


def test_values_outside():
    units = build_double_array({b"ab": 10_000})
    charsmap = struct.pack("<I", units.nbytes) + units.astype("<u4").tobytes() + b"c\0"
    with pytest.raises(ValueError, match="without an end"):
        read_charsmap(charsmap)
