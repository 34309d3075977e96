"""Requests for a server's warmup: which they are, and that a failing one stops the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hubexport
from hubexport.exporting.pipeline_serving import (
    MAXIMUM_REQUESTS,
    WARMUP_PATH,
    Request,
    WarmupError,
    replay,
    warmup_requests,
    write_warmup,
)

tf = pytest.importorskip("tensorflow")

SIGNATURES = {"serving_default": ["text"], "classify_pairs": ["text", "text_pair"]}


def words(texts: tuple[bytes, ...]) -> list[int]:
    return [len(text.split(b" ")) for text in texts]


@pytest.mark.parametrize(
    ("maximum", "short", "middle", "longest"),
    [(8192, 4, 64, 512), (512, 4, 64, 512), (128, 4, 64, 128), (48, 4, 48, 48), (3, 3, 3, 3)],
)
def test_lengths_and_batches(maximum: int, short: int, middle: int, longest: int) -> None:
    requests = warmup_requests(SIGNATURES, maximum)
    for name, inputs in SIGNATURES.items():
        own = [each.inputs for each in requests if each.signature == name]
        assert all(list(each) == inputs for each in own)
        expected = [[short], [middle], [short] * 2]
        expected += [[longest]] if name == "serving_default" else []
        assert all([words(given[each]) for given in own] == expected for each in inputs)


def test_every_signature_is_asked_before_one_is_asked_again() -> None:
    many = {f"prompt_{i}": ["text"] for i in range(MAXIMUM_REQUESTS - 2)}
    requests = warmup_requests({**many, "serving_default": ["text"]}, 512)
    assert len(requests) == MAXIMUM_REQUESTS
    assert {each.signature for each in requests[:-1]} == {"serving_default", *many}
    assert requests[0].signature == requests[-1].signature == "serving_default"


class Loaded:
    """Signatures that remember what they were asked for."""

    def __init__(self, outputs: dict[str, list[str]], fail: Exception | None = None):
        self.signatures = {name: Signature(each, fail) for name, each in outputs.items()}


class Signature:
    def __init__(self, outputs: list[str], fail: Exception | None):
        self.structured_outputs, self.fail = dict.fromkeys(outputs), fail
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **inputs: Any) -> None:
        self.asked.append(inputs)
        if self.fail:
            raise self.fail


def test_of_prompts_one_is_tried(tmp_path: Path) -> None:
    outputs = {name: ["embedding"] for name in ("serving_default", "passage", "query")}
    loaded = Loaded({**outputs, "other": ["embedding", "score"], "pairs": ["embedding"]})
    inputs = {name: ["text"] for name in loaded.signatures}
    inputs["pairs"] = ["text", "text_pair"]
    write_warmup(tmp_path, warmup_requests(inputs, 512))
    replay(tmp_path, loaded)
    tried = {name: len(each.asked) for name, each in loaded.signatures.items()}
    assert tried == {"serving_default": 4, "passage": 0, "query": 0, "other": 3, "pairs": 3}
    first = loaded.signatures["pairs"].asked[0]
    assert first["text"].dtype == first["text_pair"].dtype == tf.string
    assert first["text"].shape == (1,)


@pytest.mark.parametrize(
    "error",
    [tf.errors.InvalidArgumentError(None, None, "too long\nfor this"), ValueError("too long")],
    ids=["of a graph", "of Python"],
)
def test_a_failing_request_is_an_error(error: Exception, tmp_path: Path) -> None:
    write_warmup(tmp_path, warmup_requests({"embed": ["text"]}, 9))
    with pytest.raises(WarmupError, match=r"found: too long\n") as caught:
        replay(tmp_path, Loaded({"embed": ["embedding"]}, error))
    assert "signature: embed" in str(caught.value)


def test_it_is_small(tmp_path: Path) -> None:
    path = write_warmup(tmp_path, warmup_requests(SIGNATURES, 512))
    assert path == tmp_path / WARMUP_PATH
    assert 1000 < path.stat().st_size < 20_000


def test_a_failing_request_stops_the_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    from tests.oracles import pipelines

    def two_in_one(signatures: Any, max_seq_length: int) -> list[Request]:
        return [Request("embed", {"text": (b"a",), "text_pair": (b"b",)})]

    monkeypatch.setattr("hubexport.exporting.pipeline.warmup_requests", two_in_one)
    model = pipelines.save_sentence_model(tmp_path)
    with pytest.raises(WarmupError, match="signature: embed"):
        hubexport.export_pipeline(checkpoint=model, export_path=tmp_path / "out")
    assert not (tmp_path / "out").exists()
