"""Pages of exports that are not the usual one: what a page says must be so for them, too."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.formats import FORMATS
from hubexport.cards.schema import Model
from tests.cards.rendering.exported import Artifacts, artifacts_for, fitted
from tests.cards.rendering.programs import ADDRESSES

BERT = "tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2"
PREPROCESSOR = "tensorflow/bert_en_uncased_preprocess"
Change = Callable[[dict[str, Any]], object]


def nothing(record: dict[str, Any]) -> None:
    """Leaves the record as it is."""


@pytest.fixture
def page(artifacts: Artifacts, catalogue: Catalogue) -> Callable[..., str]:
    """The text of a page on one line: of an artifact, or of its record with a change."""

    def render(name: str, change: Change = nothing, beside: Mapping[str, Any] | None = None) -> str:
        record = copy.deepcopy(artifacts[name].record)
        change(record)
        cards: list[Model] = [*catalogue.encoders.values(), *catalogue.preprocessors.values()]
        card = fitted(next(each for each in cards if name in artifacts_for(each)), record)
        known = {
            handle: dataclasses.replace(each, vocab_size=None)
            for handle, each in catalogue.preprocessors.items()
        }
        records = {card.handle: record}
        if beside is not None:
            records[card.preprocessor] = dict(beside)
        files = FORMATS["tfhub"].page(
            card, dataclasses.replace(catalogue, preprocessors=known), records, ADDRESSES
        )
        return " ".join(next(iter(files.values())).split())

    return render


def without_mask(record: dict[str, Any]) -> None:
    del record["tokenizer"]["special_tokens"]["mask_id"]


class TestMask:
    """A vocabulary need not have a mask token."""

    def test_preprocessor(self, page: Callable[..., str]) -> None:
        usual = page("wordpiece bert uncased")
        assert 'special_tokens["mask_id"]' in usual and "no mask token" not in usual
        text = page("wordpiece bert uncased", without_mask)
        assert "The vocabulary has no mask token." in text
        assert "mask_id" not in text and "[MASK]" not in text

    @pytest.mark.exhaustive
    def test_gpt2(self, page: Callable[..., str]) -> None:
        text = page("byte_level_bpe gpt2 cased")
        assert "The vocabulary has no mask token." in text and "mask_id" not in text

    HOW = "says how to get the id of the mask token"

    def test_encoder_without_a_vocabulary(
        self, page: Callable[..., str], artifacts: Artifacts
    ) -> None:
        """Its preprocessor's record tells, where that is rendered with it."""

        def change(record: dict[str, Any]) -> None:
            record["tokenizer"] = None

        assert f"{self.HOW}, if the vocabulary has one, and more." in page("bert tf1", change)
        beside = copy.deepcopy(artifacts["wordpiece bert uncased"].record)
        assert f"{self.HOW}, and more." in page("bert tf1", change, beside)
        without_mask(beside)
        text = page("bert tf1", change, beside)
        assert "The vocabulary has no mask token" in text and self.HOW not in text
        assert 'mlm_outputs["mlm_logits"]' in text

    def test_encoder_whose_own_record_tells(self, page: Callable[..., str]) -> None:
        def change(record: dict[str, Any]) -> None:
            record["tokenizer"]["special_tokens"] = {"padding_id": {"piece": "[PAD]", "id": 0}}

        text = page("bert tf1", change)
        assert "The vocabulary has no mask token" in text and self.HOW not in text


EXAMPLES = ("wordpiece bert uncased", "sentencepiece xlnet cased")
"""Preprocessors that differ in all that is looked at; the others' artifacts take long to make."""


def examples(names: Iterable[str]) -> list[Any]:
    """All of these, of which `make test` takes the examples."""
    rest = pytest.mark.exhaustive
    return [name if name in EXAMPLES else pytest.param(name, marks=rest) for name in names]


