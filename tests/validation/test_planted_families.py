"""What RoBERTa, DistilBERT and fine-tuned heads add to BERT, done wrong: each fault is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.validation.gates import batch, determinism, numerics
from tests.validation.faults import (
    Values,
    changed_values,
    failing,
    failures,
    judged,
    validated,
)
from tests.validation.made import Made, Patch, Plant

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.oracles import fairseq, families

LABELS = {0: "against", 1: "neither", 2: "for"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Classes of transformers; `fairseq` is a RobertaForMaskedLM in the files of its first
    releases."""

    def write(name: str, path: Path) -> Path | None:
        if name == "fairseq":
            model = fairseq.build("RobertaForMaskedLM")
            path.mkdir()
            return fairseq.write_checkpoint(path / "model.pt", model, layout="old")
        declared = {"id2label": LABELS} if name.endswith("ForSequenceClassification") else {}
        families.build(name, **declared).save_pretrained(path)
        return None

    return Made(tmp_path_factory, write)


def positions_replaced(numbers: Callable[[Any, Any], Any]) -> Plant:
    """Rows of the table of positions as `numbers` has them, int32 [B, S] of ids and mask."""

    def plant(patch: Patch) -> None:
        import tensorflow as tf

        from hubexport.networks.embeddings import PaddedPositionEmbeddings

        def positions(self: Any, inputs: Any, state: Any) -> Any:
            ids = inputs["input_word_ids"]
            table = self.first_positions(tf.shape(ids)[1] + 1)
            return tf.gather(table, numbers(ids, inputs["input_mask"]))

        patch.setattr(PaddedPositionEmbeddings, "positions", positions)

    return plant


PAD = families.ROBERTA_SIZES["pad_token_id"]


def counted(is_token: Any) -> Any:
    """As fairseq's make_positions."""
    import tensorflow as tf

    ones = tf.cast(is_token, tf.int32)
    return tf.cumsum(ones, axis=1) * ones


def absolute(ids: Any, mask: Any) -> Any:
    import tensorflow as tf

    return 0 * ids + tf.range(1, tf.shape(ids)[1] + 1)


def from_the_mask(ids: Any, mask: Any) -> Any:
    return counted(mask)


def from_padding_on(ids: Any, mask: Any) -> Any:
    """The first token gets padding's row, the others those of the tokens before them."""
    import tensorflow as tf

    return tf.nn.relu(counted(ids != PAD) - 1)


def types_of_the_input(patch: Patch) -> None:
    from hubexport.networks.embeddings import BertEmbeddings, PaddedPositionEmbeddings

    patch.setattr(PaddedPositionEmbeddings, "types", BertEmbeddings.types)


def slices_exchanged(patch: Patch) -> None:
    """Of [3 H, H] the first third for the keys and the second for the queries."""
    from hubexport.families import roberta

    old, hidden_size = roberta.Rows, families.SIZES["hidden_size"]
    exchanged = {0: hidden_size, hidden_size: 0}

    def rows(start: int, of: int, *reason: str) -> Any:
        return old(exchanged.get(start, start) if of == 3 * hidden_size else start, of, *reason)

    patch.setattr(roberta, "Rows", rows)


def untied(patch: Patch) -> None:
    """The output layer has a copy of the table, as it was a step of training before."""
    from hubexport.networks import heads

    old = heads.tied_logits
    patch.setattr(heads, "tied_logits", lambda rows, table: old(rows, 1.001 * table))


def pre_classifier(activation: Callable[[Any], Any]) -> Plant:
    def plant(patch: Patch) -> None:
        from hubexport.networks.pooling import TokenDense

        old = TokenDense.__init__

        def init(self: Any, *arguments: Any) -> None:
            old(self, *arguments)
            self.activation = activation

        patch.setattr(TokenDense, "__init__", init)

    return plant


def tanh(x: Any) -> Any:
    import tensorflow as tf

    return tf.tanh(x)


def start_and_end_exchanged(patch: Patch) -> None:
    from hubexport.networks.heads import SpanClassifier

    old = SpanClassifier.__call__
    patch.setattr(SpanClassifier, "__call__", lambda self, *given: old(self, *given)[::-1])


