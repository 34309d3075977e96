"""Transformer-XL's tokenizer in the graph, against the published steps, done by sacremoses.

transformers 5 has no such tokenizer. Its steps in version 4.35 were (tokenization_utils.py and
models/transfo_xl/tokenization_transfo_xl.py): lower case character by character, if at all; cutting
out special tokens; and for what is between them: strip, punctuation, Moses with aggressive dashes
and special tokens protected, numbers.
"""

import pickle
import re

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from hubexport.errors import ConfigurationError, VocabularyError
from hubexport.tokenizers import kinds
from hubexport.tokenizers.definition import AddedToken, PackingTemplate
from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText
from hubexport.tokenizers.transformer_xl import definition as transformer_xl
from tests.tokenizers.texts import (
    DIFFICULT,
    differences,
    generated,
    real_texts,
    varied_code_points,
)

sacremoses = pytest.importorskip("sacremoses")

SPECIALS = ("<eos>", "<unk>", "<formula>")
PUNCTUATION = sacremoses.MosesPunctNormalizer("en")
MOSES = sacremoses.MosesTokenizer("en")
PACKING = PackingTemplate((), (), padding_id=0)
_SOME = (
    "a-b-c 23,000 1.5 1,2,3.4 <EOS> <eos> <Unk> <eos>. <un\u212a> <eo\u017f> Mr. No. ' `` - -- – "
    '... DOTMULTI x- ٣.٤ THISISPROTECTED000 \x01 \x02 T\x01eos\x020 @-@ @ " ’ 5, ..'
)
WORDS = _SOME.split(" ")


def _words(text):
    """The published steps for what is between special tokens."""
    words = MOSES.tokenize(
        PUNCTUATION.normalize(text.strip()),
        aggressive_dash_splits=True,
        return_str=False,
        escape=False,
        protected_patterns=SPECIALS,
    )
    return [w for word in words for w in re.sub(r"(?<=\d)[,.](?=\d)", r" @\g<0>@ ", word).split()]


def _published(pieces, lower_case):
    ids = {piece: number for number, piece in enumerate(pieces)}
    either = re.compile(f"({'|'.join(SPECIALS)})")

    def encode(text):
        if lower_case:
            pattern = f"({'|'.join(SPECIALS)})|(.+?)"
            text = re.sub(pattern, lambda match: match[1] or match[2].lower(), text)
        words = []
        for number, part in enumerate(either.split(text)):
            words += [part] if number % 2 else _words(part.lower() if lower_case else part)
        return [ids.get(word, ids["<unk>"]) for word in words]

    return lambda texts: list(map(encode, texts))


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory):
    texts = [*DIFFICULT, *varied_code_points()[::50], *generated(1_000, seed=21, words=WORDS)]
    words = dict.fromkeys(["<eos>", "<unk>", "<formula>", "<EOS>", "<un\u212a>", "<eo\u017f>"])
    for text in texts:
        words.update(dict.fromkeys(_words(text)))
        words.update(dict.fromkeys(_words("".join(map(str.lower, text)))))
    path = tmp_path_factory.mktemp("transformer_xl") / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in words), "utf-8")
    return path


def _define(vocab_file, lower_case=False, special=SPECIALS):
    model = transformer_xl.read_transformer_xl(vocab_file, lower_case=lower_case)
    return kinds.define(
        model,
        added_tokens=tuple(AddedToken(piece, model.pieces.index(piece)) for piece in special),
        special_tokens={},
        packing=PACKING,
    )


def _traced(definition):
    tokenizer = SpecialTokensInText(definition.make(), definition.added_tokens)
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(tokenizer.tokenize, input_signature=signature, autograph=False)


@pytest.fixture(scope="module")
def cased(vocab_file):
    definition = _define(vocab_file)
    return definition, _traced(definition), _published(definition.pieces, lower_case=False)


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_difficult_and_generated_texts(cased, count):
    _, tokenize, published = cased
    assert differences(tokenize, published, DIFFICULT) == []
    assert differences(tokenize, published, generated(count, seed=22, words=WORDS)) == []


