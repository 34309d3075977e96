"""Literal special tokens in text, around a tokenizer: against `tokenizers`, and by themselves."""

import functools
import random
import re

import pytest

from hubexport.tokenizers.definition import AddedToken

tf = pytest.importorskip("tensorflow")

from hubexport.tokenizers.graph import special_tokens  # noqa: E402
from hubexport.tokenizers.graph.ragged import without_words  # noqa: E402
from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText  # noqa: E402

# One is the beginning, the middle or the end of another; some are regular expressions.
LITERALS = (
    AddedToken("<s>", 300),
    AddedToken("</s>", 301),
    AddedToken("<mask>", 302, lstrip=True),
    AddedToken("<sep>", 303, rstrip=True),
    AddedToken("<both>", 304, lstrip=True, rstrip=True),
    AddedToken("<s><s>", 305),
    AddedToken("[a-z]+", 306),
    AddedToken("<|end|>", 307),
    AddedToken("end", 308),
    AddedToken("mask", 309),
    AddedToken("é\\b", 310),
)
SPACES = (" ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u2028", "\x1c", "\u200b", "\x85")
OTHERS = ("a", "b", "<", ">", "s", "|", "é", "中", "\U0001f600", "'s", ".", "m", "\0")


def byte_pieces(texts):
    """string [batch] -> int32 [batch, (bytes)]."""
    data = tf.strings.bytes_split(texts)
    values = tf.reshape(tf.io.decode_raw(data.values, tf.uint8), [-1])
    return data.with_values(tf.cast(values, tf.int32))


class Bytes(tf.Module):
    """A piece for each byte; with offsets."""

    def tokenize(self, texts):
        return byte_pieces(texts)

    def tokenize_with_offsets(self, texts):
        ids = byte_pieces(texts)
        rows = ids.value_rowids()
        starts = tf.range(ids.row_splits[-1]) - tf.gather(ids.row_splits, rows)
        return ids, ids.with_values(starts), ids.with_values(starts + 1)


class ByteWords(tf.Module):
    """The same as pieces of words: each space begins one."""

    def tokenize(self, texts):
        return self.tokenize_with_offsets(texts)[0]

    def tokenize_with_offsets(self, texts):
        words = tf.strings.split(tf.strings.regex_replace(texts, " ", b"\xff "), b"\xff")
        pieces = byte_pieces(words.values)
        return tuple(
            words.with_values(pieces.with_values(part.values))
            for part in Bytes().tokenize_with_offsets(texts)
        )


def fuzz(count, seed=0):
    choose = random.Random(seed)
    parts = [token.content for token in LITERALS] * 2 + list(SPACES) + list(OTHERS)
    return ["".join(choose.choices(parts, k=choose.randrange(0, 10))) for _ in range(count)]


@functools.cache
def reference():
    """`tokenizers` with a piece for each byte and the same literals."""
    tokenizers = pytest.importorskip("tokenizers")
    from hubexport.tokenizers.tables.byte_symbols import byte_symbols

    vocabulary = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    vocabulary |= {f"unused {number}": number for number in range(256, 300)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    tokenizer.add_special_tokens(
        [
            tokenizers.AddedToken(
                token.content, lstrip=token.lstrip, rstrip=token.rstrip, normalized=False
            )
            for token in LITERALS
        ]
    )
    return tokenizer


@pytest.mark.parametrize("tokenizer", [Bytes(), ByteWords()])
def test_literals_are_found_as_the_reference_finds_them(tokenizer):
    texts = fuzz(4_000)
    wrapped = SpecialTokensInText(tokenizer, LITERALS)
    ids, starts, limits = wrapped.tokenize_with_offsets(tf.constant(texts))
    if ids.ragged_rank > 1:
        ids, starts, limits = map(without_words, (ids, starts, limits))
    encodings = reference().encode_batch(texts)
    assert not [
        (text, got, encoding.ids)
        for text, got, encoding in zip(texts, ids.to_list(), encodings, strict=True)
        if got != encoding.ids
    ]
    # The reference's offsets are of characters: those of literals say where each one is.
    for text, *row, encoding in zip(
        texts, ids.to_list(), starts.to_list(), limits.to_list(), encodings, strict=True
    ):
        for number, start, limit, (first, last) in zip(*row, encoding.offsets, strict=True):
            if number >= 300:
                assert start == len(text[:first].encode()), text
                assert limit == len(text[:last].encode()), text
            else:
                assert text.encode()[start:limit] == bytes([number]), text


def test_tokenize_is_tokenize_with_offsets_without_offsets():
    texts = tf.constant(fuzz(100, seed=1))
    for tokenizer in (Bytes(), ByteWords()):
        wrapped = SpecialTokensInText(tokenizer, LITERALS)
        ids = wrapped.tokenize_with_offsets(texts)[0]
        assert wrapped.tokenize(texts).to_list() == ids.to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a<s>b", [97, 300, 98]),
        ("<s><s><s>", [305, 300]),  # the leftmost, and of those the longest
        ("<<mask>>", [60, 302, 62]),
        ("a  <mask>  b", [97, 302, 32, 32, 98]),
        ("a  <sep>  b", [97, 32, 32, 303, 98]),
        ("a \u00a0<both>\n b", [97, 304, 98]),
        ("<sep> <mask>", [303, 302]),
        ("<S>", [60, 83, 62]),
        ("xyz", [120, 121, 122]),  # "[a-z]+" is not an expression
        ("", []),
    ],
)
def test_what_is_found(text, expected):
    wrapped = SpecialTokensInText(Bytes(), LITERALS)
    assert wrapped.tokenize(tf.constant([text])).to_list() == [expected]
    # In one batch with a text without any literal.
    assert wrapped.tokenize(tf.constant(["b", text])).to_list() == [[98], expected]


