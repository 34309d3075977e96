"""Clean encoders pass every gate: of TensorFlow checkpoints, against tf-models-official."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import hubexport
from tests.artifacts import export_encoder, make_reference
from tests.validation.clean import EVERY, TRAINED, assert_clean, exported
from tests.validation.faults import FAST, failing, failures, validated

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]

POOLED = ("pooled_output", "default")
MLM = (*POOLED, "mlm_logits")
BOTH = (*MLM, "nsp_logits")


@pytest.fixture(scope="module")
def garden() -> Any:
    """`tests.oracles.model_garden`, imported when needed."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from tests.oracles import model_garden

    return model_garden


@pytest.mark.parametrize(("heads", "activation", "outputs"), [
    pytest.param(True, "gelu", BOTH, id="with heads"),
    pytest.param(True, "relu", BOTH, id="relu", marks=pytest.mark.exhaustive),
    pytest.param(False, "gelu", POOLED, id="without heads", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_tf1(
    heads: bool, activation: str, outputs: tuple[str, ...], garden: Any, tmp_path: Path
) -> None:
    sizes = garden.Sizes(activation=activation)
    prefix = tmp_path / "bert_model.ckpt"
    garden.write_tf1_checkpoint(sizes, prefix, heads=heads)
    garden.write_configuration("bert_config.json", sizes, tmp_path)
    artifact, reference = exported(prefix, tmp_path, "model_garden")
    assert_clean(artifact, reference, outputs)


@dataclasses.dataclass(frozen=True)
class Case:
    """A TF2 checkpoint, how it is exported, and what can be compared."""

    name: str
    encoder: str
    layout: str
    configuration: str
    outputs: tuple[str, ...]
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    sizes: dict[str, Any] = dataclasses.field(default_factory=dict)
    next_sentence: bool = False
    gates: tuple[str, ...] = FAST


CASES = [
    Case("v2, heads", "v2", "pretrainer=", "params.yaml", BOTH, next_sentence=True),
]

FURTHER = [
    Case("functional", "functional", "pretrainer=", "bert.yaml", BOTH, next_sentence=True),
    Case("v2", "v2", "model=", "bert_v2.yaml", POOLED),
    Case("v2, every gate", "v2", "pretrainer=", "params.yaml", BOTH, next_sentence=True,
         gates=EVERY),
    Case("functional, factorized", "functional", "checkpoint_items", "bert_config.json", MLM,
         sizes={"embedding_size": 10}),
    Case("v2, factorized, relu", "v2", "checkpoint_items", "bert_v2.yaml", MLM,
         sizes={"embedding_size": 10, "activation": "relu"}),
    Case("talking heads", "talking_heads", "checkpoint_items", "bert.yaml", MLM,
         gates=TRAINED),
    Case("lambert", "v2", "checkpoint_items", "bert_v2.yaml", MLM, {"family": "lambert"}),
]  # fmt: skip


def save(garden: Any, case: Case, directory: Path) -> tuple[str, dict[str, Path]]:
    """Writes the case's checkpoint and configuration; gives the prefix and the argument."""
    import tensorflow as tf

    sizes = garden.Sizes(**case.sizes)
    model = garden.trained(sizes, case.encoder, next_sentence=case.next_sentence)
    items = {
        "model=": {"model": model.encoder_network},
        "pretrainer=": {"pretrainer": model},
        "checkpoint_items": model.checkpoint_items,
    }[case.layout]
    prefix = tf.train.Checkpoint(**items).save(str(directory / "ckpt"))
    return prefix, garden.write_configuration(case.configuration, sizes, directory)


@pytest.mark.parametrize("case", [
    *CASES, *(pytest.param(case, marks=pytest.mark.exhaustive) for case in FURTHER)
], ids=lambda case: case.name)  # fmt: skip
def test_tf2(case: Case, garden: Any, tmp_path: Path) -> None:
    prefix, configuration = save(garden, case, tmp_path)
    artifact, reference = exported(
        prefix, tmp_path, "model_garden", **configuration, **case.options
    )
    assert_clean(artifact, reference, case.outputs, case.gates)
    record = hubexport.load_record(artifact)
    assert record["family"]["name"] == case.options.get(
        "family", "talking_heads" if case.encoder == "talking_heads" else "bert"
    )


@pytest.fixture(scope="module")
def two_poolers(
    garden: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Path], Path]:
    """A checkpoint with the encoder's pooler and the next-sentence head's, and its reference."""
    work = tmp_path_factory.mktemp("two_poolers")
    case = Case("", "functional", "checkpoint_items", "bert.yaml", (), next_sentence=True)
    prefix, configuration = save(garden, case, work)
    make_reference(
        source="model_garden", checkpoint=prefix, output=work / "reference", **configuration
    )
    return prefix, configuration, work / "reference"


@pytest.mark.exhaustive
def test_which_pooler(two_poolers: tuple[str, dict[str, Path], Path], tmp_path: Path) -> None:
    """Each is compared with the reference's own, as the record says which it is."""
    prefix, configuration, reference = two_poolers
    for pooler in ("checkpoint", "next_sentence"):
        artifact = tmp_path / pooler
        export_encoder(
            checkpoint=prefix, export_path=artifact, pooler=pooler, heads="none", **configuration
        )
        assert_clean(artifact, reference, POOLED, ("numerics",))
    # The two differ, so that the comparison could fail.
    record = artifact / "assets.extra" / "hubexport.json"
    text = record.read_text()
    changed = text.replace('"pooled_output": "next_sentence"', '"pooled_output": "checkpoint"')
    assert changed != text
    record.write_text(changed)
    report = validated(artifact, reference)
    assert failing(report) == {"numerics"}
    assert "All layers agree; default, pooled_output" in failures(report, "numerics")
