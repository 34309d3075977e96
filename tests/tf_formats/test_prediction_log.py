"""Logged requests are those of tensorflow-serving-api."""

from __future__ import annotations

from typing import Any

import pytest

from hubexport.tf_formats.prediction_log import MESSAGES, predict_log, read_predict_log

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_serving")


@pytest.fixture(scope="module")
def theirs() -> Any:
    from tensorflow_serving.apis import prediction_log_pb2

    return prediction_log_pb2.PredictionLog


def descriptors(found: Any, reached: dict[str, Any]) -> dict[str, Any]:
    """Messages by name, of one and all that it holds."""
    reached[found.name] = found
    for field in found.fields:
        if field.message_type is not None and field.message_type.name not in reached:
            descriptors(field.message_type, reached)
    return reached


def test_fields_are_theirs(theirs: Any) -> None:
    known = descriptors(theirs.DESCRIPTOR, {})
    for message, fields in MESSAGES.items():
        for name, (number, kind) in fields.items():
            field = known[message].fields_by_name[name]
            assert field.number == number, (message, name)
            assert (field.message_type is not None) == (kind.lstrip("*") in MESSAGES)
            assert field.is_repeated == kind.startswith("*")


def test_a_request(theirs: Any) -> None:
    texts = {"text": [b"a", b"", b"\xff"], "text_pair": [b"b", "é".encode(), b"d"]}
    serialized = predict_log("classify_pairs", texts)
    log = theirs.FromString(serialized)
    assert log.WhichOneof("log_type") == "predict_log"
    request = log.predict_log.request
    assert request.model_spec.signature_name == "classify_pairs"
    found = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    assert {name: array.tolist() for name, array in found.items()} == texts
    # Nothing else is in it.
    expected = theirs()
    expected.predict_log.request.model_spec.signature_name = "classify_pairs"
    for name, values in texts.items():
        expected.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    assert log == expected
    assert read_predict_log(serialized) == ("classify_pairs", texts)


def test_the_same_bytes_every_time() -> None:
    inputs = {"text": [b"a"], "text_pair": [b"b"]}
    assert predict_log("classify_pairs", inputs) == predict_log("classify_pairs", inputs)
