"""Byte-level BPE in the graph against Hugging Face's `tokenizers`."""

import functools
import inspect
import json
import random
import textwrap
from itertools import groupby
from pathlib import Path

import pytest

from hubexport.errors import ConfigurationError, VocabularyError
from hubexport.tokenizers import kinds
from hubexport.tokenizers.byte_level_bpe import definition as kind
from hubexport.tokenizers.definition import AddedToken, PackingTemplate
from hubexport.tokenizers.tables.byte_symbols import byte_symbols, piece_bytes
from tests.material import material
from tests.tokenizers.texts import DIFFICULT, differences, generated, real_texts, varied_code_points

tf = pytest.importorskip("tensorflow")
tokenizers = pytest.importorskip("tokenizers")

LITERALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
CODE = inspect.getsource(json.decoder) + inspect.getsource(textwrap)


@functools.cache
def trained():
    """A tokenizer.json with a few hundred merges, of code and text in many scripts."""
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(LITERALS),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*CODE.split("\n\n"), *DIFFICULT], trainer)
    return tokenizer.to_str()


def content():
    return json.loads(trained())


def model(**settings):
    stated = content()
    stated["pre_tokenizer"].update(settings)
    return kind.byte_level_bpe_from_json(Path("tokenizer.json"), stated)


def define(read, literals=()):
    return kinds.define(
        read,
        added_tokens=tuple(
            AddedToken(text, read.pieces.index(text), lstrip=text == "<mask>") for text in literals
        ),
        special_tokens={},
        packing=PackingTemplate((), (), 0),
    )


def traced(function):
    return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string)])


def code_chunks(lines=5):
    split = CODE.split("\n")
    return [CODE, *("\n".join(split[i : i + lines]) for i in range(0, len(split), lines))]


def with_specials(definition):
    from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText

    return SpecialTokensInText(definition.make(), definition.added_tokens)


@pytest.mark.parametrize("count", [5_000, pytest.param(40_000, marks=pytest.mark.exhaustive)])
def test_every_text_has_the_ids_of_the_reference(count):
    definition = define(model())
    tokenize, reference = traced(definition.make().tokenize), definition.reference()
    texts = [*DIFFICULT, *code_chunks(), *generated(count)]
    assert not differences(tokenize, reference, texts)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_code_points_have_the_ids_of_the_reference(step):
    definition = define(model())
    tokenize, reference = traced(definition.make().tokenize), definition.reference()
    assert not differences(tokenize, reference, varied_code_points()[::step])


@pytest.mark.parametrize("add_prefix_space", [False, True])
@pytest.mark.parametrize("use_regex", [False, True])
def test_the_settings_of_the_pre_tokenizer(add_prefix_space, use_regex):
    definition = define(model(add_prefix_space=add_prefix_space, use_regex=use_regex))
    tokenize, reference = traced(definition.make().tokenize), definition.reference()
    texts = [*DIFFICULT, *code_chunks(), *generated(1_000, seed=1)]
    texts += [space + "x" for space in "\u00a0\t\n \u3000"]
    assert not differences(tokenize, reference, texts)


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_literals_are_recognised_as_by_the_reference(add_prefix_space):
    definition = define(model(add_prefix_space=add_prefix_space), LITERALS)
    tokenize, reference = traced(with_specials(definition).tokenize), definition.reference()
    texts = [*DIFFICULT, *generated(2_000, seed=2, words=LITERALS)]
    assert not differences(tokenize, reference, texts)


def test_a_change_of_the_merges_would_be_found():
    read = model()
    swapped = kind.ByteLevelModel(read.pieces, read.merges[:-1], False, True, (Path("here"),))
    tokenize = define(swapped).make().tokenize
    assert differences(tokenize, define(read).reference(), code_chunks())


def test_offsets_are_the_bytes_that_pieces_stand_for():
    for add_prefix_space in (False, True):
        definition = define(model(add_prefix_space=add_prefix_space), LITERALS)
        tokenizer = with_specials(definition)
        texts = [text for text in [*DIFFICULT, *code_chunks(), *generated(500)] if text]
        ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant(texts))
        assert ids.to_list() == tokenizer.tokenize(tf.constant(texts)).to_list()
        rows = zip(texts, ids.to_list(), starts.to_list(), limits.to_list(), strict=True)
        for text, row, row_starts, row_limits in rows:
            data, end = text.encode(), 0
            for number, start, limit in zip(row, row_starts, row_limits, strict=True):
                expected = piece_bytes(definition.pieces[number])
                found = data[start:limit]
                if number in (token.id for token in definition.added_tokens):
                    found = found.strip()
                if found != expected:
                    assert add_prefix_space and b" " + found == expected, (text, start, limit)
                assert start == end
                end = limit
            assert end == len(data)


