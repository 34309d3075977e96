"""Text through an exported preprocessor and an exported encoder, against transformers' pipeline."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from hubexport.validation.artifact import LoadedEncoder  # noqa: E402
from hubexport.validation.cases import Case  # noqa: E402
from hubexport.validation.context import Context  # noqa: E402
from hubexport.validation.gates import end_to_end  # noqa: E402
from hubexport.validation.reference_file import (  # noqa: E402
    Provenance,
    Reference,
    read_reference,
    write_reference,
)
from tests.artifacts import export_encoder, export_preprocessor  # noqa: E402
from tests.oracles import hugging_face  # noqa: E402
from tests.validation.gates import published  # noqa: E402
from tests.validation.gates.contexts import context, failed  # noqa: E402
from tests.validation.gates.test_preprocessor import PAIRS, TEXTS, bert, vocabulary  # noqa: E402

POSITIONS = 40
LENGTH = 32


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`encoder` and `preprocessor`; and as published, one that keeps case, or exchanges types."""
    work = tmp_path_factory.mktemp("pipeline")
    vocab_file = vocabulary(work / "vocab.txt")
    size = len(vocab_file.read_text("utf-8").splitlines())
    model = hugging_face.build(
        "BertForPreTraining",
        vocab_size=size,
        max_position_embeddings=POSITIONS,
        type_vocab_size=2,
    )
    (work / "checkpoint").mkdir()
    hugging_face.save_safetensors(model, work / "checkpoint")
    export_encoder(checkpoint=work / "checkpoint", export_path=work / "encoder")
    export_preprocessor(
        export_path=work / "preprocessor",
        vocab_file=vocab_file,
        do_lower_case=True,
        default_seq_length=24,
        truncation="longest_first",
    )
    pieces = published.WordPieces(vocab_file)
    published.Published(pieces).save(work / "published")
    published.SwappedTypes(pieces).save(work / "swapped")
    published.Published(published.WordPieces(vocab_file, lower_case=False)).save(work / "cased")
    return work


@pytest.fixture(scope="module")
def reference(work: Path) -> Reference:
    """What transformers and torch make of the texts and the pairs."""
    model = transformers.BertForPreTraining.from_pretrained(
        work / "checkpoint", attn_implementation="eager"
    ).eval()
    tokenizer = bert(work)
    cases, outputs = [], {}
    for name, texts in (("texts", [[text] for text in TEXTS]), ("text_pairs", PAIRS)):
        encoded = tokenizer(
            *([list(column) for column in zip(*texts, strict=True)]),
            padding="max_length",
            truncation=True,
            max_length=LENGTH,
            return_tensors="pt",
        )
        inputs = {
            "input_word_ids": encoded["input_ids"],
            "input_mask": encoded["attention_mask"],
            "input_type_ids": encoded["token_type_ids"],
        }
        arrays = {key: value.numpy().astype(np.int32) for key, value in inputs.items()}
        cases.append(Case(name, arrays, [list(each) for each in texts]))
        with torch.no_grad():
            body = model.bert(**encoded, output_hidden_states=True)
            nsp = model(**encoded).seq_relationship_logits
        outputs[name] = {
            **{f"encoder_outputs[{i}]": h.numpy() for i, h in enumerate(body.hidden_states[1:])},
            "sequence_output": body.last_hidden_state.numpy(),
            "pooled_output": body.pooler_output.numpy(),
            "nsp_logits": nsp.numpy(),
        }
    provenance = Provenance("transformers", "a test", [], {})
    write_reference(work / "reference", provenance, cases, outputs)
    return read_reference(work / "reference")


def with_encoder(work: Path, preprocessor: Path, **options: Any) -> Context:
    """A validation of both, whose encoder is loaded once for all."""
    given = context(work / "encoder", preprocessor, **options)
    given.__dict__["encoder"] = _loaded(work / "encoder")
    return given


@functools.cache
def _loaded(encoder: Path) -> LoadedEncoder:
    return context(encoder).encoder


def run(work: Path, preprocessor: str = "preprocessor", **options: Any) -> Any:
    return end_to_end.run(with_encoder(work, work / preprocessor, **options))


def test_the_pipeline_is_that_of_transformers(work: Path, reference: Reference) -> None:
    result = run(work, reference=reference)
    assert not failed(result)
    measured = {each.what for each in result.measurements}
    for name in ("encoder_outputs[1]", "sequence_output", "pooled_output", "default", "nsp_logits"):
        assert f"text_pairs: {name}, relative Frobenius" in measured
    assert "in one tf.function: encoder_outputs[1], relative Frobenius" in measured


