"""The protocol buffers that checkpoints and SavedModels are made of, in the part used here.

TensorFlow ships generated classes for them, but importing those imports TensorFlow (seconds and
half a gigabyte). These are built from a table of field numbers, kept in a descriptor pool of
their own so that both can live in one process; unknown fields survive parsing and serializing.

Field numbers: tensorflow/core/protobuf/{tensor_bundle,trackable_object_graph,saved_model,
meta_graph,saved_object_graph}.proto and tensorflow/core/framework/{tensor_shape,graph,node_def,
function,op_def,attr_value,tensor,versions,types}.proto. Map fields are declared as the repeated
key/value messages that they are on the wire, enums as int32.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "hubexport"
_SCALARS = {
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "fixed32": descriptor_pb2.FieldDescriptorProto.TYPE_FIXED32,
    "float": descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
}

# message: {field: (number, type)}; "*" in front of a type means repeated.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Version": {"producer": (1, "int32"), "min_consumer": (2, "int32")},
    "Dim": {"size": (1, "int64"), "name": (2, "string")},
    "Shape": {"dim": (2, "*Dim"), "unknown_rank": (3, "bool")},
    # Checkpoints ("tensor bundles").
    "BundleHeader": {
        "num_shards": (1, "int32"),
        "endianness": (2, "int32"),
        "version": (3, "Version"),
    },
    "BundleEntry": {
        "dtype": (1, "int32"),
        "shape": (2, "Shape"),
        "shard_id": (3, "int32"),
        "offset": (4, "int64"),
        "size": (5, "int64"),
        "crc32c": (6, "fixed32"),
        "slices": (7, "*bytes"),
    },
    "ObjectReference": {"node_id": (1, "int32"), "local_name": (2, "string")},
    "ObjectAttribute": {
        "name": (1, "string"),
        "full_name": (2, "string"),
        "checkpoint_key": (3, "string"),
    },
    "SlotVariable": {
        "original_variable_node_id": (1, "int32"),
        "slot_name": (2, "string"),
        "slot_variable_node_id": (3, "int32"),
    },
    "TrackableObject": {
        "children": (1, "*ObjectReference"),
        "attributes": (2, "*ObjectAttribute"),
        "slot_variables": (3, "*SlotVariable"),
    },
    "TrackableObjectGraph": {"nodes": (1, "*TrackableObject")},
    # SavedModels.
    "Node": {
        "name": (1, "string"),
        "op": (2, "string"),
        "input": (3, "*string"),
        "device": (4, "string"),
        "attr": (5, "*NamedAttribute"),
        "experimental_debug_info": (6, "bytes"),
    },
    "NamedAttribute": {"key": (1, "string"), "value": (2, "Attribute")},
    "Attribute": {
        "list": (1, "AttributeList"),
        "type": (6, "int32"),
        "tensor": (8, "Tensor"),
        "func": (10, "FunctionName"),
    },
    "AttributeList": {"func": (9, "*FunctionName")},
    "FunctionName": {"name": (1, "string")},
    "Tensor": {"string_val": (8, "*bytes")},
    "Op": {"name": (1, "string")},
    "NamedName": {"key": (1, "string"), "value": (2, "string")},
    "Function": {
        "signature": (1, "Op"),
        "node_def": (3, "*Node"),
        "ret": (4, "*NamedName"),
        "control_ret": (6, "*NamedName"),
    },
    "FunctionLibrary": {"function": (1, "*Function")},
    "Graph": {
        "node": (1, "*Node"),
        "library": (2, "FunctionLibrary"),
        "versions": (4, "Version"),
    },
    "MetaInfo": {
        "tags": (4, "*string"),
        "tensorflow_version": (5, "string"),
        "stripped_default_attrs": (7, "bool"),
    },
    "TensorInfo": {"name": (1, "string"), "dtype": (2, "int32"), "shape": (3, "Shape")},
    "NamedTensorInfo": {"key": (1, "string"), "value": (2, "TensorInfo")},
    "Signature": {
        "inputs": (1, "*NamedTensorInfo"),
        "outputs": (2, "*NamedTensorInfo"),
        "method_name": (3, "string"),
    },
    "NamedSignature": {"key": (1, "string"), "value": (2, "Signature")},
    "AssetFile": {"filename": (2, "string")},
    "SavedAsset": {"asset_file_def_index": (1, "int32")},
    "SavedFunction": {"concrete_functions": (1, "*string")},
    "SavedVariable": {
        "dtype": (1, "int32"),
        "shape": (2, "Shape"),
        "trainable": (3, "bool"),
        "name": (6, "string"),
    },
    "SavedUserObject": {"identifier": (1, "string")},
    "SavedBareConcreteFunction": {"concrete_function_name": (1, "string")},
    "SavedConstant": {"operation": (1, "string")},
    "SavedObject": {
        "children": (1, "*ObjectReference"),
        "user_object": (4, "SavedUserObject"),
        "asset": (5, "SavedAsset"),
        "function": (6, "SavedFunction"),
        "variable": (7, "SavedVariable"),
        "bare_concrete_function": (8, "SavedBareConcreteFunction"),
        "constant": (9, "SavedConstant"),
    },
    "SavedObjectGraph": {"nodes": (1, "*SavedObject")},
    "MetaGraph": {
        "meta_info_def": (1, "MetaInfo"),
        "graph_def": (2, "Graph"),
        "signature_def": (5, "*NamedSignature"),
        "asset_file_def": (6, "*AssetFile"),
        "object_graph_def": (7, "SavedObjectGraph"),
    },
    "SavedModel": {
        "saved_model_schema_version": (1, "int64"),
        "meta_graphs": (2, "*MetaGraph"),
    },
}


def build_messages(
    messages: dict[str, dict[str, tuple[int, str]]], file_name: str, syntax: str = "proto3"
) -> dict[str, Any]:
    """Message classes for a table `{message: {field: (number, type)}}`.

    A type is a scalar (int32, int64, fixed32, float, bool, string, bytes) or the name of another
    message of the table; `*` in front means repeated. Each call uses a descriptor pool of its own.
    With syntax "proto2" a field that is set to its zero is written, which matters where a format
    has other defaults.
    """
    file = descriptor_pb2.FileDescriptorProto(name=file_name, package=_PACKAGE, syntax=syntax)
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            repeated = kind.startswith("*")
            kind = kind.lstrip("*")
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in messages
    }


_CLASSES = build_messages(_MESSAGES, "hubexport/tensorflow_subset.proto")

BundleHeader = _CLASSES["BundleHeader"]
BundleEntry = _CLASSES["BundleEntry"]
TrackableObjectGraph = _CLASSES["TrackableObjectGraph"]
SavedModel = _CLASSES["SavedModel"]

DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
}
"""tensorflow.DataType -> numpy's (or ml_dtypes') name, and TensorFlow's own for the rest."""

DTYPE_CODES = {name: code for code, name in DTYPES.items()}