@pytest.mark.parametrize("step", [49, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_code_points(cased, step):
    _, tokenize, published = cased
    assert differences(tokenize, published, varied_code_points()[::step]) == []


def test_lower_case(vocab_file):
    definition = _define(vocab_file, lower_case=True)
    tokenize, published = _traced(definition), _published(definition.pieces, lower_case=True)
    texts = [*DIFFICULT, *generated(500, seed=23, words=WORDS), *varied_code_points()[::199]]
    assert differences(tokenize, published, texts) == []
    assert differences(tokenize, definition.reference(), texts) == []


@pytest.mark.parametrize("count", [5, pytest.param(100, marks=pytest.mark.exhaustive)])
def test_real_texts(cased, count):
    _, tokenize, published = cased
    for name, texts in real_texts(count).items():
        assert differences(tokenize, published, texts) == [], name


def test_its_own_reference(cased, vocab_file):
    definition, _, published = cased
    texts = [*DIFFICULT, *generated(300, seed=24, words=WORDS)]
    assert definition.reference()(texts) == published(texts)
    plain = _define(vocab_file, special=())
    assert differences(_traced(plain), plain.reference(), texts) == []


def test_words(tmp_path):
    words = "<unk> 23 @,@ 000 people are 1 @.@ 80 m tall well @-@ known . , U.S."
    (tmp_path / "vocab.txt").write_text(words.replace(" ", "\n"))
    definition = _define(tmp_path / "vocab.txt", special=())
    ids = definition.make().tokenize(
        tf.constant(["23,000 people are 1.80 m tall, well-known.", "U.S. xyz", "", "\0"])
    )
    assert [" ".join(definition.pieces[i] for i in row) for row in ids.to_list()] == [
        "23 @,@ 000 people are 1 @.@ 80 m tall , well @-@ known .",
        "U.S. <unk>",
        "",
        "",
    ]
    assert definition.make().tokenize(tf.constant([], tf.string)).to_list() == []


def test_a_long_text(cased):
    _, tokenize, published = cased
    text = "The well-known U.S. company paid $1,000.50 to Mr. X. "
    assert differences(tokenize, published, [text * 100]) == []
    once = published([text + "The"])[0][:-1]
    assert tokenize(tf.constant([text * 20_000])).to_list()[0][:-100] == (once * 20_000)[:-100]


def test_definition(cased):
    definition = cased[0]
    assert definition.kind == "transformer_xl"
    assert definition.unknown_id == 1
    assert definition.no_offsets and definition.no_detokenize
    assert definition.settings["lower_case"] is False


def test_saved_twice_it_is_named_the_same_and_has_no_assertions(vocab_file, tmp_path):
    names = []
    for name in ("first", "second"):
        module = tf.Module()
        module.tokenizer = _define(vocab_file).make()
        module.call = tf.function(
            module.tokenizer.tokenize,
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        tf.saved_model.save(module, str(tmp_path / name))
        data = (tmp_path / name / "saved_model.pb").read_bytes()
        graph = saved_model_pb2.SavedModel.FromString(data).meta_graphs[0].graph_def
        nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
        assert not [node.name for node in nodes if node.op == "Assert"]
        names.append(sorted(node.attr["shared_name"].s for node in nodes))
    assert names[0] == names[1]
    loaded = tf.saved_model.load(str(tmp_path / "first"))
    texts = tf.constant([text.encode() for text in DIFFICULT])
    assert loaded.call(texts).to_list() == _define(vocab_file).make().tokenize(texts).to_list()


def test_vocabularies_that_cannot_be_used(tmp_path):
    path = tmp_path / "vocab.bin"
    path.write_bytes(pickle.dumps({"sym2idx": {"<unk>": 0}}))
    with pytest.raises(VocabularyError, match="is a pickle"):
        transformer_xl.read_transformer_xl(path)
    for content in (b"a\nb\n", b"<unk>\n\nb\n", b"<unk>\n\xff\n", b""):
        path.write_bytes(content)
        with pytest.raises(VocabularyError):
            transformer_xl.read_transformer_xl(path)
    with pytest.raises(VocabularyError):
        transformer_xl.read_transformer_xl(tmp_path / "none.txt")


def test_words_are_the_first_on_each_line_and_count_once(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"the 100\r\n<UNK> 5\r\nthe 1\r\n<unk>\r\nend")
    model = transformer_xl.read_transformer_xl(path)
    assert model.pieces == ("the", "<UNK>", "<unk>", "end")
    assert model.unknown_id == 1
    assert "the" in model.warnings[0]


def test_special_tokens_that_would_be_regular_expressions(vocab_file):
    model = transformer_xl.read_transformer_xl(vocab_file)
    with pytest.raises(ConfigurationError, match="angle brackets"):
        kinds.define(
            model,
            added_tokens=(AddedToken("[x]", len(model.pieces)),),
            special_tokens={},
            packing=PACKING,
        )
