"""What the JSON files beside a vocabulary say, and what is refused."""

import json

import pytest

from hubexport.errors import ConfigurationError
from hubexport.tokenizers.definition import AddedToken, Segment, Token
from hubexport.tokenizers.hugging_face import read_directory


def directory(path, **contents):
    """A directory with such JSON files; `tokenizer` for tokenizer.json."""
    for name, content in contents.items():
        (path / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return read_directory(path)


def test_nothing_there(tmp_path):
    with pytest.raises(ConfigurationError, match="no such tokenizer"):
        read_directory(tmp_path / "absent")
    empty = read_directory(tmp_path)
    assert empty.tokenizer_json is None and empty.added_tokens() is None
    assert empty.model_type() is None and empty.special_pieces() == {}
    assert empty.packing(0, 0, "right") is None


@pytest.mark.parametrize("content", ["[]", "{", '"x"', "[" * 100_000])
def test_unreadable(tmp_path, content):
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"tokenizer_config\.json cannot be read"):
        read_directory(tmp_path)


@pytest.mark.parametrize(
    ("contents", "model_type"),
    [
        ({"config": {"model_type": "xlnet"}}, "xlnet"),
        ({"config": {"model_type": "mpnet"}}, None),
        ({"tokenizer_config": {"tokenizer_class": "BertTokenizerFast"}}, "bert"),
        ({"tokenizer_config": {"tokenizer_class": "XLMRobertaTokenizer"}}, "xlm-roberta"),
        ({"tokenizer_config": {"tokenizer_class": "OpenAIGPTTokenizer"}}, "openai-gpt"),
        ({"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer"}}, "gpt2"),
        ({"tokenizer_config": {"tokenizer_class": "TransfoXLTokenizer"}}, "transfo-xl"),
        ({"tokenizer_config": {"tokenizer_class": None}}, None),
        ({"tokenizer_config": {"tokenizer_class": ["x"]}}, None),
    ],
)
def test_model_type(tmp_path, contents, model_type):
    assert directory(tmp_path, **contents).model_type() == model_type


def test_special_pieces(tmp_path):
    found = directory(
        tmp_path,
        special_tokens_map={"cls_token": "<c>", "mask_token": {"content": "<m>", "lstrip": True}},
        tokenizer_config={"pad_token": "<p>", "eos_token": "<e>", "sep_token": None},
    )
    assert found.special_pieces() == {
        "start_of_sequence_id": "<c>",
        "mask_id": "<m>",
        "padding_id": "<p>",
    }


def entry(content, number, **options):
    return {"content": content, "id": number, "special": True, "normalized": False, **options}


def test_added_tokens(tmp_path):
    found = directory(
        tmp_path,
        tokenizer={
            "normalizer": {"type": "NFC"},
            "added_tokens": [entry("<s>", 0), entry("<mask>", 9, lstrip=True)],
        },
    )
    assert found.added_tokens() == (AddedToken("<s>", 0), AddedToken("<mask>", 9, lstrip=True))


def test_added_tokens_of_the_configuration(tmp_path):
    decoder = {"3": {"content": "[X]", "rstrip": True, "special": True, "normalized": False}}
    found = directory(tmp_path, tokenizer_config={"added_tokens_decoder": decoder})
    assert found.added_tokens() == (AddedToken("[X]", 3, rstrip=True),)


def test_added_tokens_that_are_not_supported(tmp_path):
    found = directory(
        tmp_path,
        tokenizer={
            "normalizer": {"type": "Lowercase"},
            "added_tokens": [
                entry("one", 0, single_word=True),
                entry("two", 1, normalized=True),
                entry("[OK]", 2),
            ],
        },
    )
    with pytest.raises(ConfigurationError) as caught:
        found.added_tokens()
    message = str(caught.value)
    assert "'one' (single_word" in message and "'two' (normalized" in message
    assert "[OK]" not in message and "--nospecial_tokens_in_text" in message


