"""From tokenizer files to a definition: model types, special tokens, packing, what is refused."""

import json

import pytest

from hubexport.errors import ConfigurationError, HubexportError, UsageError, VocabularyError
from hubexport.tokenizers.defining import TokenizerOptions, define_tokenizer
from hubexport.tokenizers.definition import AddedToken, Segment, Token
from hubexport.tokenizers.tables.sentencepiece_proto import (
    CONTROL,
    UNIGRAM,
    UNKNOWN,
    Piece,
    build_charsmap,
    build_sentencepiece_model,
)

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
AS_TRAINED = {  # as SentencePiece's trainer sets them
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": True,
    "escape_whitespaces": True,
    "charsmap": build_charsmap({b"A": b"A"}),
}


def define(path, **options):
    return define_tokenizer(tokenizer=path, options=TokenizerOptions(**options))


@pytest.fixture
def bert(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS, *"abc", "The"]) + "\n")
    return tmp_path


def test_directory_of_a_vocabulary(bert):
    (bert / "tokenizer_config.json").write_text('{"do_lower_case": false, "cls_token": "[SEP]"}')
    defined = define(bert)
    assert (defined.model_type, defined.lower_case) == ("bert", False)
    definition = defined.definition
    assert definition.special_tokens_dict == {
        "vocab_size": 9,
        "padding_id": 0,
        "start_of_sequence_id": 3,  # as the file says
        "end_of_segment_id": 3,
        "mask_id": 4,
    }
    assert definition.packing.single == (Token(3), Segment(0), Token(3))
    assert {token.content for token in definition.added_tokens} == set(SPECIALS)
    assert [file.name for file in definition.files] == ["vocab.txt", "tokenizer_config.json"]


def test_a_vocabulary_without_mask(tmp_path):
    pieces = [piece for piece in SPECIALS if piece != "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join([*pieces, *"abc", "The"]) + "\n")
    defined = define(tmp_path, do_lower_case=False)
    assert defined.model_type == "bert"
    assert defined.definition.special_tokens_dict == {
        "vocab_size": 8,
        "padding_id": 0,
        "start_of_sequence_id": 2,
        "end_of_segment_id": 3,
    }
    assert defined.warnings == ("the vocabulary has no [MASK]: there is no mask_id",)


@pytest.mark.parametrize("piece", [piece for piece in SPECIALS if piece != "[MASK]"])
def test_all_other_special_pieces_are_needed(tmp_path, piece):
    (tmp_path / "vocab.txt").write_text("\n".join({*SPECIALS, "The"} - {piece}) + "\n")
    with pytest.raises(VocabularyError) as caught:
        define(tmp_path, do_lower_case=False)
    assert f"special pieces missing: {piece}" in str(caught.value)


def test_special_pieces_of_a_sentencepiece_model(tmp_path):
    """ALBERT's, of which one may and two must not be missing."""
    pieces = [Piece(p, 0, CONTROL) for p in ("<pad>", "[CLS]", "[SEP]")]
    model = [*pieces, Piece("<unk>", 0, UNKNOWN), Piece("a", -1.0)]
    path = tmp_path / "spiece.model"
    options = TokenizerOptions(model_type="albert", do_lower_case=True)
    path.write_bytes(build_sentencepiece_model(model, model_type=UNIGRAM, unk_id=3, **AS_TRAINED))
    found = define_tokenizer(sp_model_file=path, options=options).definition
    assert "mask_id" not in found.special_tokens
    path.write_bytes(
        build_sentencepiece_model(model[2:], model_type=UNIGRAM, unk_id=1, **AS_TRAINED)
    )
    with pytest.raises(UsageError, match=r"missing: <pad> \(padding_id\), \[CLS\]"):
        define_tokenizer(sp_model_file=path, options=options)


def test_special_tokens_as_text(bert):
    defined = define(bert, do_lower_case=True, special_tokens_in_text=False)
    assert defined.definition.added_tokens == ()
    assert len(defined.definition.pieces) == 9


def test_strip_accents_follows_the_files(bert):
    for stated, flag, expected in (
        (None, None, True),
        (False, None, False),
        (False, True, True),
        (None, False, False),
    ):
        (bert / "tokenizer_config.json").write_text(json.dumps({"strip_accents": stated}))
        defined = define(bert, do_lower_case=True, strip_accents=flag)
        assert defined.definition.settings["strip_accents"] is expected
        assert not [warning for warning in defined.warnings if "strip_accents" in warning]


def test_a_stated_type_that_cannot_be(bert):
    """A config.json of another kind of model does not make a vocab.txt something else."""
    (bert / "config.json").write_text('{"model_type": "roberta"}')
    assert define(bert, do_lower_case=True).model_type == "bert"
    with pytest.raises(UsageError, match="not of that type"):
        define(bert, do_lower_case=True, model_type="roberta")


def write_bpe(path, extra):
    """A byte-level vocabulary without merges."""
    from hubexport.tokenizers.tables.byte_symbols import byte_symbols

    pieces = [*extra, *byte_symbols()]
    (path / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}), "utf-8")
    (path / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return len(pieces)


@pytest.mark.parametrize(
    ("extra", "model_type"),
    [
        (["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "roberta"),
        (["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"], "roberta"),
        (["<|endoftext|>"], "gpt2"),
    ],
)
def test_type_by_special_pieces(tmp_path, extra, model_type):
    write_bpe(tmp_path, extra)
    assert define(tmp_path).model_type == model_type


def test_no_type(tmp_path):
    write_bpe(tmp_path, [])
    with pytest.raises(UsageError, match="it is not known what model") as caught:
        define(tmp_path)
    assert "roberta, gpt2, openai-gpt, xlm" in str(caught.value)
    with pytest.raises(UsageError, match="lacks special pieces"):
        define(tmp_path, model_type="roberta")


def test_added_tokens_behind_the_vocabulary(tmp_path):
    size = write_bpe(tmp_path, ["<|endoftext|>"])
    decoder = {
        str(size): {"content": "<x>", "special": True, "normalized": False, "lstrip": True},
        "0": {"content": "<|endoftext|>", "special": True, "normalized": False},
    }
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"added_tokens_decoder": decoder, "add_prefix_space": True}))
    definition = define(tmp_path).definition
    assert definition.pieces[-1] == "<x>"
    assert AddedToken("<x>", size, lstrip=True) in definition.added_tokens
    assert definition.settings["add_prefix_space"] is True
    without = define(tmp_path, special_tokens_in_text=False).definition
    assert without.pieces[-1] == "<x>" and without.added_tokens == ()

    decoder[str(size + 5)] = {"content": "<y>", "special": True, "normalized": False}
    config.write_text(json.dumps({"added_tokens_decoder": decoder}))
    with pytest.raises(HubexportError, match="ids without a piece"):
        define(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "en"}, "--language"),
        ({"normalization": "tfhub"}, "--normalization"),
        ({"do_lower_case": True, "strip_accents": True}, "--do_lower_case, --strip_accents"),
    ],
)
def test_flags_that_say_nothing(tmp_path, options, message):
    write_bpe(tmp_path, ["<|endoftext|>"])
    with pytest.raises(UsageError, match="say nothing") as caught:
        define(tmp_path, **options)
    assert message in str(caught.value)


