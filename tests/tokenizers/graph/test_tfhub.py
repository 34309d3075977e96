"""--normalization=tfhub: ids of real texts, against the stock ops of published preprocessors."""

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
text = pytest.importorskip("tensorflow_text")
from hubexport.tokenizers.sentencepiece.model import read_sentencepiece  # noqa: E402
from hubexport.tokenizers.tfhub.graph_sentencepiece import TFHubSentencePiece  # noqa: E402
from hubexport.tokenizers.tfhub.graph_wordpiece import TFHubWordPiece  # noqa: E402
from hubexport.tokenizers.wordpiece.vocabulary import read_wordpiece  # noqa: E402
from tests.material import material  # noqa: E402


@pytest.mark.parametrize(
    ("vocabulary", "lower_case"),
    [
        ("uncased_en", True),
        ("cased_en", False),
        pytest.param("multi_cased", False, marks=pytest.mark.exhaustive),
        pytest.param("chinese", True, marks=pytest.mark.exhaustive),
    ],
)
def test_wordpiece(vocabulary, lower_case):
    """Against tensorflow_text's BertTokenizer, which is what Model Garden's preprocessors run."""
    path = material(f"wordpiece/{vocabulary}/vocab.txt")
    inputs = real_texts()
    reference = text.BertTokenizer(str(path), lower_case=lower_case, token_out_type=tf.int32)
    tokenizer = TFHubWordPiece(read_wordpiece(path), lower_case)
    assert_same(tokenizer.tokenize(inputs), reference.tokenize(inputs))
    found, expected = (t.tokenize_with_offsets(inputs) for t in (tokenizer, reference))
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, theirs)


@pytest.mark.exhaustive  # importing Model Garden takes the time of a hundred tests
@pytest.mark.parametrize("lower_case", [True, False])
def test_sentencepiece(lower_case):
    """Against Model Garden's layer, which strips diacritics in both cases."""
    text_layers = pytest.importorskip("official.nlp.modeling.layers.text_layers")
    inputs = real_texts()
    tiny = material("sentencepiece/keras_hub_tiny/albert_test_vocab.spm")
    reference = text_layers.SentencepieceTokenizer(
        model_file_path=str(tiny), lower_case=lower_case, strip_diacritics=True
    )
    tokenizer = TFHubSentencePiece(read_sentencepiece(tiny), lower_case)
    assert_same(tokenizer.tokenize(inputs), reference(inputs))


def real_texts():
    """string [lines]: English, Japanese, Arabic, Hindi, Russian, Chinese, and naughty strings."""
    lines = material("text/blns/blns.txt").read_text("utf-8").split("\n")
    lines += material("text/en/botchan.txt").read_text("utf-8").split("\n")[:400]
    lines += material("text/ja/wagahaiwa_nekodearu.txt").read_text("utf-8").split("\n")[:150]
    for language in ("ar", "hi", "ru", "zh"):
        data = json.loads(material(f"text/xquad/xquad.{language}.json").read_text("utf-8"))
        lines += [p["context"] for article in data["data"] for p in article["paragraphs"]][:60]
    return tf.constant(lines)


def assert_same(ours, theirs):
    """Equal ragged tensors; their to_list() would take a hundred times as long."""
    np.testing.assert_array_equal(ours.flat_values, theirs.flat_values)
    for one, other in zip(ours.nested_row_splits, theirs.nested_row_splits, strict=True):
        np.testing.assert_array_equal(one, other)
