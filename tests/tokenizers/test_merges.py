"""Merges and vocabularies of BPE: reading them, and the conditions on them."""

import itertools
import random

import pytest

from hubexport.errors import VocabularyError
from hubexport.tokenizers.bpe.merges import (
    apply_merges,
    check_merges,
    merges_of,
    read_merges,
    symbols_with_end,
)
from hubexport.tokenizers.bpe.vocabulary import pieces_by_id, read_vocabulary, vocabulary_of
from tests.material import material

MERGES = (("Ġ", "t"), ("h", "e"), ("Ġt", "he"))


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "#version: 0.2\nĠ t\nh e\nĠt he\n",
        "Ġ t\nh e\nĠt he",
        "Ġ t\nh e\nĠt he\n",
        "#version: 0.2\r\nĠ t\r\nh e\r\nĠt he\r\n",
    ],
)
def test_merges_are_read_with_and_without_header_and_last_line_end(tmp_path, content):
    assert read_merges(write(tmp_path / "merges.txt", content)) == MERGES


def test_only_line_feeds_end_lines_and_only_spaces_separate(tmp_path):
    content = "\u00a0 \u0085\n\u2028 a\n# #\n"
    merges = read_merges(write(tmp_path / "merges.txt", content))
    assert merges == (("\u00a0", "\u0085"), ("\u2028", "a"), ("#", "#"))


def test_counts_of_fastbpe_are_not_merges(tmp_path):
    path = write(tmp_path / "codes", "e n</w> 1234\nt h 99\n")
    with pytest.raises(VocabularyError, match=r"not two pieces: 1 \('e n</w> 1234'\), 2"):
        read_merges(path)


def test_all_wrong_lines_are_listed_by_number(tmp_path):
    path = write(tmp_path / "merges.txt", "#version: 0.2\na b\nabc\n\na  b\na b c\nb c\n")
    with pytest.raises(VocabularyError, match=r"3 \('abc'\), 4 \(''\), 5 .*, 6 \('a b c'\)"):
        read_merges(path)


@pytest.mark.parametrize("content", [b"a \xff\n", None])
def test_merges_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "merges.txt"
    if content is not None:
        write(path, content)
    with pytest.raises(VocabularyError, match="the merges cannot be read"):
        read_merges(path)


def test_merges_of_both_json_forms():
    assert merges_of(["Ġ t", "h e", ["Ġt", "he"]], "here") == MERGES


@pytest.mark.parametrize(
    "content", [None, "a b", [1], ["ab"], ["a b c"], [["a"]], [["a", 1]], [["a", "\ud800"]], [""]]
)
def test_other_json_is_refused(content):
    with pytest.raises(VocabularyError):
        merges_of(content, "here")


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", "3", '{"a": "0"}', '{"a": -1}'])
def test_vocabularies_that_are_not_pieces_and_ids(tmp_path, content):
    with pytest.raises(VocabularyError):
        read_vocabulary(write(tmp_path / "vocab.json", content))


@pytest.mark.parametrize("content", [{"a": True}, {"a": 1.0}, {"": 0}, {"\ud800": 0}])
def test_entries_that_are_not_a_piece_and_an_id(content):
    with pytest.raises(VocabularyError, match="not a piece and its id"):
        vocabulary_of(content, "here")


def test_deeply_nested_json_is_an_error_of_ours(tmp_path):
    with pytest.raises(VocabularyError):
        read_vocabulary(write(tmp_path / "vocab.json", "[" * 100_000))


def test_pieces_stand_in_the_order_of_their_ids():
    assert pieces_by_id({"b": 1, "a": 0, "c": 2}, "here") == ("a", "b", "c")


def test_gaps_and_shared_ids_are_listed():
    with pytest.raises(VocabularyError) as error:
        pieces_by_id({"a": 0, "b": 0, "c": 3}, "here")
    assert "0 is of 'a' and 'b'" in str(error.value)
    assert "ids without a piece: 2: 1, 2" in str(error.value)


def test_an_enormous_id_is_not_counted_up_to():
    with pytest.raises(VocabularyError, match="999,999,999,999"):
        pieces_by_id({"a": 0, "b": 10**12}, "here")


def test_added_tokens_fill_gaps_but_do_not_replace_pieces():
    added = {"<s>": 1, "<x>": 0, "<beyond>": 7}
    assert pieces_by_id({"a": 0, "b": 2}, "here", added) == ("a", "<s>", "b")


def test_good_merges_pass():
    check_merges(MERGES, list, "here", ["Ġ", "t", "h", "e", "Ġt", "he", "Ġthe"])
    check_merges([("l", "o"), ("lo", "w</w>")], symbols_with_end, "here")
    check_merges([], list, "here", [])