def test_offsets_are_those_of_the_reference_in_ascii():
    definition = define(model(), LITERALS)
    reference = kind.hugging_face_tokenizer(model(), definition.added_tokens)
    texts = [text for text in generated(3000, words=LITERALS) if text.isascii()]
    assert len(texts) > 50
    _, starts, limits = with_specials(definition).tokenize_with_offsets(tf.constant(texts))
    for text, row_starts, row_limits in zip(texts, starts.to_list(), limits.to_list(), strict=True):
        expected = reference.encode(text).offsets
        assert list(zip(row_starts, row_limits, strict=True)) == expected


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_words_are_those_of_the_reference(add_prefix_space):
    definition = define(model(add_prefix_space=add_prefix_space), LITERALS)
    reference = kind.hugging_face_tokenizer(
        model(add_prefix_space=add_prefix_space), definition.added_tokens
    )
    tokenizer = with_specials(definition)
    texts = [*DIFFICULT, *code_chunks(), *generated(1000, words=LITERALS)]
    flat = tokenizer.tokenize_with_offsets(tf.constant(texts))
    in_words = tokenizer.words_with_offsets(tf.constant(texts))
    for one, other in zip(flat, in_words, strict=True):
        assert one.to_list() == other.merge_dims(1, 2).to_list()
    for text, words in zip(texts, in_words[0].to_list(), strict=True):
        expected = [len(list(group)) for _, group in groupby(reference.encode(text).word_ids)]
        assert [len(word) for word in words if word] == expected, text


def test_detokenize_is_the_references_decode():
    definition = define(model(), LITERALS)
    reference = kind.hugging_face_tokenizer(model(), definition.added_tokens)
    choose = random.Random(0)
    rows = [encoding.ids for encoding in reference.encode_batch(DIFFICULT)]
    # Random pieces, most of them bytes: sequences that are not UTF-8.
    rows += [choose.choices(range(300), k=choose.randrange(0, 12)) for _ in range(2000)]
    rows += [choose.choices(range(1500), k=choose.randrange(0, 12)) for _ in range(500)]
    decoded = definition.make().detokenize(tf.ragged.constant(rows, tf.int32)).numpy().tolist()
    expected = reference.decode_batch(rows, skip_special_tokens=False)
    assert [text.decode() for text in decoded] == expected


def test_added_tokens_behind_the_vocabulary_are_written_out():
    read = model()
    new = AddedToken("<a b>中", len(read.pieces))
    definition = kinds.define(
        read, added_tokens=(new,), special_tokens={}, packing=PackingTemplate((), (), 0)
    )
    reference = kind.hugging_face_tokenizer(read, (new,))
    tokenizer = with_specials(definition)
    ids = tokenizer.tokenize(tf.constant(["x <a b>中y"]))
    assert ids.to_list() == definition.reference()(["x <a b>中y"])
    decoded = definition.make().detokenize(ids).numpy()[0].decode()
    assert decoded == reference.decode(ids.to_list()[0], skip_special_tokens=False)


def test_batches_and_texts_of_unusual_sizes():
    definition = define(model())
    tokenizer, reference = definition.make(), definition.reference()
    tokenize = traced(tokenizer.tokenize)
    assert tokenize(tf.constant([], tf.string)).to_list() == []
    ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant([], tf.string))
    assert ids.shape[0] == starts.shape[0] == limits.shape[0] == 0
    empty = tf.RaggedTensor.from_row_splits(tf.constant([], tf.int32), tf.constant([0], tf.int64))
    assert tokenizer.detokenize(empty).numpy().tolist() == []
    assert tokenize(tf.constant([""])).to_list() == [[]]
    zeros = ["\0", "a\0b", "!\0``Ó", "\0\0 \0"]
    assert not differences(tokenize, reference, zeros)
    assert not differences(tokenize, reference, ["word " * 200_000, "y" * 100_000, " " * 100_000])


def test_the_graph_has_no_assertions_and_no_tables():
    tokenizer = define(model(), LITERALS).make()
    for function in (tokenizer.tokenize, tokenizer.tokenize_with_offsets):
        graph = traced(function).get_concrete_function().graph.as_graph_def()
        ops = {node.op for node in graph.node} | {
            node.op for inner in graph.library.function for node in inner.node_def
        }
        assert not {op for op in ops if "Assert" in op or "HashTable" in op or "PyFunc" in op}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"normalizer": {"type": "NFC"}}, ["normalizer"]),
        ({"pre_tokenizer": None, "decoder": None}, ["pre_tokenizer.type", "decoder.type"]),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, ["pre_tokenizer.add_prefix_space"]),
        ({"model": {"type": "Unigram"}}, ["model.type"]),
        ({"model": {"dropout": 0.1}}, ["model.dropout"]),
        ({"model": {"continuing_subword_prefix": "##"}}, ["model.continuing_subword_prefix"]),
        ({"model": {"end_of_word_suffix": "</w>"}}, ["model.end_of_word_suffix"]),
        ({"model": {"ignore_merges": 1}}, ["model.ignore_merges"]),
        # The literals are pieces that no merge makes.
        ({"model": {"ignore_merges": True}}, ["ignore_merges", "'<mask>'"]),
        ({"model": None}, ["no model"]),
    ],
)
def test_settings_that_are_not_followed_are_errors(change, named):
    stated = content()
    for part, value in change.items():
        stated[part] = {**stated[part], **value} if part == "model" and value else value
    with pytest.raises(ConfigurationError) as error:
        kind.byte_level_bpe_from_json(Path("tokenizer.json"), stated)
    for name in named:
        assert name in str(error.value)