PACKED = {
    "wordpiece bert uncased": (
        "`[CLS]` text `[SEP]`", "`[CLS]` first `[SEP]` second `[SEP]`",
        "0 for the first text, 1 for the second", "right: `[PAD]`",
    ),
    "byte_level_bpe gpt2 cased": (
        "text", "first second", "0 for the first text, 1 for the second",
        "right: `<|endoftext|>`",
    ),
    "sentencepiece xlm-roberta cased": (
        "`<s>` text `</s>`", "`<s>` first `</s>` `</s>` second `</s>`", "0 for all tokens",
        "right: `<pad>`",
    ),
    "byte_level_bpe roberta cased": (
        "`<s>` text `</s>`", "`<s>` first `</s>` `</s>` second `</s>`", "0 for all tokens",
        "right: `<pad>`",
    ),
    "sentencepiece xlnet cased": (
        "text `<sep>` `<cls>`", "first `<sep>` second `<sep>` `<cls>`",
        "0 for the first text, 1 for the second; 2 for `<cls>`; 3 for padding", "left: `<pad>`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", examples(PACKED))
def test_packing_is_what_the_artifact_does(
    name: str, page: Callable[..., str], artifacts: Artifacts
) -> None:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  has the ops

    text, (one, two, types, padding) = page(name), PACKED[name]
    assert f"| one text | {one} | | two texts | {two} |" in text
    assert f"| `input_type_ids` | {types} |" in text
    assert f"Padding is on the {padding}." in text
    assert ("with special tokens as below" in text) == ("`" in one)
    made = artifacts[name]
    recorded = made.record["tokenizer"]["special_tokens"].values()
    special = {each["piece"]: each["id"] for each in recorded}
    loaded = tf.saved_model.load(str(made.path))
    first, second = (loaded.tokenize(tf.constant([each])) for each in ("the", "a sentence"))
    ids = [list(each.flat_values.numpy()) for each in (first, second)]
    wanted: list[int] = []
    for place in two.split():
        wanted += [special[place.strip("`")]] if "`" in place else ids[place == "second"]
    packed = loaded.bert_pack_inputs([first, second], seq_length=60)
    kept = packed["input_mask"].numpy()[0] == 1
    np.testing.assert_array_equal(packed["input_word_ids"].numpy()[0][kept], wanted)
    side, piece = padding.replace("`", "").split(": ")
    assert kept[0] == (side == "right")
    assert set(packed["input_word_ids"].numpy()[0][~kept]) == {special[piece]}
    found = set(packed["input_type_ids"].numpy().flat)
    assert found == set(map(int, re.findall(r"\d", re.sub("`.*?`", "", types))))


STRIPPED = "it is lower-cased before it is split into pieces, and accents are stripped."
ACCENTS = {
    "wordpiece bert uncased": STRIPPED,
    "wordpiece bert cased": "capitals and accents are kept.",
    "bpe openai-gpt uncased": STRIPPED,
    "sentencepiece xlnet cased": "capitals are kept, and accents are stripped.",
    "transformer_xl transfo-xl cased": "capitals are kept.",
    "byte_level_bpe gpt2 cased": "capitals are kept.",
}


@pytest.mark.parametrize("name", examples(ACCENTS))
def test_casing_is_what_the_artifact_does(
    name: str, page: Callable[..., str], artifacts: Artifacts
) -> None:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  has the ops

    text, said = page(name), ACCENTS[name]
    assert said in text
    loaded = tf.saved_model.load(str(artifacts[name].path))

    def same(one: str, other: str) -> bool:
        ids = [loaded.tokenize(tf.constant([each])).flat_values for each in (one, other)]
        return bool(np.array_equal(*ids))

    letter = "a" if "bert" in name or "gpt" in name else "e"
    if "lower-cased" in said:
        assert same(letter.upper(), letter)
    if "accents are stripped" in said:
        assert same(letter + "\u0301", letter)


@pytest.mark.parametrize(
    "name", examples((*EXAMPLES, "byte_level_bpe gpt2 cased", "xlm xlm uncased"))
)
def test_words_are_those_of_the_tokenizer(
    name: str, page: Callable[..., str], artifacts: Artifacts
) -> None:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  has the ops

    loaded = tf.saved_model.load(str(artifacts[name].path))
    rank = loaded.tokenize(tf.constant(["the"])).ragged_rank
    shape = "[batch_size, (words), (pieces)]" if rank == 2 else "[batch_size, (pieces)]"
    assert f"# RaggedTensor, {shape}" in page(name)


class TestStoredNarrow:
    """--variable_dtype=bfloat16 rounds weights, and is for inference."""

    def test_page(self, page: Callable[..., str]) -> None:
        text = page("bert tf1, stored in bfloat16")
        assert "In this SavedModel, those of dense layers are rounded to bfloat16." in text
        assert "| Stores dense layers in | bfloat16 |" in text
        assert "<!-- fine-tunable: false -->" in text
        assert "It is for inference" in text
        for word in ("trainable=True", "trainable subobject", "classifier.fit", "can be continued"):
            assert word not in text, word
        assert "All parameters of this SavedModel are trainable" not in text

    def test_usual(self, page: Callable[..., str]) -> None:
        text = page("bert tf1")
        assert "rounded to" not in text and "Stores dense" not in text
        assert text.count("trainable=True") == 4 and "classifier.fit" in text


def test_one_segment_type_and_one_layer(page: Callable[..., str]) -> None:
    text, usual = page("bert tf1, one segment type"), page("bert tf1")
    assert "This encoder has a single segment type" in text
    assert "`input_type_ids` of a second segment" not in text
    assert 'tf.zeros_like(pair_inputs["input_type_ids"])' in text
    assert "last_two" not in text and "assert len(encoder_outputs) == 1" in text
    assert "single segment type" not in usual and "`input_type_ids` of a second segment" in usual
    assert "last_two" in usual


def test_short_sequences(page: Callable[..., str]) -> None:
    def change(record: dict[str, Any]) -> None:
        record["architecture"]["max_position_embeddings"] = 24

    text = page("bert tf1", change)
    assert "at most 24 tokens" in text and "`--default_seq_length=24` or less" in text
    assert "arguments=dict(seq_length=24)" in text and "seq_length=64" not in text
    assert "at most 128 tokens" not in page("bert tf1")


def test_values_that_the_export_was_told(page: Callable[..., str]) -> None:
    def change(record: dict[str, Any]) -> None:
        record["overrides"] = {"hidden_act": "relu", "layer_norm_eps": 0.0, "dtype": "float32"}
        record["architecture"] |= {"hidden_act": "relu", "layer_norm_eps": 0.0}

    text = page("bert tf1", change)
    assert "The export overrode `hidden_act` and `layer_norm_eps`;" in text
    assert "| Activation | ReLU |" in text and "| Epsilon of layer norms | 0 |" in text
    assert "The export overrode" not in page("bert tf1")


def test_loss_scaling(page: Callable[..., str]) -> None:
    def change(record: dict[str, Any]) -> None:
        record["architecture"]["dtype"] = "float16"

    assert "float16, in which fine-tuning needs loss scaling" in page("bert tf1", change)
    assert "loss scaling" not in page("bert tf1")


def test_a_head_that_is_not_trainable(page: Callable[..., str]) -> None:
    def change(record: dict[str, Any]) -> None:
        record["saved_model"]["sub_objects"]["mlm"]["trainable_variables"] -= 1

    assert "All parameters of this SavedModel are trainable" in page("bert tf1")
    assert "All parameters of this SavedModel are trainable" not in page("bert tf1", change)


def test_ops_that_a_preprocessor_does_not_need(page: Callable[..., str]) -> None:
    def change(record: dict[str, Any]) -> None:
        record["saved_model"]["required_ops"] = {}

    assert "It needs `tensorflow_text`" in page("wordpiece bert uncased")
    assert "tensorflow_text" not in page("wordpiece bert uncased", change)


def test_width_of_an_embedding_of_two_poolings(page: Callable[..., str]) -> None:
    def change(record: dict[str, Any]) -> None:
        outputs = record["saved_model"]["signatures"]["serving_default"]["outputs"]
        outputs["pooled_output"]["shape"][-1] = 32

    assert 'outputs["pooled_output"] # [batch_size, 32]' in page("bert tf1", change)
    assert 'outputs["sequence_output"] # [batch_size, seq_length, 16]' in page("bert tf1", change)