def test_flags_against_tokenizer_json(tmp_path):
    content = {"model": {"type": "WordPiece", "vocab": {p: i for i, p in enumerate(SPECIALS)}}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"tokenizer\.json states how text is normalized"):
        define(tmp_path, do_lower_case=True)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model": None},
        {"model": {"type": ["WordPiece"]}},
        {"model": {"type": "WordPiece"}},
        {"model": {"type": "WordPiece", "vocab": []}},
        {"model": {"type": "WordPiece", "vocab": {"a": "b"}}},
        {"model": {"type": "Unigram", "vocab": {"a": 1}}},
        {"model": {"type": "Unigram", "vocab": [1, [], [[]], ["a"]]}},
        {"model": {"type": "BPE", "vocab": 3, "merges": None}},
        {"model": {"type": "BPE", "vocab": {"a": -1}, "merges": [["a"]]}, "added_tokens": [3]},
    ],
)
@pytest.mark.parametrize("model_type", [None, "bert", "xlnet", "gpt2", "openai-gpt"])
def test_damaged_tokenizer_json(tmp_path, content, model_type):
    """Every one is an error of ours, never a traceback."""
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises((ConfigurationError, HubexportError)):
        define(tmp_path, model_type=model_type)


@pytest.mark.parametrize("place", [{"ids": [99]}, {"ids": [-1]}])
def test_packing_outside_of_the_vocabulary(tmp_path, place):
    added = [{"id": i, "content": p, "special": True} for i, p in enumerate(SPECIALS)]
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "x", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": i, "type_id": 10**20}} for i in "AB"],
        "special_tokens": {"x": place},
    }
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
    content = {
        "model": {
            "type": "WordPiece",
            "vocab": {p: i for i, p in enumerate(SPECIALS)},
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
        "normalizer": {**normalizer, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "added_tokens": added,
        "post_processor": template,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="does not fit the vocabulary") as caught:
        define(tmp_path, model_type="bert")
    assert f"ids: {place['ids'][0]}" in str(caught.value)
    assert f"type_id: {10**20}" in str(caught.value)


def test_vocabulary_of_brackets(tmp_path):
    write_bpe(tmp_path, [])
    (tmp_path / "vocab.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="it is not known what model"):
        define(tmp_path)
    with pytest.raises(HubexportError, match="vocabulary is not JSON"):
        define(tmp_path, model_type="roberta")
