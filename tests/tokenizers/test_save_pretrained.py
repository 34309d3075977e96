"""Directories as transformers' save_pretrained writes them: followed exactly."""

import collections
import json
import math
import re

import pytest

from hubexport.errors import ConfigurationError, VocabularyError
from hubexport.exporting.preprocessor import export_preprocessor
from hubexport.tokenizers.defining import TokenizerOptions, define_tokenizer
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from tests.tokenizers.in_graph import InGraph
from tests.tokenizers.texts import generated

pytest.importorskip("tensorflow_text")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

LENGTH = 24
LITERALS = ("[MASK]", "<mask>", "[NEW]", " [NEW] ", "foo", "<|endoftext|>", "</s>", "<extra_id_0>")
TEXTS = [*DIFFICULT_TEXTS, "x[NEW]y foo foobar", *generated(160, seed=7, words=LITERALS)]
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "[unused2]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
XLM_SPECIALS = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{i}>" for i in range(10))]

WORDS = "a b c the and of in on text word letter number this that these it is was 1 2 3 . , !"
XLNET_SPECIALS = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    """A vocab.txt."""
    trained = tokenizers.BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    trained.train_from_iterator(
        TEXTS * 3, vocab_size=900, min_frequency=1, special_tokens=BERT_SPECIALS
    )
    path = tmp_path_factory.mktemp("wordpiece")
    trained.save_model(str(path))
    return str(path / "vocab.txt")


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    """vocab.json and merges.txt."""
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        TEXTS * 3, vocab_size=600, min_frequency=2, special_tokens=ROBERTA_SPECIALS
    )
    path = tmp_path_factory.mktemp("byte_level")
    trained.save_model(str(path))
    return {"vocab": str(path / "vocab.json"), "merges": str(path / "merges.txt")}


@pytest.fixture(scope="module")
def unigram():
    """Piece and score of each piece, special ones not included.

    Counted, not trained: tokenizers' trainer gives other pieces from run to run, and now and then
    a piece that is another one repeated, with which a text has two segmentations of the same score
    (a aa, aa a).
    """
    counts = collections.Counter(
        word[start:end]
        for text in TEXTS
        if not {*"<\0"} & {*text}
        for word in (f"▁{word}" for word in f"{WORDS} {text}".split())
        for start in range(len(word))
        for end in range(start + 1, min(len(word), start + 5) + 1)
    )
    repeated = re.compile(r"(.+)\1+", re.DOTALL)
    pieces = [
        piece
        for piece in sorted(counts, key=lambda each: (-counts[each], each))
        if len(piece) == 1 or (counts[piece] > 1 and not repeated.fullmatch(piece))
    ]
    total = counts.total()
    # No two scores are equal.
    return [(p, math.log(counts[p] / total) - 1e-4 * rank) for rank, p in enumerate(pieces[:3000])]


def bert(wordpiece, **settings):
    return transformers.BertTokenizer(vocab=wordpiece, **settings)


def sentencepiece(name, unigram, specials, **settings):
    entries = [
        *((piece, 0.0) for piece in specials),
        *(entry for entry in unigram if entry[0] not in specials),
    ]
    return getattr(transformers, name)(vocab=entries, **settings)


def with_special(tokenizer, *tokens):
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    return tokenizer


def with_ordinary(tokenizer, *tokens):
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def added(content, **settings):
    return tokenizers.AddedToken(content, normalized=False, **settings)


def with_stored_settings(tokenizer):
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(direction="left", length=8)
    return tokenizer


BERTS = {
    "uncased": lambda v: bert(v, do_lower_case=True),
    "cased": lambda v: bert(v, do_lower_case=False, tokenize_chinese_chars=False),
    "accents": lambda v: bert(v, do_lower_case=True, strip_accents=False),
    "others": lambda v: bert(
        v, pad_token="[unused1]", cls_token="[unused2]", sep_token="[MASK]", padding_side="left"
    ),
    "stored": lambda v: with_stored_settings(bert(v)),
    "added": lambda v: with_ordinary(
        with_special(bert(v), added("[NEW]", lstrip=True, rstrip=True), "<new>"),
        *map(added, ("foo", "foo bar", "oo b")),
    ),
}
BYTE_LEVELS = {
    "added": lambda v: with_ordinary(
        with_special(transformers.RobertaTokenizer(**v, add_prefix_space=True), "[NEW]"), "foo"
    ),
    "gpt2": lambda v: with_ordinary(transformers.GPT2Tokenizer(**v, pad_token="[NEW]"), " foo"),
}
UNIGRAMS = {
    "t5": lambda v: sentencepiece("T5Tokenizer", v, ["<pad>", "</s>", "<unk>"], extra_ids=5),
    "xlm-roberta": lambda v: sentencepiece(
        "XLMRobertaTokenizer", [*v, ("<mask>", 0.0)], ["<s>", "<pad>", "</s>", "<unk>"]
    ),
    "albert": lambda v: sentencepiece(
        "AlbertTokenizer", v, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], do_lower_case=True
    ),
    "xlnet": lambda v: sentencepiece("XLNetTokenizer", v, XLNET_SPECIALS),
}


