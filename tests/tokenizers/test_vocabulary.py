"""Reading WordPiece vocabularies and SentencePiece models, good and bad. No TensorFlow here."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from hubexport import errors
from hubexport.tokenizers.sentencepiece import model as sentencepiece_model
from hubexport.tokenizers.wordpiece import vocabulary
from tests.material import material

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(path: Path, lines: list[str], end: str = "\n", final: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + final).encode())
    return path


def proto(pieces: list[tuple[bytes, int]]) -> bytes:
    """A SentencePiece model, from (piece, type) pairs, as the wire format has it."""
    out = b""
    for piece, kind in pieces:
        entry = b"\x0a" + bytes([len(piece)]) + piece + b"\x18" + bytes([kind])
        out += b"\x0a" + bytes([len(entry)]) + entry
    return out


ALBERT = [(b"<pad>", 3), (b"<unk>", 2), (b"[CLS]", 4), (b"[SEP]", 4), (b"[MASK]", 4), (b"a", 1)]


def test_reads_pieces_in_order(tmp_path):
    path = write(tmp_path / "vocab.txt", ["a", *SPECIALS, "##b"])
    found = vocabulary.read_wordpiece(str(path))
    assert found.pieces == ("a", *SPECIALS, "##b")
    assert found.path == path
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_mask_may_be_missing(tmp_path):
    pieces = ["x", "[SEP]", "y", "[UNK]", "[PAD]", "z", "[CLS]"]
    found = vocabulary.read_wordpiece(write(tmp_path / "v", pieces))
    assert found.unknown_id == 3


@pytest.mark.parametrize("odd", ["\u2028", "##\u2028", "\u0085", "\x0b", "\x1c", "\u3000"])
def test_only_line_feed_separates(tmp_path, odd):
    found = vocabulary.read_wordpiece(write(tmp_path / "v", [*SPECIALS, odd, "next"]))
    assert found.pieces[5:] == (odd, "next")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
def test_line_ends(tmp_path, end, final):
    path = write(tmp_path / "v", [*SPECIALS, "a"], end, end if final else "")
    assert vocabulary.read_wordpiece(path).pieces == (*SPECIALS, "a")


def test_mixed_line_ends_are_named(tmp_path):
    path = write(tmp_path / "v", [*SPECIALS, "a\r", "b", "c\r"])
    with pytest.raises(errors.VocabularyError, match="CR LF while others end in LF: lines 6, 8"):
        vocabulary.read_wordpiece(path)


def test_all_problems_at_once_with_line_numbers(tmp_path):
    path = write(tmp_path / "v", ["[PAD]", "a", "", "[UNK]", "a", "b", "", "b", "a", "[SEP]"])
    with pytest.raises(errors.VocabularyError) as caught:
        vocabulary.read_wordpiece(path)
    message = str(caught.value)
    assert "empty: lines 3, 7" in message
    assert "duplicates (2): 'a' on lines 2, 5, 9, 'b' on lines 6, 8" in message
    assert "special pieces missing: [CLS]" in message
    assert str(path) in message and "hint:" in message


def test_not_utf8_names_the_lines(tmp_path):
    path = tmp_path / "v"
    path.write_bytes("\n".join(SPECIALS).encode() + b"\nok\n\xff\xfe\nok2\n\xc3\n")
    with pytest.raises(errors.VocabularyError, match="cannot be decoded: lines 7, 9"):
        vocabulary.read_wordpiece(path)


def test_byte_order_mark_is_explained(tmp_path):
    path = write(tmp_path / "v", ["\ufeff[PAD]", *SPECIALS[1:]])
    with pytest.raises(errors.VocabularyError, match="byte order mark"):
        vocabulary.read_wordpiece(path)


@pytest.mark.parametrize(
    "read", [vocabulary.read_wordpiece, sentencepiece_model.read_sentencepiece]
)
def test_unreadable_and_empty_files(tmp_path, read):
    (tmp_path / "empty").touch()
    for path in (tmp_path / "absent", tmp_path, tmp_path / "empty"):
        with pytest.raises(errors.VocabularyError) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_sentencepiece_model(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(proto(ALBERT))
    found = sentencepiece_model.read_sentencepiece(path)
    assert found.pieces == ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "a")
    assert (found.unknown_id, found.serialized) == (1, path.read_bytes())


def test_sentencepiece_problems_at_once(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(proto([(b"[CLS]", 4), (b"a", 1), (b"a", 1), (b"\xff", 1)]))
    with pytest.raises(errors.VocabularyError) as caught:
        sentencepiece_model.read_sentencepiece(path)
    message = str(caught.value)
    assert "not UTF-8: 3" in message
    assert "duplicates (1): 'a'" in message
    assert "UNKNOWN: 0, needed: 1" in message


def test_sentencepiece_damaged(tmp_path):
    for content in (proto(ALBERT)[:-3], b"[PAD]\n[UNK]\n", b"\x00" * 50, b"\x12\x02ab"):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(
            errors.VocabularyError, match="not a SentencePiece model, or is damaged"
        ):
            sentencepiece_model.read_sentencepiece(tmp_path / "m")


def test_real_vocabularies():
    chinese = vocabulary.read_wordpiece(material("wordpiece/chinese/vocab.txt"))
    assert len(chinese.pieces) == 21128
    assert (chinese.pieces[343], chinese.pieces[13502]) == ("\u2028", "##\u2028")
    albert = material("sentencepiece/keras_hub_tiny/albert_test_vocab.spm")
    assert len(sentencepiece_model.read_sentencepiece(albert).pieces) == 12


def test_nothing_imports_tensorflow():
    root = Path(errors.__file__).parents[1]
    code = (
        "import sys; import hubexport.tokenizers.casing, hubexport.exporting.preprocessor, "
        "hubexport.commands.preprocessor; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_sentencepiece_with_a_nul(tmp_path):
    """The library would end the process."""
    path = tmp_path / "m"
    path.write_bytes(proto([(b"<unk>", 2), (b"a\0b", 1), (b"c", 1)]))
    with pytest.raises(errors.VocabularyError, match="empty or have a NUL: 1"):
        sentencepiece_model.read_sentencepiece(path)
