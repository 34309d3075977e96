"""What docs/serving.md shows is answered as a server answers it, and the answers are right."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.exporting.pipeline_serving import WARMUP_PATH

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
pytest.importorskip("tensorflow_serving")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
SECTIONS = {
    part.partition("\n")[0]: re.findall(r"```(\w+)\n(.*?)```", part, re.DOTALL)
    for part in PAGE.split("\n## ")[1:]
}
CURL = [
    text for language, text in SECTIONS["REST"] if language == "sh" and text.startswith("curl ")
]
NAMES = {0: "contradiction", 1: "neutral", 2: "entailment"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With out/embed, out/classify and out/encoder."""
    from tests.oracles import pipelines

    directory = tmp_path_factory.mktemp("serving")
    out = directory / "out"
    embed = pipelines.save_sentence_model(directory / "sentence", prompts={"query": "query: "})
    classify = pipelines.save(
        directory / "classifier", "Bert", "ForSequenceClassification", id2label=NAMES
    )
    hubexport.export_pipeline(checkpoint=embed, export_path=out / "embed")
    hubexport.export_pipeline(checkpoint=classify, export_path=out / "classify")
    hubexport.export_encoder(checkpoint=classify, export_path=out / "encoder")
    return directory


@pytest.fixture(scope="module")
def loaded(directory: Path) -> dict[str, Any]:
    """By name, as Python has them."""
    return {path.name: tf.saved_model.load(str(path)) for path in (directory / "out").iterdir()}


@pytest.fixture(scope="module")
def served(directory: Path) -> dict[str, Any]:
    """By name, as a server has them."""
    from tests.serving.server import Served

    return {path.name: Served(path) for path in (directory / "out").iterdir()}


@pytest.fixture(scope="module")
def ports(served: dict[str, Any]) -> Iterator[Any]:
    from tests.serving.server import listening

    with listening(served) as ports:
        yield ports


def asked(command: str) -> tuple[str, str]:
    """URL and JSON of a line of curl."""
    curl, url, flag, body = shlex.split(command.replace("\\\n", ""))
    assert (curl, flag) == ("curl", "-d")
    return url, body


