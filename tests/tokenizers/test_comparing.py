"""Comparing with another implementation: counting, showing, reading a corpus."""

import pytest

from hubexport.errors import ConfigurationError, UsageError
from hubexport.tokenizers.comparing import compare, describe, load_reference, read_corpus


def lengths(texts):
    return [[len(text) for _ in text] for text in texts]


def test_equal():
    found = compare(lambda t: lengths([x.decode() for x in t]), lengths, ["a", "", "über"] * 700)
    assert (found.texts, found.differences, found.first) == (2100, 0, [])


def test_differences():
    """Each is counted, a few are kept, and shown from where they part."""
    texts = [f"{n} words" for n in range(20)]
    found = compare(
        lambda batch: [[1, 2, 3, 0, 5] for _ in batch],
        lambda batch: [[1, 2, 3, 4, 5] if "1" in t else [1, 2, 3, 0, 5] for t in batch],
        texts,
    )
    assert (found.texts, found.differences, len(found.first)) == (20, 11, 5)
    facts = describe(found, ["zero", "one", "two", "three", "four"])
    assert facts[:3] == [
        ("text", "'1 words'"),
        ("  artifact", "from token 1: 'two' 2, 'three' 3, 'zero' 0, 5"),
        ("  reference", "from token 1: 'two' 2, 'three' 3, 'four' 4, 5"),
    ]


def test_one_is_longer():
    found = compare(lambda batch: [[1, 2]], lambda batch: [[1, 2, 0]], ["x"])
    assert describe(found, ["zero"])[1][1] == "from token 0: 1, 2"
    assert describe(found, ["zero"])[2][1] == "from token 0: 1, 2, 'zero' 0"


def test_corpus(tmp_path):
    file = tmp_path / "corpus.txt"
    file.write_bytes("one\r\n\n two\u2028three \nlast".encode())
    assert list(read_corpus(file)) == ["one", " two\u2028three ", "last"]
    file.write_bytes(b"fine\n\xff\n")
    with pytest.raises(UsageError, match="corpus"):
        list(read_corpus(file))


def test_reference(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    rust = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[X]": 1, "?": 2}, "?"))
    rust.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    rust.add_special_tokens(["[X]"])
    rust.enable_truncation(1)
    rust.enable_padding(length=9)
    rust.save(str(tmp_path / "tokenizer.json"))
    reference, name = load_reference(tmp_path)
    assert reference(["a [X] a", ""]) == [[0, 1, 0], []]
    assert name == f"tokenizers {tokenizers.__version__}"
    literally, _ = load_reference(tmp_path, special_tokens_in_text=False)
    assert literally(["a[X]"]) == [[0, 2, 2, 2]]
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_reference(tmp_path)