@pytest.mark.parametrize("bad", [{"id": 1}, {"content": 5, "id": 1}, "x", {"content": "x"}])
def test_malformed_added_tokens(tmp_path, bad):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        directory(tmp_path, tokenizer={"added_tokens": [bad]}).added_tokens()


A, B = Segment(0), Segment(1)


@pytest.mark.parametrize(
    ("processor", "single", "pair"),
    [
        (
            {"type": "BertProcessing", "sep": ["[SEP]", 5], "cls": ["[CLS]", 4]},
            (Token(4), A, Token(5)),
            (Token(4), A, Token(5), Segment(1, 1), Token(5, 1)),
        ),
        (
            {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
            (Token(0), A, Token(2)),
            (Token(0), A, Token(2), Token(2), B, Token(2)),
        ),
        (
            {
                "type": "Sequence",
                "processors": [
                    {"type": "ByteLevel"},
                    {
                        "type": "TemplateProcessing",
                        "single": [
                            {"Sequence": {"id": "A", "type_id": 0}},
                            {"SpecialToken": {"id": "x", "type_id": 2}},
                        ],
                        "pair": [
                            {"Sequence": {"id": "A", "type_id": 0}},
                            {"Sequence": {"id": "B", "type_id": 1}},
                        ],
                        "special_tokens": {"x": {"id": "x", "ids": [7], "tokens": ["x"]}},
                    },
                ],
            },
            (A, Token(7, 2)),
            (A, Segment(1, 1)),
        ),
    ],
)
def test_packing(tmp_path, processor, single, pair):
    template = directory(tmp_path, tokenizer={"post_processor": processor}).packing(3, 1, "left")
    assert (template.single, template.pair) == (single, pair)
    assert (template.padding_id, template.padding_type_id) == (3, 1)
    assert template.padding_side == "left"


@pytest.mark.parametrize("processor", [None, {"type": "ByteLevel"}])
def test_no_packing(tmp_path, processor):
    assert (
        directory(tmp_path, tokenizer={"post_processor": processor}).packing(3, 1, "left") is None
    )


@pytest.mark.parametrize(
    "processor",
    [
        {"type": "New"},
        {"type": "BertProcessing"},
        {"type": "Sequence", "processors": [{"type": "RobertaProcessing", "sep": [0], "cls": []}]},
        {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
        {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "C", "type_id": 0}}]},
        "x",
    ],
)
def test_packing_that_is_not_supported(tmp_path, processor):
    found = directory(tmp_path, tokenizer={"post_processor": processor})
    with pytest.raises(ConfigurationError, match="post_processor"):
        found.packing(0, 0, "right")


@pytest.mark.parametrize(
    "entry", [{"id": 1e400, "content": "a"}, {"id": 0, "content": "\ud800"}, {"id": 0}, 3]
)
def test_added_tokens_that_cannot_be_read(tmp_path, entry):
    found = directory(tmp_path, tokenizer={"added_tokens": [entry]})
    with pytest.raises(ConfigurationError, match="added tokens cannot be read"):
        found.added_tokens()


def test_model_type_that_is_no_string(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": ["bert"]}')
    assert read_directory(tmp_path).model_type() is None


def test_roles_of_special_tokens(tmp_path):
    names = {"cls_token": "</s>", "bos_token": "<s>", "eos_token": "<e>", "sep_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    found = read_directory(tmp_path)
    assert found.special_pieces("xlm")["start_of_sequence_id"] == "<s>"
    assert found.special_pieces("bert")["start_of_sequence_id"] == "</s>"
    assert found.special_pieces("t5")["end_of_segment_id"] == "<e>"


def test_sides(tmp_path):
    """tokenizer_config.json counts before tokenizer.json."""
    stored = {"padding": {"direction": "Left"}, "truncation": {"direction": "Right"}}
    assert directory(tmp_path, tokenizer=stored).sides() == ("left", "right")
    (tmp_path / "tokenizer_config.json").write_text('{"padding_side": "right"}')
    assert read_directory(tmp_path).sides() == ("right", "right")
    assert directory(tmp_path, tokenizer={"padding": "x", "truncation": [3]}).sides()[1] is None
