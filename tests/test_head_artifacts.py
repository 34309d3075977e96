"""Heads as their users meet them: called, served and trained in a process without hubexport."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.saved_model.reading import read_saved_model
from tests.oracles import compare, inputs
from tests.test_encoder_artifact import use
from tests.tiers import examples

LABELS = {0: "négatif", 1: "neutre", 2: "positif"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A head, and the artifact that it is of.

    Attributes:
      class_name: of transformers.
      head: of the artifact.
      own: layers of variables that are the head's own.
      config: of the model.
      keras: the output that a model of tf_keras is trained with.
      pooler: as `export_encoder` takes it.
    """

    class_name: str
    head: str
    own: tuple[str, ...]
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    keras: str | None = None
    pooler: str | None = None


POOLER = ("pooler/dense/bias", "pooler/dense/kernel")
OUTPUT = ("output_bias", "output_weights")
CASES = {
    "roberta_classifier": Case(
        "RobertaForSequenceClassification", "classifier", (*OUTPUT, *POOLER),
        {"id2label": LABELS}, "classifier_logits",
    ),
    "bert_classifier": Case("BertForSequenceClassification", "classifier", OUTPUT),
    "distilbert_token_classifier": Case(
        "DistilBertForTokenClassification", "token_classifier", OUTPUT, {"id2label": LABELS}
    ),
    "bert_qa": Case("BertForQuestionAnswering", "qa", OUTPUT, pooler="mean"),
    "camembert_multiple_choice": Case(
        "CamembertForMultipleChoice", "multiple_choice", (*OUTPUT, *POOLER),
        keras="choice_logits",
    ),
}  # fmt: skip


ALWAYS = ("roberta_classifier", "distilbert_token_classifier")
every_case = pytest.mark.parametrize("name", examples(CASES, ALWAYS))


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], SimpleNamespace]:
    """Gives what a fresh process saw of those that are always run, or of the others."""
    return functools.cache(
        lambda always: _use([name for name in CASES if (name in ALWAYS) == always],
                            tmp_path_factory.mktemp("heads"))
    )  # fmt: skip


@pytest.fixture
def used(name: str, users: Callable[[bool], SimpleNamespace]) -> SimpleNamespace:
    return users(name in ALWAYS)


def _use(names: Iterable[str], work: Path) -> SimpleNamespace:
    """What one fresh process saw of artifacts, their records, and what is expected of them."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import families, saving

    records, expected, wanted = {}, {}, []
    for name in names:
        case = CASES[name]
        model = families.build(case.class_name, **case.config)
        (work / "models" / name).mkdir(parents=True)
        records[name] = hubexport.export_encoder(
            checkpoint=saving.save_safetensors(model, work / "models" / name),
            export_path=work / name,
            pooler=case.pooler,
        )
        c = model.config
        types = c.type_vocab_size if name.startswith("bert") else 2
        batch = inputs.kinds(c.vocab_size, 12, c.pad_token_id, types)["padded right"]
        if case.head == "multiple_choice":
            batch = inputs.choices(batch, 2)
        expected[name] = families.expected_outputs(model, batch)
        given = {key: batch[key] for key in compare.ENCODER_INPUTS}
        np.savez(work / f"{name}.inputs.npz", **given)
        wanted.append({"name": name, "head": case.head, "keras": case.keras})
    (work / "heads.json").write_text(json.dumps(wanted))
    seen = vars(use("heads", work))
    return SimpleNamespace(work=work, records=records, expected=expected, seen=seen)


@every_case
def test_outputs(name: str, used: SimpleNamespace) -> None:
    expected, seen = used.expected[name], used.seen[name]
    with np.load(used.work / f"{name}.outputs.npz") as file:
        found = {key: file[key] for key in file.files}
    entry = used.records[name]["heads"][CASES[name].head]
    assert seen["own_outputs"] == sorted(entry["outputs"])
    layers = {f"encoder_outputs[{i}]": layer for i, layer in enumerate(expected["encoder_outputs"])}
    for key in ("sequence_output", *entry["outputs"], *layers):
        value = {**expected, **layers}[key]
        if key not in entry["outputs"] and CASES[name].head == "multiple_choice":
            value = value.reshape(2, 2, *value.shape[1:])
        np.testing.assert_allclose(found[key], value, atol=compare.TOLERANCE, err_msg=key)
    assert seen["signature_same"] < 1e-6
    assert seen["inference_repeats"] == 0


@every_case
def test_interface_is_what_the_record_says(name: str, used: SimpleNamespace) -> None:
    head, seen = CASES[name].head, used.seen[name]
    entry = used.records[name]["heads"][head]
    shapes = {key: [None] * len(entry["lead"]) for key in compare.ENCODER_INPUTS}
    shapes |= {key: [None] * len(value["shape"]) for key, value in entry["inputs"].items()}
    assert seen["signature_inputs"] == shapes
    signature = read_saved_model(used.work / name).record()["signatures"][head]
    assert sorted(signature["outputs"]) == sorted(entry["outputs"])
    sizes = {"B": 1, "S": 3, "C": 2}
    (smaller,) = seen["other_sizes"]
    assert smaller == {
        key: [sizes.get(axis, axis) for axis in value["shape"]]
        for key, value in entry["outputs"].items()
    }


@every_case
def test_int64_inputs_give_the_same(name: str, used: SimpleNamespace) -> None:
    assert used.seen[name]["int64"] == [0, 0]


@every_case
def test_training(name: str, used: SimpleNamespace) -> None:
    """Dropout is active, and every variable, the encoder's and the head's, has a gradient."""
    seen, case = used.seen[name], CASES[name]
    assert seen["dropout_differs"]
    assert seen["missing_gradients"] == []
    assert seen["holds_encoder"]
    scope = f"cls/{case.head}"
    assert seen["own_variables"] == sorted(f"{scope}/{own}:0" for own in case.own)
    sizes = {row["variable"]: int(np.prod(row["shape"])) for row in used.records[name]["tensors"]}
    parameters = sum(sizes[f"{scope}/{own}"] for own in case.own)
    assert used.records[name]["heads"][case.head]["num_parameters"] == parameters


@every_case
def test_labels_travel_along(name: str, used: SimpleNamespace) -> None:
    declared = list(CASES[name].config.get("id2label", {}).values()) or None
    assert used.seen[name]["labels"] == declared
    assert used.records[name]["heads"][CASES[name].head]["labels"] == declared


@pytest.mark.parametrize(
    "name", examples([name for name, case in CASES.items() if case.keras], ALWAYS[:1])
)
def test_keras_layer_trains(name: str, used: SimpleNamespace) -> None:
    seen = used.seen[name]["keras"]
    assert seen["loss"][-1] < seen["loss"][0] / 2
    assert seen["unmoved"] == []
    assert seen["weights"] == len(used.records[name]["tensors"])
