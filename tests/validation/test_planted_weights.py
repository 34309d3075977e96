"""Weights that are wrong: each fault is found by the gate that should find it, and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hubexport.validation.context import Context
from hubexport.validation.gates import batch, determinism, numerics
from hubexport.validation.reference_file import read_reference
from tests.validation.conftest import Trained
from tests.validation.faults import (
    FAST,
    ON_VALUES,
    Values,
    changed_values,
    failing,
    failures,
    judged,
    validated,
    with_values,
)
from tests.validation.gates.contexts import context

LAYER = "encoder/layer_1"
QUERY, KEY = f"{LAYER}/attention/self/query", f"{LAYER}/attention/self/key"


def test_the_clean_artifact_passes(trained: Trained) -> None:
    report = validated(trained.encoder, trained.reference, [*FAST, "training"])
    assert report.passed, [failures(report, gate) for gate in failing(report)]
    assert {gate.status for gate in report.gates} == {"passed"}


def transpose(values: Values) -> None:
    values[f"{QUERY}/kernel"] = values[f"{QUERY}/kernel"].T


def swap_layers(values: Values) -> None:
    for name in [n for n in values if n.startswith("encoder/layer_1/")]:
        other = name.replace("layer_1", "layer_0")
        values[name], values[other] = values[other], values[name]


def shift_positions(values: Values) -> None:
    name = "embeddings/position_embeddings"
    values[name] = np.roll(values[name], 1, axis=0)


def shift_words(values: Values) -> None:
    name = "embeddings/word_embeddings"
    values[name] = np.roll(values[name], 1, axis=0)


def swap_types(values: Values) -> None:
    name = "embeddings/token_type_embeddings"
    values[name] = values[name][::-1]


def lose_second_type(values: Values) -> None:
    values["embeddings/token_type_embeddings"][1] = values["embeddings/token_type_embeddings"][0]


def swap_query_and_key(values: Values) -> None:
    for leaf in ("kernel", "bias"):
        one, other = f"{QUERY}/{leaf}", f"{KEY}/{leaf}"
        values[one], values[other] = values[other], values[one]


def split_heads_otherwise(values: Values) -> None:
    """[A, D] taken for [D, A] in the queries' columns."""
    for leaf in ("kernel", "bias"):
        value = values[f"{QUERY}/{leaf}"]
        split = value.reshape(*value.shape[:-1], 2, 8)
        values[f"{QUERY}/{leaf}"] = np.swapaxes(split, -1, -2).reshape(value.shape)


def lose(name: str, to: float = 0.0) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        values[name][...] = to

    return change


def random_pooler(values: Values) -> None:
    shape = values["pooler/dense/kernel"].shape
    values["pooler/dense/kernel"] = np.random.default_rng(0).normal(0, 0.02, shape).astype("f4")


def swap_classes(values: Values) -> None:
    values["cls/seq_relationship/output_weights"] = values["cls/seq_relationship/output_weights"][
        ::-1
    ]


FAULTS: dict[str, tuple[Callable[[Values], None], str]] = {
    "a kernel transposed": (transpose, "first layer to diverge is encoder_outputs[1] of 2"),
    "layers exchanged": (swap_layers, "first layer to diverge is encoder_outputs[0] of 2"),
    "positions off by one": (shift_positions, "position offset"),
    "words off by one": (shift_words, "embeddings (words"),
    "token types exchanged": (swap_types, "token types"),
    "second token type lost": (lose_second_type, "token type"),
    "queries and keys exchanged": (swap_query_and_key, "queries and keys"),
    "heads split otherwise": (split_heads_otherwise, "heads split otherwise"),
    "value bias lost": (lose(f"{LAYER}/attention/self/value/bias"), "encoder_outputs[1]"),
    "output bias lost": (lose(f"{LAYER}/output/dense/bias"), "encoder_outputs[1]"),
    "gamma lost": (lose(f"{LAYER}/output/LayerNorm/gamma", 1.0), "encoder_outputs[1]"),
    "beta lost": (lose("embeddings/LayerNorm/beta"), "encoder_outputs[0]"),
    "pooler random": (random_pooler, "All layers agree; default, nsp_logits, pooled_output"),
    "pooler bias lost": (lose("pooler/dense/bias"), "another pooler"),
    "mlm bias lost": (lose("cls/predictions/output_bias"), "output bias lost"),
    "mlm norm lost": (
        lose("cls/predictions/transform/LayerNorm/gamma", 1.0),
        "All layers agree; mlm_logits",
    ),
    "nsp classes exchanged": (swap_classes, "All layers agree; nsp_logits"),
}


@pytest.fixture(scope="module")
def loaded(trained: Trained) -> Iterator[Context]:
    """The clean encoder, loaded once."""
    given = context(trained.encoder, reference=read_reference(trained.reference))
    yield given
    given.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_values_are_found_by_numerics(fault: str, loaded: Context) -> None:
    change, cause = FAULTS[fault]
    with changed_values(loaded.encoder, change):
        report = judged(loaded, numerics, batch, determinism)
    assert failing(report) == {"numerics"}
    assert cause in failures(report, "numerics")


def test_one_bit_in_the_variables(plain: Trained, tmp_path: Path) -> None:
    """Checksums tell, of however small a change."""
    artifact = tmp_path / "encoder"
    shutil.copytree(plain.encoder, artifact)
    data = next((artifact / "variables").glob("*.data-*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    report = validated(artifact, plain.reference)
    assert "integrity" in failing(report)
    assert "checksum" in failures(report, "integrity")


def test_a_value_that_is_not_finite(plain: Trained, tmp_path: Path) -> None:
    def change(values: Values) -> None:
        values[f"{LAYER}/output/dense/bias"][3] = np.nan

    artifact = with_values(plain.encoder, tmp_path / "encoder", change)
    report = validated(artifact, plain.reference)
    assert failing(report) >= {"integrity", "interface", "numerics"}
    assert "not finite" in failures(report, "integrity")


def test_another_checkpoints_weights_in_the_same_network(plain: Trained, tmp_path: Path) -> None:
    """A difference that no eye would see: every kernel off by a thousandth."""

    def change(values: Values) -> None:
        generator = np.random.default_rng(0)
        for name, value in values.items():
            if name.endswith("kernel"):
                value *= 1 + 1e-3 * generator.standard_normal(value.shape).astype("f4")

    artifact = with_values(plain.encoder, tmp_path / "encoder", change)
    assert failing(validated(artifact, plain.reference, ON_VALUES)) == {"numerics"}