def test_offsets_of_a_literal_cover_the_white_space_that_goes_with_it():
    wrapped = SpecialTokensInText(Bytes(), LITERALS)
    ids, starts, limits = wrapped.tokenize_with_offsets(tf.constant(["é \u00a0<mask> x", "y"]))
    assert ids.to_list()[0] == [0xC3, 0xA9, 302, 32, 120]
    assert starts.to_list() == [[0, 1, 2, 11, 12], [0]]
    assert limits.to_list() == [[1, 2, 11, 12, 13], [1]]


@pytest.mark.parametrize("literals", [(), LITERALS])
def test_bytes_that_are_not_utf8_are_replaced_as_python_does(literals):
    choose = random.Random(4)
    alphabet = [b"\x80", b"\xbf", b"\xc0", b"\xc3", b"\xa9", b"\xe2", b"\x82", b"\xac", b"\xed"]
    alphabet += [b"\xa0", b"\xf0", b"\x9f", b"\xf4", b"\x90", b"\xf5", b"\xff", b"\xfe", b"\xfd"]
    alphabet += [b"a", b"<s>", b" ", "é".encode(), "中".encode(), b"\0"]
    data = [b"".join(choose.choices(alphabet, k=choose.randrange(0, 9))) for _ in range(4_000)]
    wrapped = SpecialTokensInText(Bytes(), literals)
    ids = wrapped.tokenize(tf.constant(data)).to_list()
    for given, row in zip(data, ids, strict=True):
        text = given.decode("utf-8", "replace").encode()
        pattern = b"(?:<s>){1,2}" if literals else b"(?!)"
        expected = []
        for part in re.split(b"(" + pattern + b")", text):
            is_literal = literals and re.fullmatch(pattern, part)
            expected += [{3: 300, 6: 305}[len(part)]] if is_literal else list(part)
        assert row == expected, given


@pytest.mark.parametrize("literals", [(), LITERALS])
def test_empty_batches_and_empty_texts(literals):
    for tokenizer, rank in ((Bytes(), 1), (ByteWords(), 2)):
        wrapped = SpecialTokensInText(tokenizer, literals)
        function = tf.function(
            wrapped.tokenize_with_offsets, input_signature=[tf.TensorSpec([None], tf.string)]
        )
        for part in function(tf.constant([], tf.string)):
            assert part.to_list() == [] and part.ragged_rank == rank
        ids = function(tf.constant(["", "", "a"]))[0]
        assert (without_words(ids) if rank > 1 else ids).to_list() == [[], [], [97]]


def test_the_graph_has_no_assertions():
    wrapped = SpecialTokensInText(Bytes(), LITERALS)
    for method in (wrapped.tokenize, wrapped.tokenize_with_offsets):
        function = tf.function(method, input_signature=[tf.TensorSpec([None], tf.string)])
        graph = function.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(n for inner in graph.library.function for n in inner.node_def)]
        assert not {node.op for node in nodes if "Assert" in node.op}


@pytest.mark.parametrize(
    "literals",
    [
        ["[PAD]", "[UNK]", "[MASK]"],
        ["<s>", "</s>", "<mask>"],
        ["<s>", "<<x"],
        ["aab", "aba"],
        ["ab", "abc"],
        ["a"],
        ["<|endoftext|>"],
    ],
)
def test_the_quick_look_clears_no_text_with_a_literal(literals):
    """It may suspect others, but few where literals begin with marks of their own."""
    pattern = special_tokens._plain(literals)
    choose = random.Random(0)
    letters = [*sorted(set("".join(literals))), "z", "\u00e9"]
    texts = ["".join(choose.choices(letters, k=choose.randrange(9))) for _ in range(4_000)]
    texts += [a + b + c for a in letters for b in literals for c in letters]
    plain = tf.strings.regex_full_match(texts, pattern).numpy()
    assert not [
        text
        for text, is_plain in zip(texts, plain, strict=True)
        if is_plain and any(one in text for one in literals)
    ]
    if literals[0][0] in "[<" and literals[1:] != ["<<x"]:
        assert plain[:4_000].mean() > 0.8
    bad = [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"[\xed\xa0\x80"]
    assert not tf.strings.regex_full_match(bad, pattern).numpy().any()