def test_ignore_merges_without_other_pieces_makes_no_difference():
    stated = content()
    order = [p for p in stated["model"]["vocab"] if p not in LITERALS]
    stated["model"]["vocab"] = {piece: number for number, piece in enumerate(order)}
    stated["model"]["ignore_merges"], stated["added_tokens"] = True, []
    read = kind.byte_level_bpe_from_json(Path("tokenizer.json"), stated)
    reference = tokenizers.Tokenizer.from_str(json.dumps(stated))
    texts = code_chunks()
    ids = define(read).make().tokenize(tf.constant(texts)).to_list()
    assert ids == [encoding.ids for encoding in reference.encode_batch(texts)]


def test_both_json_forms_and_the_files_say_the_same(tmp_path):
    stated, read = content(), model()
    stated["model"]["merges"] = [" ".join(merge) for merge in read.merges]
    assert kind.byte_level_bpe_from_json(Path("tokenizer.json"), stated) == read
    vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocabulary.write_text(json.dumps(stated["model"]["vocab"]), "utf-8")
    merges.write_text("\n".join(["#version: 0.2", *stated["model"]["merges"]]), "utf-8")
    from_files = kind.read_byte_level_bpe(vocabulary, merges)
    assert (from_files.pieces, from_files.merges) == (read.pieces, read.merges)
    assert from_files.files == (vocabulary, merges)


def test_vocabularies_of_other_kinds_are_refused():
    stated = content()
    del stated["model"]["vocab"]["Ġ"]
    with pytest.raises(VocabularyError, match="without gaps"):
        kind.byte_level_bpe_from_json(Path("tokenizer.json"), stated)
    read = model()
    pieces = tuple("a space" if piece == "Ġ" else piece for piece in read.pieces)
    with pytest.raises(VocabularyError, match=r"bytes have no piece(.|\n)*0x20"):
        kind.ByteLevelModel(pieces, (), False, True, (Path("here"),))
    with pytest.raises(VocabularyError, match=r"of other characters \(1\): '中'"):
        kind.ByteLevelModel(
            (*read.pieces, "中", "a中"), (("a", "中"),), False, True, (Path("here"),)
        )
    with pytest.raises(VocabularyError, match="not in the vocabulary"):
        kind.ByteLevelModel(read.pieces, (("Ā", "Ā"),), False, True, (Path("here"),))


def test_byte_symbols_are_those_of_the_reference():
    from tokenizers import pre_tokenizers

    assert sorted(byte_symbols()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    for character in map(chr, (0, 9, 32, 65, 127, 0xE9, 0x4E2D, 0x10FFFF)):
        ((spelled, _),) = split(character)
        assert spelled == "".join(byte_symbols()[byte] for byte in character.encode())
        assert piece_bytes(spelled) == character.encode()


def test_two_models_of_the_same_files_have_the_same_bytes():
    from hubexport.tokenizers.byte_level_bpe.graph import _model

    read = model()
    assert _model(read.pieces, read.merges) == _model(model().pieces, model().merges)


def published(name):
    if name == "gpt2":
        files = "bytebpe/gpt2/encoder.json", "bytebpe/gpt2/vocab.bpe"
        literals = ("<|endoftext|>",)
    else:
        files = "bytebpe/roberta/vocab.json", "bytebpe/roberta/merges.txt"
        literals = LITERALS
    return define(kind.read_byte_level_bpe(*map(material, files)), literals)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("roberta", 50),
        pytest.param("roberta", 400, marks=pytest.mark.exhaustive),
        pytest.param("gpt2", 400, marks=pytest.mark.exhaustive),
    ],
)
def test_published_vocabularies_on_texts_of_people(name, count):
    definition = published(name)
    tokenize, reference = traced(with_specials(definition).tokenize), definition.reference()
    texts = [text for texts in real_texts(count).values() for text in texts]
    assert not differences(tokenize, reference, [*texts, *DIFFICULT, *code_chunks()])