def check(tokenizer, directory, texts=TEXTS, truncation="longest_first", offsets=False, **options):
    """What an export of the saved directory does, against AutoTokenizer on the same directory."""
    tokenizer.save_pretrained(directory)
    reference = transformers.AutoTokenizer.from_pretrained(directory)
    options = TokenizerOptions(**options)
    definition = define_tokenizer(tokenizer=directory, options=options).definition
    ours = InGraph(definition, truncation)

    ids = ours.tokenize(texts)
    split = {"split_special_tokens": not options.special_tokens_in_text, "verbose": False}
    expected = reference(texts, add_special_tokens=False, **split)["input_ids"]
    assert ids.to_list() == expected
    assert any(expected)

    texts = [text for text in texts if text]  # transformers takes no empty ones in pairs
    others = texts[3:] + texts[:3]
    fit = {"padding": "max_length", "truncation": "longest_first", "max_length": LENGTH, **split}
    for given in ((texts,), (texts, others)):
        packed, wanted = ours.packed(*given, seq_length=LENGTH), reference(*given, **fit)
        assert packed["input_word_ids"] == wanted["input_ids"]
        assert packed["input_mask"] == wanted["attention_mask"]
        if "token_type_ids" in wanted:
            assert packed["input_type_ids"] == wanted["token_type_ids"]
    if not definition.no_detokenize:
        decoded = reference.batch_decode(expected, clean_up_tokenization_spaces=False)
        assert ours.detokenize(ids) == decoded
    if offsets:
        check_offsets(ours, reference)


def check_offsets(ours, reference):
    _, starts, limits = (part.to_list() for part in ours.tokenize_with_offsets(TEXTS))
    offsets = reference(TEXTS, add_special_tokens=False, return_offsets_mapping=True)
    for row, (text, pairs) in enumerate(zip(TEXTS, offsets["offset_mapping"], strict=True)):
        places = [tuple(len(text[:place].encode()) for place in pair) for pair in pairs]
        assert list(zip(starts[row], limits[row], strict=True)) == places, text


@pytest.mark.parametrize("name", BERTS)
def test_wordpiece(tmp_path, wordpiece, name):
    check(BERTS[name](wordpiece), tmp_path, offsets=name in ("uncased", "cased"))


@pytest.mark.parametrize("name", BYTE_LEVELS)
def test_byte_level_bpe(tmp_path, byte_level, name):
    check(BYTE_LEVELS[name](byte_level), tmp_path)


@pytest.mark.parametrize("name", UNIGRAMS)
def test_sentencepiece(tmp_path, unigram, name):
    # Of two segmentations of a long run that are as good as each other, either may be taken.
    texts = [text for text in TEXTS if not any(len(word) > 60 for word in text.split())]
    check(UNIGRAMS[name](unigram), tmp_path, texts=texts)


def test_special_tokens_as_text(tmp_path, wordpiece):
    tokenizer = with_special(bert(wordpiece), "[NEW]")
    check(tokenizer, tmp_path, special_tokens_in_text=False)


def test_xlm(tmp_path):
    """It begins with bos, though its files state another cls."""
    pytest.importorskip("sacremoses")
    symbols = [letter + end for letter in "abcdehinort.,!12" for end in ("", "</w>")]
    pieces = [*XLM_SPECIALS, *symbols, "th", "the</w>"]
    source = tmp_path / "source"
    source.mkdir()
    (source / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    (source / "merges.txt").write_text("t h 5\nth e</w> 4\n")
    tokenizer = transformers.XLMTokenizer(
        str(source / "vocab.json"),
        str(source / "merges.txt"),
        do_lowercase_and_remove_accent=True,
    )
    # Python's tokenizers give the odd token to the first text.
    check(tokenizer, tmp_path / "saved", language="en", truncation="round_robin")


def test_truncation_at_the_beginning(tmp_path, wordpiece):
    bert(wordpiece, truncation_side="left").save_pretrained(tmp_path / "config")
    stored = bert(wordpiece)
    stored.backend_tokenizer.enable_truncation(8, direction="left")
    stored.save_pretrained(tmp_path / "json")
    for name in ("config", "json"):
        with pytest.raises(ConfigurationError, match="lose their end") as caught:
            export_preprocessor(export_path=tmp_path / "out", tokenizer=tmp_path / name)
        assert "truncation_side" in str(caught.value)


@pytest.mark.parametrize("setting", ["do_lower_case", "strip_accents", "tokenize_chinese_chars"])
def test_files_that_do_not_agree(tmp_path, wordpiece, setting):
    bert(wordpiece, do_lower_case=True).save_pretrained(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), setting: False}))
    with pytest.raises(ConfigurationError, match="do not agree") as caught:
        export_preprocessor(export_path=tmp_path / "out", tokenizer=tmp_path)
    assert f"{setting}: True and False" in str(caught.value)


def test_ordinary_added_tokens(tmp_path, wordpiece):
    """Looked for in normalized text: refused, or taken for text with a warning."""
    with_ordinary(bert(wordpiece), "foo").save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match=r"'foo' \(normalized"):
        define_tokenizer(tokenizer=tmp_path, options=TokenizerOptions())
    options = TokenizerOptions(special_tokens_in_text=False)
    (warning,) = define_tokenizer(tokenizer=tmp_path, options=options).warnings
    assert "'foo'" in warning


def test_added_tokens_that_overlap(tmp_path, byte_level):
    """Normalized ones are looked for in what the others leave: not by length alone."""
    tokenizer = with_special(transformers.GPT2Tokenizer(**byte_level), "[NEW]")
    with_ordinary(tokenizer, "x[N").save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match=r"'x\[N' \(normalized, and overlaps '\[NEW\]'"):
        define_tokenizer(tokenizer=tmp_path, options=TokenizerOptions())


def test_pieces_with_nul(tmp_path, unigram):
    """SentencePiece's own check of these would end the process."""
    pieces = [*unigram, ("\0", -9.0), ("a\0", -9.0)]
    sentencepiece("T5Tokenizer", pieces, ["<pad>", "</s>", "<unk>"]).save_pretrained(tmp_path)
    with pytest.raises(VocabularyError, match="has a NUL"):
        define_tokenizer(tokenizer=tmp_path, options=TokenizerOptions())