@pytest.mark.parametrize(
    ("merges", "symbols", "found"),
    [
        # Two merges make "abc".
        (
            [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")],
            list,
            "made by several merges (1): 'abc' (2 times)",
        ),
        ([("a", "b"), ("a", "b")], list, "made by several merges (1): 'ab' (2 times)"),
        # "ab" is used before it is made, "cd" never is.
        (
            [("ab", "c"), ("a", "b"), ("a", "cd")],
            list,
            "of parts that no earlier merge makes (2): 'ab' + 'c', 'a' + 'cd'",
        ),
        # "b" goes with "c" first, so that "ab" and "c" never meet.
        (
            [("b", "c"), ("a", "b"), ("ab", "c")],
            list,
            "encoded as other pieces (1): 'abc' as a bc",
        ),
        ([("x<", "/w>")], symbols_with_end, "with an end of word inside (1): 'x<' + '/w>'"),
        ([("x", "</w>")], symbols_with_end, "with an end of word inside (1): 'x' + '</w>'"),
        ([("x</w>", "y")], symbols_with_end, "with an end of word inside (1): 'x</w>' + 'y'"),
        ([("a", "b" * 2001)], list, "longer than 2,000 symbols (1)"),
    ],
)
def test_each_condition_is_verified(merges, symbols, found):
    with pytest.raises(VocabularyError) as error:
        check_merges(merges, symbols, "here")
    assert found in str(error.value)


def test_all_violations_are_in_one_error():
    merges = [("ab", "c"), ("a", "b"), ("a", "b")]
    with pytest.raises(VocabularyError) as error:
        check_merges(merges, list, "here", ["a", "b"])
    text = str(error.value)
    assert "several merges (1)" in text and "no earlier merge makes (1)" in text
    assert "not in the vocabulary (3): 'ab', 'c', 'abc'" in text


def test_symbols_with_end():
    assert symbols_with_end("low</w>") == ["l", "o", "w</w>"]
    assert symbols_with_end("low") == ["l", "o", "w"]
    assert symbols_with_end("w</w>") == ["w</w>"]
    assert symbols_with_end("</w>") == ["<", "/", "w", ">"]


def test_apply_merges_is_what_tokenizers_does():
    tokenizers = pytest.importorskip("tokenizers")
    choose = random.Random(3)
    for _ in range(60):
        merges, made = [], list("abc")
        for _ in range(12):
            left, right = choose.choice(made), choose.choice(made)
            merges.append((left, right))
            made.append(left + right)
        merges = list(dict.fromkeys(merges))
        vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(made))}
        model = tokenizers.models.BPE(vocabulary, merges)
        ranks = {merge: rank for rank, merge in enumerate(merges)}
        for _ in range(50):
            word = "".join(choose.choices("abc", k=choose.randrange(1, 20)))
            expected = [token.value for token in model.tokenize(word)]
            assert apply_merges(word, ranks) == expected


def test_what_passes_is_what_pieces_with_scores_do():
    """All words of up to 7 letters, for random merges: those that pass, and some that do not."""
    tf = pytest.importorskip("tensorflow")
    text = pytest.importorskip("tensorflow_text")
    from hubexport.tokenizers.tables import sentencepiece_proto as proto

    words = ["".join(w) for n in range(1, 8) for w in itertools.product("abc", repeat=n)]
    choose = random.Random(5)
    passed = differed = 0
    for _ in range(60):
        made, merges = list("abc"), []
        for _ in range(8):
            left, right = choose.choice(made), choose.choice(made)
            if left + right not in made:
                merges.append((left, right))
                made.append(left + right)
        pieces = [proto.Piece("?", 0, proto.UNKNOWN)]
        pieces += [proto.Piece(letter, -1e9) for letter in "abc"]
        pieces += [proto.Piece(a + b, -rank) for rank, (a, b) in enumerate(merges)]
        model = proto.build_sentencepiece_model(pieces, model_type=proto.BPE, unk_id=0)
        spelled = text.SentencepieceTokenizer(model, out_type=tf.string).tokenize(words)
        ranks = {merge: rank for rank, merge in enumerate(merges)}
        expected = [apply_merges(word, ranks) for word in words]
        same = [[p.decode() for p in row] for row in spelled.to_list()] == expected
        try:
            check_merges(merges, list, "here")
        except VocabularyError:
            differed += not same
            continue
        passed += 1
        assert same, merges
    assert passed >= 10
    assert differed >= 5, "the conditions would be needless"


@pytest.mark.parametrize(
    ("merges", "vocabulary", "symbols"),
    [
        ("bytebpe/gpt2/vocab.bpe", "bytebpe/gpt2/encoder.json", list),
        ("bytebpe/roberta/merges.txt", "bytebpe/roberta/vocab.json", list),
        ("gpt1/openai-gpt-merges.txt", "gpt1/openai-gpt-vocab.json", symbols_with_end),
    ],
)
def test_published_merges_pass(merges, vocabulary, symbols):
    pieces = pieces_by_id(read_vocabulary(material(vocabulary)), vocabulary)
    read = read_merges(material(merges))
    assert len(read) in (50_000, 40_000)
    check_merges(read, symbols, merges, pieces)
