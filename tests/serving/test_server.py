"""The server that tests ask understands JSON as TensorFlow Serving's documentation has it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
pytest.importorskip("tensorflow_serving")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.serving.server import Served

    def some(ids: Any, tag: Any) -> dict[str, Any]:
        return {
            "sums": tf.reduce_sum(tf.cast(ids, tf.float32), 1) / 2,
            "tag": tf.identity(tag),
            "raw_bytes": tf.identity(tag),
        }

    one = tf.function(lambda text: {"length": tf.strings.length(text)})
    signatures = {
        "serving_default": one.get_concrete_function(tf.TensorSpec([None], tf.string, "text")),
        "some": tf.function(some).get_concrete_function(
            tf.TensorSpec([None, None], tf.int32, "ids"), tf.TensorSpec([None], tf.string, "tag")
        ),
    }
    path = tmp_path_factory.mktemp("served")
    tf.saved_model.save(tf.train.Checkpoint(), str(path), signatures)
    return Served(path)


ROWS = [{"ids": [1, 2], "tag": "a"}, {"ids": [3, 4], "tag": "é"}]
COLUMNS = {"ids": [[1, 2], [3, 4]], "tag": ["a", "é"]}
BYTES = [{"b64": "YQ=="}, {"b64": "w6k="}]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"instances": ["a", "bcd"]}, {"predictions": [1, 3]}),
        ({"inputs": ["a", "bcd"]}, {"outputs": [1, 3]}),
        ({"inputs": {"text": ["a", "bcd"]}}, {"outputs": [1, 3]}),
        ({"inputs": {"text": []}}, {"outputs": []}),
        ({"instances": [{"text": "a"}, {"text": "bcd"}]}, {"predictions": [1, 3]}),
        ({"instances": [{"b64": "/w=="}, "bcd"]}, {"predictions": [1, 3]}),
        (
            {"signature_name": "some", "instances": ROWS},
            {"predictions": [
                {"sums": 1.5, "tag": "a", "raw_bytes": BYTES[0]},
                {"sums": 3.5, "tag": "é", "raw_bytes": BYTES[1]},
            ]},
        ),
        (
            {"signature_name": "some", "inputs": COLUMNS},
            {"outputs": {"sums": [1.5, 3.5], "tag": ["a", "é"], "raw_bytes": BYTES}},
        ),
    ],
)  # fmt: skip
def test_json(served: Any, asked: Any, answer: Any) -> None:
    assert served.rest(json.dumps(asked)) == answer


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"instances": ["a"], "inputs": ["a"]},
        {"instances": []},
        {"instances": "a"},
        {"instances": [1]},
        {"instances": ["a", ["b"]]},
        {"instances": ["a", {"text": "b"}]},
        {"signature_name": "none", "instances": ["a"]},
        {"signature_name": "some", "instances": ["a"]},
        {"signature_name": "some", "instances": [{"ids": [1]}]},
        {"signature_name": "some", "instances": [ROWS[0], {"ids": [1], "tag": "b"}]},
        {"signature_name": "some", "inputs": [1]},
        {"signature_name": "some", "inputs": {"ids": [[1]]}},
        {"signature_name": "some", "inputs": {**COLUMNS, "ids": [[1.5, 2], [3, 4]]}},
    ],
)
def test_what_is_refused(served: Any, asked: Any) -> None:
    from tests.serving.server import InvalidRequestError

    with pytest.raises(InvalidRequestError):
        served.rest(json.dumps(asked))


def test_an_output_filter(served: Any) -> None:
    from tensorflow_serving.apis import predict_pb2

    from tests.serving.server import InvalidRequestError

    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "some"
    request.inputs["ids"].CopyFrom(tf.make_tensor_proto(np.ones([2, 3], np.int32)))
    with pytest.raises(InvalidRequestError, match="tag"):
        served.predict(request)
    request.inputs["tag"].CopyFrom(tf.make_tensor_proto(["a", "b"]))
    request.output_filter.append("sums")
    response = served.predict(request)
    assert list(response.outputs) == ["sums"]
    assert response.model_spec.signature_name == "some"
