"""Published token ids, reproduced by exported preprocessors, special tokens included."""

import json

import pytest

pytest.importorskip("tensorflow_text")
import tensorflow as tf

from hubexport import export_preprocessor
from tests.material import material

CASES = {
    "bge_small": {"vocab_file": "wordpiece/uncased_en/vocab.txt", "do_lower_case": True},
    "roberta_base": {"tokenizer": "bytebpe/roberta"},
    "gpt2": {"tokenizer": "bytebpe/gpt2"},
    "t5_small": {"sp_model_file": "sentencepiece/t5/t5_tokenizer_base.model", "model_type": "t5"},
}


@pytest.mark.parametrize("name", CASES)
def test_multilingual_conformance(name, tmp_path):
    """83 texts in many scripts, tokenized by transformers 4.57: huggingface/swift-transformers."""
    folder = material("goldens/MultilingualConformance")
    texts = {
        entry["id"]: entry["text"] for entry in json.loads((folder / "inputs.json").read_text())
    }
    golden = json.loads((folder / "baselines" / f"{name}_multilingual.json").read_text("utf-8"))
    expected = {entry["id"]: entry["input_ids"] for entry in golden["entries"]}
    assert len(expected) == len(texts) == 83

    arguments = {
        flag: material(value) if flag in ("vocab_file", "tokenizer", "sp_model_file") else value
        for flag, value in CASES[name].items()
    }
    export_preprocessor(export_path=tmp_path / "out", default_seq_length=1024, **arguments)
    preprocessor = tf.saved_model.load(str(tmp_path / "out"))
    packed = preprocessor(tf.constant([texts[key].encode() for key in expected]))
    lengths = tf.reduce_sum(packed["input_mask"], axis=1).numpy()
    rows = packed["input_word_ids"].numpy().tolist()
    found = {key: row[:n] for key, row, n in zip(expected, rows, lengths, strict=True)}
    assert found == expected


@pytest.mark.parametrize(
    ("name", "file"), [("gpt2", "openai-community__gpt2"), ("t5_small", "google-t5__t5-small")]
)
def test_detokenize(name, file, tmp_path):
    """Ids back to text, special tokens included; T5's goldens had their spaces cleaned up."""
    folder = material("goldens/MultilingualConformance")
    golden = json.loads((folder / "baselines" / f"{file}.json").read_text("utf-8"))["entries"]
    arguments = {
        flag: value if flag == "model_type" else material(value)
        for flag, value in CASES[name].items()
    }
    export_preprocessor(export_path=tmp_path / "out", **arguments)
    preprocessor = tf.saved_model.load(str(tmp_path / "out"))
    ids = tf.ragged.constant([entry["input_ids"] for entry in golden.values()], tf.int32)
    found = [text.decode() for text in preprocessor.detokenize(ids).numpy()]
    expected = [entry["decoded_with_special"] for entry in golden.values()]
    differences = [(a, b) for a, b in zip(found, expected, strict=True) if a != b]
    assert len(differences) <= (name == "t5_small")
    assert [a.replace(" ", "") for a in found] == [b.replace(" ", "") for b in expected]