def choices_mixed(patch: Patch) -> None:
    """The encoder's rows are in the order of [C, B], and taken for those of [B, C]."""
    import tensorflow as tf

    from hubexport.saved_model import reusable

    old = reusable._rows
    patch.setattr(reusable, "_rows", lambda value: old(tf.transpose(value, [1, 0, 2])))


def labels_reversed(patch: Patch) -> None:
    from hubexport.saved_model import reusable

    old = reusable.TrackableConstant
    patch.setattr(reusable, "TrackableConstant", lambda value, fn: old(value[::-1], fn))


PLANTED: dict[str, tuple[str, tuple[Plant, ...], set[str], tuple[str, ...]]] = {
    "padding's row for tokens": (
        "RobertaModel", (positions_replaced(from_padding_on),), {"numerics"}, ("position offset",)
    ),
    "positions from the mask": (
        "RobertaModel", (positions_replaced(from_the_mask),), {"numerics"},
        ("encoder_outputs[0]",),
    ),
    "absolute positions": (
        "RobertaModel", (positions_replaced(absolute),), {"numerics", "batch"},
        ("padded on the left",),
    ),
    "types of the input": (
        "RobertaModel", (types_of_the_input,), {"interface"}, ("input_type_ids",)
    ),
    "slices of q and k exchanged": (
        "fairseq", (slices_exchanged,), {"numerics"}, ("queries and keys exchanged",)
    ),
    "untied decoder": (
        "RobertaForMaskedLM", (untied,), {"numerics"}, ("word embeddings not tied",)
    ),
    "no ReLU": (
        "DistilBertForSequenceClassification", (pre_classifier(lambda x: x),), {"numerics"},
        ("All layers agree; classifier_logits does not. Usual causes: the head reads",),
    ),
    "tanh for ReLU, labels reversed": (
        "DistilBertForSequenceClassification", (pre_classifier(tanh), labels_reversed),
        {"numerics", "interface"},
        ("All layers agree; classifier_logits does not. Usual causes: the head reads",
         ".classifier.labels"),
    ),
    "start and end exchanged": (
        "DistilBertForQuestionAnswering", (start_and_end_exchanged,), {"numerics"},
        ("All layers agree; end_logits, start_logits do not. "
         "Usual causes: start and end exchanged",),
    ),
    "choices mixed with the batch": (
        "BertForMultipleChoice", (choices_mixed,), {"interface"}, ("choice_logits of choices",)
    ),
}  # fmt: skip
"""Fault -> checkpoint, what is planted, the gates that fail, and what any of them says."""


@pytest.mark.parametrize("fault", PLANTED)
def test_faults_of_the_network(fault: str, made: Made, tmp_path: Path, monkeypatch: Patch) -> None:
    name, plants, expected, said = PLANTED[fault]
    gates = ("interface", "numerics", "batch")
    if "interface" in expected:
        of = made(name)
        with monkeypatch.context() as patch:
            for plant in plants:
                plant(patch)
            hubexport.export_encoder(checkpoint=of.checkpoint, export_path=tmp_path / "encoder")
        report = validated(tmp_path / "encoder", of.reference, gates)
    else:
        report = made.wrong(name, gates[1:], monkeypatch, *plants)
    assert failing(report) == expected
    found = "\n".join(failures(report, gate) for gate in expected)
    assert [each for each in said if each not in found] == []


def off_by_two(values: Values) -> None:
    """As if positions were counted from 0 and not from behind padding's id."""
    name = "embeddings/position_embeddings"
    values[name] = np.roll(values[name], 2, axis=0)


def classes_reversed(values: Values) -> None:
    for name in ("cls/classifier/output_weights", "cls/classifier/output_bias"):
        values[name] = values[name][::-1]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("RobertaModel", off_by_two, "position offset"),
        (
            "DistilBertForSequenceClassification",
            classes_reversed,
            "All layers agree; classifier_logits does not. Usual causes: the head reads",
        ),
    ],
    ids=["positions off by two", "classes reversed"],
)
def test_wrong_values(name: str, change: Callable[[Values], None], said: str, made: Made) -> None:
    given = made.exported(name)
    with changed_values(given.encoder, change):
        report = judged(given, numerics, batch, determinism)
    assert failing(report) == {"numerics"}
    assert said in failures(report, "numerics")
