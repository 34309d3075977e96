"""Fill-mask pipelines give the pieces and scores of transformers' fill-mask pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from tests.test_docs import described, same_fields
from tests.tiers import examples

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

CLOSE = 1e-5
FAMILIES = ("Bert", "Roberta", "DistilBert")
TOP_K = 3


@pytest.fixture(scope="module")
def oracle() -> Any:
    from tests.oracles import pipelines

    return pipelines


@pytest.fixture(scope="module", params=examples(FAMILIES, FAMILIES[:2]))
def exported(
    request: pytest.FixtureRequest, oracle: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """The mask, the directory of a model, and the pipeline of it."""
    path = tmp_path_factory.mktemp("fill-mask")
    model = oracle.save(path / "model", request.param, "ForMaskedLM")
    hubexport.export_pipeline(
        checkpoint=model, export_path=path / "out", max_seq_length=oracle.LENGTH, batch_size=7,
        top_k=TOP_K,
    )  # fmt: skip
    mask = "<mask>" if request.param == "Roberta" else "[MASK]"
    return mask, model, path / "out"


def masked(texts: Sequence[str], mask: str) -> list[str]:
    """Each text with a mask within the first tokens, some with several."""
    return [f"{mask} " * (number % 3) + text[:3] + mask + text[3:]
            for number, text in enumerate(texts)]  # fmt: skip


def assert_same(found: Any, expected: Sequence[Sequence[Sequence[dict[str, Any]]]]) -> None:
    found = {name: np.asarray(value) for name, value in found.items()}
    assert list(found["num_masks"]) == [len(row) for row in expected]
    for row, theirs in enumerate(expected):
        for mask, likeliest in enumerate(theirs):
            scores = [each["score"] for each in likeliest]
            np.testing.assert_allclose(found["scores"][row][mask], scores, rtol=0, atol=CLOSE)
            assert list(found["token_ids"][row][mask]) == [each["token"] for each in likeliest]
            mine = [each.decode() for each in found["tokens"][row][mask]]
            assert mine == [each["token_str"] for each in likeliest]
        for name, nothing in ("tokens", b""), ("scores", 0), ("token_ids", 0):
            assert np.all(found[name][row][len(theirs) :] == nothing)


def test_pieces(exported: tuple[str, Path, Path], oracle: Any) -> None:
    mask, model, path = exported
    texts = masked(oracle.TEXTS, mask)
    expected = oracle.masks(model, texts, TOP_K)
    loaded = tf.saved_model.load(str(path))
    assert_same(loaded(tf.constant(texts)), expected)
    for name in ("serving_default", "fill"):
        assert_same(loaded.signatures[name](text=tf.constant(texts)), expected)


def test_texts_without_masks(exported: tuple[str, Path, Path], oracle: Any) -> None:
    """And with masks that are cut off; transformers refuses both."""
    mask, _, path = exported
    loaded = tf.saved_model.load(str(path))
    texts = ["", "no mask", f"one {mask}", f"{'word ' * 90} {mask}"]
    found = loaded(tf.constant(texts))
    assert list(found["num_masks"]) == [0, 0, 1, 0]
    assert found["tokens"].shape == found["scores"].shape == (4, 1, TOP_K)
    alone = loaded(tf.constant(texts[:2]))
    assert alone["tokens"].shape == (2, 0, TOP_K)
    none = loaded(tf.constant([], tf.string))
    assert none["tokens"].shape == (0, 0, TOP_K) and none["num_masks"].shape == (0,)


def test_the_record_is_described(exported: tuple[str, Path, Path]) -> None:
    record = hubexport.load_record(exported[2])
    assert record["task"]["name"] == "fill-mask"  # by what the model has a head for
    same_fields(record["task"], described("### `task` of a fill-mask"))


def test_a_shifted_mask_is_found(
    exported: tuple[str, Path, Path], oracle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubexport.pipelines.graph.function import Parts
    from tests.pipelines import built

    mask, model, path = exported
    predict = Parts.predict

    def shifted(self: Any, head: str, batch: Any, **inputs: Any) -> Any:
        return predict(self, head, batch, **{n: each + 1 for n, each in inputs.items()})

    monkeypatch.setattr(Parts, "predict", shifted)
    texts = masked(oracle.TEXTS[:8], mask)
    found = built.ask(path, "fill-mask", [texts], oracle.LENGTH, top_k=TOP_K)
    with pytest.raises(AssertionError):
        assert_same(found, oracle.masks(model, texts, TOP_K))
