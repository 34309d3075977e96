"""Perplexity pipelines give what transformers' loss of causal language models says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from tests.test_docs import described, same_fields

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

CLOSE = 1e-5
"""Relative to the largest."""


@pytest.fixture(scope="module")
def oracle() -> Any:
    from tests.oracles import pipelines

    return pipelines


@pytest.fixture(scope="module")
def exported(oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    path = tmp_path_factory.mktemp("perplexity")
    model = oracle.save(path / "model", "GPT2", "LMHeadModel")
    hubexport.export_pipeline(
        checkpoint=model, export_path=path / "out", max_seq_length=oracle.LENGTH, batch_size=7
    )
    return model, path / "out"


@pytest.mark.parametrize("name", ["", "serving_default", "perplexity"])
def test_log_probabilities(oracle: Any, exported: tuple[Path, Path], name: str) -> None:
    loaded = tf.saved_model.load(str(exported[1]))
    texts = tf.constant(oracle.TEXTS)
    found = loaded.signatures[name](text=texts) if name else loaded(texts)
    sums, counts = oracle.log_probs(exported[0], oracle.TEXTS)
    assert 0 in counts and counts.max() == oracle.LENGTH - 1
    np.testing.assert_array_equal(found["num_tokens"], counts)
    scale = np.abs(sums).max()
    np.testing.assert_allclose(found["sequence_log_probs"], sums, rtol=0, atol=CLOSE * scale)
    of_tokens = np.asarray(found["token_log_probs"])
    assert of_tokens.shape == (len(counts), oracle.LENGTH) and not of_tokens[:, 0].any()
    np.testing.assert_allclose(of_tokens.sum(axis=1), sums, rtol=0, atol=CLOSE * scale)
    for row, count in zip(of_tokens, counts, strict=True):
        assert row[1 : count + 1].all() and not row[count + 1 :].any()
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    np.testing.assert_allclose(found["perplexity"], np.exp(-means), rtol=1e-4)


def test_the_record_is_described(exported: tuple[Path, Path]) -> None:
    record = hubexport.load_record(exported[1])
    assert record["task"]["name"] == "perplexity"  # by what the model has a head for
    same_fields(record["task"], described("### `task` of a perplexity"))


def test_the_example_is_what_the_artifact_gives(oracle: Any, exported: tuple[Path, Path]) -> None:
    example = hubexport.load_record(exported[1])["example"]
    sums, counts = oracle.log_probs(exported[0], example["inputs"]["text"])
    assert example["outputs"]["num_tokens"] == list(counts)
    np.testing.assert_allclose(example["outputs"]["sequence_log_probs"], sums, rtol=1e-3)
    np.testing.assert_allclose(example["outputs"]["perplexity"], np.exp(-sums / counts), rtol=1e-3)


def test_no_texts(exported: tuple[Path, Path]) -> None:
    none = tf.saved_model.load(str(exported[1]))(tf.constant([], tf.string))
    assert {key: tuple(value.shape) for key, value in none.items()} == {
        "sequence_log_probs": (0,), "num_tokens": (0,), "perplexity": (0,),
        "token_log_probs": (0, 0),
    }  # fmt: skip


def test_variables_are_those_of_the_head(exported: tuple[Path, Path]) -> None:
    loaded = tf.saved_model.load(str(exported[1]))
    assert len(loaded.trainable_variables) == len(loaded.encoder.lm.trainable_variables)
