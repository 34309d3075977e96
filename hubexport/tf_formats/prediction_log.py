"""The requests that TensorFlow Serving logs, and replays to warm a model up.

tensorflow-serving-api has classes for them, which import TensorFlow; a test compares the two.

Field numbers: tensorflow_serving/apis/{prediction_log,predict,model}.proto and
tensorflow/core/framework/{tensor,tensor_shape}.proto. The map of inputs is declared as the
repeated key/value messages that it is on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hubexport.tf_formats.protos import DTYPE_CODES, build_messages

MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "PredictionLog": {"predict_log": (6, "PredictLog")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "*InputsEntry")},
    "ModelSpec": {"signature_name": (3, "string")},
    "InputsEntry": {"key": (1, "string"), "value": (2, "TensorProto")},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShapeProto"),
        "string_val": (8, "*bytes"),
    },
    "TensorShapeProto": {"dim": (2, "*Dim")},
    "Dim": {"size": (1, "int64")},
}
"""As for `build_messages`."""

_CLASSES = build_messages(MESSAGES, "hubexport/prediction_log.proto")


def predict_log(signature: str, inputs: Mapping[str, Sequence[bytes]]) -> bytes:
    """A serialized PredictionLog of one request.

    Args:
      signature: its name.
      inputs: name -> strings [B].
    """
    log = _CLASSES["PredictionLog"]()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, strings in inputs.items():
        tensor = request.inputs.add(key=name).value
        tensor.dtype = DTYPE_CODES["string"]
        tensor.tensor_shape.dim.add(size=len(strings))
        tensor.string_val.extend(strings)
    serialized: bytes = log.SerializeToString(deterministic=True)
    return serialized


def read_predict_log(serialized: bytes) -> tuple[str, dict[str, list[bytes]]]:
    """Signature and inputs of what `predict_log` made."""
    request = _CLASSES["PredictionLog"].FromString(serialized).predict_log.request
    inputs = {each.key: list(each.value.string_val) for each in request.inputs}
    return request.model_spec.signature_name, inputs
