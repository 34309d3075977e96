"""What TensorFlow Serving does with a request, without TensorFlow Serving.

Rules: tensorflow_serving/servables/tensorflow/predict_util.cc (which tensors of a session a request
feeds and fetches), tensorflow_serving/util/json_tensor.cc (from JSON to tensors and back), and
tensorflow_serving/g3doc/api_rest.md (paths).
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  servers have its ops

v1 = tf.compat.v1


class InvalidRequestError(Exception):
    """What a server answers with an error."""


class Served:
    """A SavedModel in a session, asked by the names of signatures and their inputs."""

    def __init__(self, path: Path):
        self._session = v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            loaded = v1.saved_model.load(self._session, ["serve"], str(path))
        self.signatures = dict(loaded.signature_def)

    def signature(self, name: str) -> Any:
        name = name or "serving_default"
        if name not in self.signatures:
            raise InvalidRequestError(f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def predict(self, request: Any) -> Any:
        """PredictRequest -> PredictResponse."""
        from tensorflow_serving.apis import predict_pb2

        name = request.model_spec.signature_name
        signature = self.signature(name)
        if set(request.inputs) != set(signature.inputs):
            raise InvalidRequestError(
                f"inputs {sorted(request.inputs)}, of the signature {sorted(signature.inputs)}"
            )
        asked = list(request.output_filter) or sorted(signature.outputs)
        fed = {
            signature.inputs[name].name: tf.make_ndarray(tensor)
            for name, tensor in request.inputs.items()
        }
        found = self._session.run([signature.outputs[each].name for each in asked], fed)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = name or "serving_default"
        for each, value in zip(asked, found, strict=True):
            response.outputs[each].CopyFrom(tf.make_tensor_proto(value))
        return response

    def rest(self, body: str) -> dict[str, Any]:
        """The JSON of a `:predict` -> that of its answer."""
        request = request_of(body, self)
        outputs = {
            name: tf.make_ndarray(tensor) for name, tensor in self.predict(request).outputs.items()
        }
        values = {name: _json(name, value) for name, value in outputs.items()}
        if "inputs" in json.loads(body):
            return {"outputs": values if len(values) > 1 else next(iter(values.values()))}
        if len({len(value) for value in outputs.values()}) != 1:
            raise InvalidRequestError("inconsistent batch size")
        if len(values) == 1:
            return {"predictions": next(iter(values.values()))}
        rows = zip(*values.values(), strict=True)
        return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}


def request_of(body: str, served: Served) -> Any:
    """The PredictRequest of a JSON request."""
    from tensorflow_serving.apis import predict_pb2

    asked = json.loads(body)
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = asked.get("signature_name", "")
    dtypes = {
        name: tf.dtypes.as_dtype(info.dtype)
        for name, info in served.signature(request.model_spec.signature_name).inputs.items()
    }
    if ("instances" in asked) == ("inputs" in asked):
        raise InvalidRequestError("one of 'inputs' and 'instances' is needed")
    named = _rows(asked["instances"], dtypes) if "instances" in asked else asked["inputs"]
    if not isinstance(named, dict) or _is_bytes(named):
        if len(dtypes) > 1:
            raise InvalidRequestError("an object is needed: there are several inputs")
        named = {next(iter(dtypes)): named}
    if missing := dtypes.keys() - named.keys():
        raise InvalidRequestError(f"Missing named input: {sorted(missing)}")
    for name, dtype in dtypes.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(_array(named[name], dtype)))
    return request


def _rows(instances: Any, dtypes: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise InvalidRequestError("'instances' is a list with something in it")
    objects = [isinstance(row, dict) and not _is_bytes(row) for row in instances]
    if len(set(objects)) != 1:
        raise InvalidRequestError("objects and values")
    if not objects[0]:
        if len(dtypes) > 1:
            raise InvalidRequestError("objects are needed: there are several inputs")
        return {next(iter(dtypes)): instances}
    if any(row.keys() != dtypes.keys() for row in instances):
        raise InvalidRequestError(f"keys must be equal to: {sorted(dtypes)}")
    return {name: [row[name] for row in instances] for name in dtypes}


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _array(value: Any, dtype: Any) -> np.ndarray:
    """A value or nested lists of one shape."""
    if isinstance(value, list):
        rows = [_array(each, dtype) for each in value]
        if len({row.shape for row in rows}) > 1:
            raise InvalidRequestError("rows of several shapes")
        return np.stack(rows) if rows else np.zeros([0], dtype.as_numpy_dtype)
    if dtype == tf.string:
        if not (isinstance(value, str) or _is_bytes(value)):
            raise InvalidRequestError(f"{value} is not of expected type: string")
        text = value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])
        return np.array(text, object)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequestError(f"{value} is not of expected type: {dtype.name}")
    return np.array(value, dtype.as_numpy_dtype)


def _json(name: str, value: Any) -> Any:
    """As JSON has it: strings as bytes where the output's name says so."""
    if isinstance(value, np.ndarray) and value.ndim:
        return [_json(name, row) for row in value]
    if not isinstance(value, bytes):
        return json.loads(str(value))
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode()


class Ports(NamedTuple):
    grpc: int
    rest: int


@contextlib.contextmanager
def listening(models: Mapping[str, Served]) -> Iterator[Ports]:
    """Answers for models by their names, at ports of this machine."""
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc as service

    class Predictions(service.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:
            return models[request.model_spec.name].predict(request)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            path = re.fullmatch(r"/v1/models/(\w+)(?:/versions/1)?:predict", self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            try:
                answer, status = models[path[1]].rest(body), 200  # type: ignore[index]
            except InvalidRequestError as error:
                answer, status = {"error": str(error)}, 400
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    rpc = grpc.server(ThreadPoolExecutor(1))
    service.add_PredictionServiceServicer_to_server(Predictions(), rpc)
    rest = http.server.HTTPServer(("localhost", 0), Handler)
    thread = threading.Thread(target=rest.serve_forever)
    ports = Ports(rpc.add_insecure_port("localhost:0"), rest.server_port)
    rpc.start()
    thread.start()
    try:
        yield ports
    finally:
        rest.shutdown()
        thread.join()
        rest.server_close()
        rpc.stop(None).wait()
