"""Models and character maps that are written here are what the library takes them for."""

import io

import pytest

from hubexport.tokenizers.tables import sentencepiece_proto as proto
from tests.material import material

sentencepiece = pytest.importorskip("sentencepiece")


def processor(pieces, **options):
    options = {"model_type": proto.UNIGRAM, "unk_id": 0, **options}
    model = proto.build_sentencepiece_model(pieces, **options)
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def pieces(*scored, unknown="<unk>"):
    return [proto.Piece(unknown, 0.0, proto.UNKNOWN), *(proto.Piece(*entry) for entry in scored)]


def test_pieces_scores_and_types():
    loaded = processor(
        pieces(("a", -1.5), ("<c>", 0.0, proto.CONTROL), ("u", -2.0, proto.USER_DEFINED))
    )
    assert [loaded.id_to_piece(i) for i in range(len(loaded))] == ["<unk>", "a", "<c>", "u"]
    assert loaded.get_score(1) == -1.5
    assert loaded.is_control(2)
    assert (loaded.unk_id(), loaded.bos_id(), loaded.eos_id(), loaded.pad_id()) == (0, -1, -1, -1)
    assert loaded.encode("a<c>u", out_type=str) == ["a", "<c>", "u"]
    assert loaded.encode("a<c>u") == [1, 0, 3]


def test_unigram_takes_the_best_sum_and_bpe_the_best_merge():
    scored = [("a", -1.0), ("b", -1.0), ("c", -1.0), ("ab", -3.0), ("bc", -1.5), ("abc", -2.75)]
    assert processor(pieces(*scored)).encode("abc", out_type=str) == ["a", "bc"]
    bpe = processor(pieces(*scored), model_type=proto.BPE)
    assert bpe.encode("abc", out_type=str) == ["abc"]


def test_text_is_taken_as_it_is_unless_told():
    scored = pieces((" ", -1.0), ("\u2581", -1.0), ("a", -1.0))
    assert processor(scored).encode("  a ", out_type=str) == [" ", " ", "a", " "]
    usual = {
        "add_dummy_prefix": True,
        "remove_extra_whitespaces": True,
        "escape_whitespaces": True,
    }
    found = processor(scored, **usual).encode("  a  a ", out_type=str)
    assert found == ["\u2581", "a", "\u2581", "a"]


def test_character_map():
    charsmap = proto.build_charsmap({b"A": b"a", b"AA": b"b", "é".encode(): b"", b"\xff": b"ab"})
    loaded = processor(pieces(("a", -1.0), ("b", -1.0), ("c", -1.0)), charsmap=charsmap)
    assert loaded.encode("AAAcé", out_type=str) == ["b", "a", "c"]
    assert loaded.encode(b"c\xffc", out_type=str) == ["c", "a", "b", "c"]


def test_what_the_library_wrote_survives():
    """Fields that are not read here are kept."""
    data = material("sentencepiece/t5/t5_tokenizer_base.model").read_bytes()
    written = proto.ModelProto.FromString(data).SerializeToString()
    assert len(written) == len(data)
    loaded = [sentencepiece.SentencePieceProcessor(model_proto=model) for model in (data, written)]
    text = "Fields that are not read here are kept, \u2168 fi."
    assert loaded[0].encode(text) == loaded[1].encode(text)


def test_absent_fields_are_told_from_zeros():
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"] * 9),
        model_writer=buffer,
        vocab_size=8,
        add_dummy_prefix=False,
        minloglevel=9,
    )
    model = proto.ModelProto.FromString(buffer.getvalue())
    assert model.normalizer_spec.HasField("add_dummy_prefix")
    assert not model.normalizer_spec.add_dummy_prefix
    assert [p.type for p in model.pieces if p.HasField("type")] == [2, 3, 3]