def post(command: str, ports: Any) -> Any:
    url, body = asked(command)
    assert url.startswith("http://localhost:8501/")
    url = url.replace("8501", str(ports.rest))
    with urllib.request.urlopen(url, body.encode(), timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def ask(loaded: dict[str, Any], served: dict[str, Any], ports: Any) -> Any:
    """Number of a line of curl -> the JSON that comes, and what Python gives for its tensors."""
    from tests.serving.server import request_of

    def ask(number: int) -> tuple[Any, dict[str, np.ndarray]]:
        url, body = asked(CURL[number])
        model = url.rpartition("/")[2].partition(":")[0]
        request = request_of(body, served[model])
        inputs = {key: tf.constant(tf.make_ndarray(each)) for key, each in request.inputs.items()}
        name = request.model_spec.signature_name or "serving_default"
        expected = loaded[model].signatures[name](**inputs)
        return post(CURL[number], ports), {key: each.numpy() for key, each in expected.items()}

    return ask


def assert_same(found: Any, expected: np.ndarray) -> None:
    if expected.dtype == object:
        assert np.array_equal(np.array(found, object), np.vectorize(bytes.decode)(expected))
    else:
        np.testing.assert_allclose(np.array(found, np.float32), expected, rtol=0, atol=1e-6)


def test_there_are_as_many_as_this_file_knows() -> None:
    assert len(CURL) == 5 and PAGE.count("curl http") == 5


def test_columns(ask: Any) -> None:
    found, expected = ask(0)
    assert_same(found["outputs"], expected["embedding"])
    assert len(found["outputs"]) == 2


@pytest.mark.parametrize("number", [1, 2])
def test_rows(ask: Any, number: int) -> None:
    found, expected = ask(number)
    for name in ("labels", "scores"):
        assert_same([row[name] for row in found["predictions"]], expected[name])


def test_bytes(ask: Any, loaded: dict[str, Any]) -> None:
    found, expected = ask(3)
    assert_same(found["predictions"], expected["embedding"])
    replaced = loaded["embed"](tf.constant(["caf\N{REPLACEMENT CHARACTER}", "café"]))
    assert_same(found["predictions"], replaced.numpy())


def test_an_encoder(ask: Any) -> None:
    found, expected = ask(4)
    assert set(found["outputs"]) == {"sequence_output", "pooled_output", "default"}
    for name, values in found["outputs"].items():
        assert_same(values, expected[name])


def test_answers_that_are_shown_have_their_form(ask: Any) -> None:
    shown = [json.loads(text) for language, text in SECTIONS["REST"] if language == "json"]
    by_columns, by_rows = ask(0)[0], ask(1)[0]
    assert list(shown[0]) == list(by_columns)
    assert len(shown[0]["outputs"]) == len(by_columns["outputs"])
    assert list(shown[1]) == list(by_rows)
    assert [set(row) for row in shown[1]["predictions"]] == [
        set(row) for row in by_rows["predictions"]
    ]


def test_no_texts(served: dict[str, Any]) -> None:
    from tests.serving.server import InvalidRequestError

    assert served["embed"].rest('{"inputs": {"text": []}}') == {"outputs": []}
    with pytest.raises(InvalidRequestError):
        served["embed"].rest('{"instances": []}')


def test_grpc(loaded: dict[str, Any], ports: Any) -> None:
    ((_, snippet),) = SECTIONS["gRPC"]
    assert "localhost:8500" in snippet
    names: dict[str, Any] = {}
    exec(snippet.replace("8500", str(ports.grpc)), names)
    names["channel"].close()
    texts = tf.constant(["capital of France", "How old are you?"])
    expected = loaded["embed"].signatures["query"](text=texts)["embedding"].numpy()
    assert names["embeddings"].dtype == np.float32
    assert_same(names["embeddings"], expected)


def test_the_warmup_of_an_encoder(
    directory: Path, served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, snippet),) = SECTIONS["Warmup"]
    monkeypatch.chdir(directory)
    path = directory / "out" / "encoder" / WARMUP_PATH
    assert not path.exists()
    exec(snippet.replace("(16, 64, 128)", "(16, 32, 48)"), {})  # it has 52 positions
    replayed = list(replay(path, served["encoder"]))
    assert [response.outputs["default"].tensor_shape.dim[0].size for response in replayed] == [
        1
    ] * 3


def replay(path: Path, served: Any) -> Iterator[Any]:
    """The responses to a file's requests."""
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        yield served.predict(log.predict_log.request)


@pytest.mark.parametrize("name", ["embed", "classify"])
def test_the_warmup_of_a_pipeline(
    name: str, directory: Path, served: dict[str, Any], loaded: dict[str, Any]
) -> None:
    """Every signature is asked, and answers what it answers in Python."""
    from tensorflow_serving.apis import prediction_log_pb2

    path = directory / "out" / name / WARMUP_PATH
    responses = list(replay(path, served[name]))
    asked = {response.model_spec.signature_name for response in responses}
    assert asked == set(loaded[name].signatures)
    for record, response in zip(tf.data.TFRecordDataset(str(path)), responses, strict=True):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(each)) for key, each in request.inputs.items()}
        expected = loaded[name].signatures[request.model_spec.signature_name](**inputs)
        for key, value in expected.items():
            found = tf.make_ndarray(response.outputs[key])
            if value.dtype == tf.string:
                assert found.tolist() == value.numpy().tolist()
            else:
                np.testing.assert_allclose(found, value.numpy(), rtol=0, atol=1e-6)
    record = hubexport.load_record(directory / "out" / name)
    assert record["warmup"]["bytes"] == path.stat().st_size


def test_the_file_of_models() -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    ((_, text),) = [each for each in SECTIONS["Starting a server"] if each[0] == "proto"]
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    names = {each.name for each in config.model_config_list.config}
    assert names == {asked(each)[0].rpartition("/")[2].partition(":")[0] for each in CURL}
    assert all(each.base_path == f"/models/{each.name}" for each in config.model_config_list.config)