def test_without_a_reference_the_two_are_run_together(work: Path) -> None:
    result = run(work)
    assert not failed(result)
    assert "no reference with texts" in result.detail


def test_wrong_casing_is_found(work: Path, reference: Reference) -> None:
    wrong = failed(run(work, "cased", reference=reference))
    assert "texts: sequence_output, relative Frobenius" in wrong
    assert all(each.startswith(("texts:", "text_pairs:")) for each in wrong)


def test_swapped_types_are_found_in_pairs_alone(work: Path, reference: Reference) -> None:
    wrong = failed(run(work, "swapped", reference=reference))
    assert "text_pairs: pooled_output, relative Frobenius" in wrong
    assert not any(each.startswith("texts:") for each in wrong)


def test_pairs_that_are_cut_otherwise_are_left_out(work: Path, reference: Reference) -> None:
    result = run(work, "published", reference=reference)
    assert not failed(result)
    assert "text_pairs: 1 pairs cut otherwise are left out" in result.detail


def test_an_encoder_with_fewer_pieces_does_not_fit(work: Path) -> None:
    class Larger(published.Published):
        def special(self) -> dict[str, Any]:
            return {**super().special(), "vocab_size": tf.constant(1000)}

    Larger().save(work / "larger")
    assert failed(run(work, "larger")) == {
        "the preprocessor's vocab_size, of the encoder's word embeddings"
    }


def test_a_default_length_beyond_the_positions_does_not_fit(work: Path) -> None:
    class Longer(published.Published):
        default = POSITIONS + 1

    Longer().save(work / "longer")
    result = run(work, "longer")
    assert "the preprocessor's default length, of the encoder's positions" in failed(result)
    # The rest is looked at all the same.
    assert "two texts: shapes" in {each.what for each in result.measurements}


def test_types_that_the_encoder_lacks_do_not_fit(work: Path) -> None:
    given = with_encoder(work, work / "preprocessor")
    given.__dict__["sizes"] = {**copy.copy(given.sizes), "type_vocab_size": 1}
    assert failed(end_to_end.run(given)) == {"input_type_ids, of the encoder's types"}


def test_types_that_the_encoder_ignores_fit(work: Path) -> None:
    """A preprocessor of pairs is of use to an encoder of single texts, too."""
    given = with_encoder(work, work / "preprocessor")
    given.__dict__["sizes"] = {**given.sizes, "type_vocab_size": 1}
    conventions = {**given.conventions, "ignored_inputs": ["input_type_ids"]}
    given.record = {**(given.record or {}), "conventions": conventions}
    result = end_to_end.run(given)
    assert not failed(result)
    assert "input_type_ids, of the encoder's types" not in {e.what for e in result.measurements}


def of_any_side(work: Path, preprocessor: Path, pad_token_id: int) -> Any:
    """`run` with a record that takes padding on both sides, its tokens told from padding by id."""
    given = with_encoder(work, preprocessor)
    assert given.record is not None
    given.record = {
        **given.record,
        "architecture": {**given.record["architecture"], "pad_token_id": pad_token_id},
        "conventions": {**given.conventions, "padding_side": "any"},
    }
    return end_to_end.run(given)


def test_padding_on_the_left_does_not_fit_every_encoder(work: Path) -> None:
    class OnTheLeft(published.Published):
        def pack(self, inputs: Any, seq_length: Any) -> dict[str, Any]:
            packed = super().pack(inputs, seq_length)
            mask = packed["input_mask"]
            absent = tf.reduce_sum(1 - mask, axis=1, keepdims=True)
            index = (tf.range(tf.shape(mask)[1])[tf.newaxis] - absent) % tf.shape(mask)[1]
            return {key: tf.gather(value, index, batch_dims=1) for key, value in packed.items()}

    OnTheLeft().save(work / "left")
    assert failed(run(work, "left")) == {
        "the side that the preprocessor pads on, of those that the encoder takes"
    }
    assert not failed(of_any_side(work, work / "left", published.PADDING))


def test_another_padding_id_does_not_fit_where_it_counts(work: Path) -> None:
    published.Published().save(work / "words")
    assert not failed(of_any_side(work, work / "words", published.PADDING))
    assert failed(of_any_side(work, work / "words", published.PADDING + 1)) == {
        "the preprocessor's padding_id, by which the encoder counts positions"
    }


def test_a_preprocessor_that_fails_raises_nothing(work: Path) -> None:
    published.Fails().save(work / "fails")
    result = run(work, "fails")
    assert failed(result) == {"sizes", "one text", "two texts"}
    assert all("Input to reshape" in str(each.figure) for each in result.failures)
