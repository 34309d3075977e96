"""Reading WordPiece from tokenizer.json."""

import json
from pathlib import Path

import pytest

from hubexport.errors import ConfigurationError, VocabularyError
from hubexport.tokenizers.wordpiece.definition import hugging_face_tokenizer, wordpiece_from_json
from hubexport.tokenizers.wordpiece.model import WordPieceModel

CONTENT = {
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {"[UNK]": 0, "a": 1, "##b": 2},
    },
}


def changed(**parts):
    return {name: {**CONTENT[name], **parts.get(name, {})} for name in CONTENT}


def test_tokenizer_json():
    model = wordpiece_from_json(Path("tokenizer.json"), CONTENT)
    assert model.pieces == ("[UNK]", "a", "##b")
    assert (model.lower_case, model.strip_accents, model.cleanup) == (True, True, True)
    other = wordpiece_from_json(
        Path("tokenizer.json"),
        changed(
            normalizer={"strip_accents": False, "handle_chinese_chars": False},
            model={"max_input_chars_per_word": 7},
        ),
    )
    assert (other.strip_accents, other.tokenize_chinese_chars) == (False, False)
    assert other.max_input_chars_per_word == 7


def test_a_tokenizer_json_as_the_package_writes_it():
    pytest.importorskip("tokenizers")
    model = WordPieceModel(
        ("[UNK]", "a", "##b"),
        "[UNK]",
        lower_case=True,
        strip_accents=False,
        files=(Path("tokenizer.json"),),
        max_input_chars_per_word=50,
        cleanup=True,
    )
    content = json.loads(hugging_face_tokenizer(model, ()).to_str())
    assert wordpiece_from_json(Path("tokenizer.json"), content) == model


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"model": {"type": "BPE"}}, "model.type"),
        ({"model": {"continuing_subword_prefix": "@@"}}, "model.continuing_subword_prefix"),
        ({"model": {"max_input_chars_per_word": 0}}, "model.max_input_chars_per_word"),
        ({"model": {"max_input_chars_per_word": True}}, "model.max_input_chars_per_word"),
        ({"model": {"unk_token": None}}, "model.unk_token"),
        ({"normalizer": {"clean_text": False}}, "normalizer.clean_text"),
        ({"normalizer": {"lowercase": 1}}, "normalizer.lowercase"),
        ({"normalizer": {"type": "Sequence"}}, "normalizer.type"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
        ({"decoder": {"prefix": "@@"}}, "decoder.prefix"),
    ],
)
def test_a_tokenizer_json_that_is_not_followed(parts, named):
    with pytest.raises(ConfigurationError) as error:
        wordpiece_from_json(Path("tokenizer.json"), changed(**parts))
    assert f"{named}: " in str(error.value)


@pytest.mark.parametrize("content", [{}, {"model": 3}, {**CONTENT, "normalizer": []}])
def test_a_tokenizer_json_without_parts(content):
    with pytest.raises(ConfigurationError):
        wordpiece_from_json(Path("tokenizer.json"), content)


@pytest.mark.parametrize(
    "vocabulary", [None, [], {"a": 0}, {"[UNK]": 1}, {"[UNK]": 0, "\ud800": 1}]
)
def test_a_tokenizer_json_with_a_wrong_vocabulary(vocabulary):
    with pytest.raises(VocabularyError):
        wordpiece_from_json(Path("tokenizer.json"), changed(model={"vocab": vocabulary}))
