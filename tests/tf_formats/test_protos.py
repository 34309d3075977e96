"""The messages built from our table are TensorFlow's own, byte for byte and value for value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubexport.tf_formats import protos


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> tuple[Path, Any]:
    """A real SavedModel's saved_model.pb, and what TensorFlow's class reads from it."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    directory = tmp_path_factory.mktemp("saved_model")
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("[PAD]\n")
    kernel = tf.Variable(tf.ones([3, 5]), name="kernel")
    frozen = tf.Variable(7, trainable=False, name="frozen", dtype=tf.int64)
    inner = tf.function(lambda x: tf.matmul(x, kernel))

    def outer(x):
        return {"y": inner(x) + tf.cast(frozen, tf.float32), "x": x}

    root = tf.train.Checkpoint(kernel=kernel, frozen=frozen, parts=tf.train.Checkpoint())
    root.vocab_file = tf.saved_model.Asset(str(vocabulary))
    root.run = tf.function(outer, input_signature=[tf.TensorSpec([None, 3], name="x")])
    tf.saved_model.save(root, str(directory / "out"), signatures={"run": root.run})
    path = directory / "out" / "saved_model.pb"
    return path, saved_model_pb2.SavedModel.FromString(path.read_bytes())


def differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Where a message of ours says something else than TensorFlow's, in the fields we know."""
    fields = theirs.DESCRIPTOR.fields_by_number
    for field in ours.DESCRIPTOR.fields:
        other = fields.get(field.number)
        place = f"{path}.{field.name}"
        if other is None:
            yield f"{place}: no field {field.number}"
            continue
        if not other.name.endswith(field.name):  # "shape" for TensorInfo's tensor_shape
            yield f"{place}: called {other.name}"
        our_value, their_value = getattr(ours, field.name), getattr(theirs, other.name)
        if not hasattr(our_value, "extend"):  # not repeated
            present = field.message_type is not None
            if present and ours.HasField(field.name) != theirs.HasField(other.name):
                yield f"{place}: only in one"
            pairs = [(our_value, their_value)]
        elif other.message_type is not None and other.message_type.GetOptions().map_entry:
            # Maps are entries on the wire, in any order.
            entries = {entry.key: entry.value for entry in our_value}
            if entries.keys() != set(their_value):
                yield f"{place}: other keys"
            pairs = [(entries[key], their_value[key]) for key in entries]
        else:
            if len(our_value) != len(their_value):
                yield f"{place}: {len(our_value)} for {len(their_value)}"
            pairs = list(zip(our_value, their_value, strict=False))
        for one, two in pairs:
            if hasattr(one, "DESCRIPTOR"):
                yield from differences(one, two, place)
            elif isinstance(one, bytes) and hasattr(two, "DESCRIPTOR"):  # handed on, not looked at
                if type(two).FromString(one) != two:
                    yield f"{place}: bytes of another message"
            elif one != two:
                yield f"{place}: {one!r} for {two!r}"


def test_values_are_those_of_tensorflows_classes(saved_model):
    path, theirs = saved_model
    ours = protos.SavedModel.FromString(path.read_bytes())
    assert list(differences(ours, theirs, "SavedModel")) == []
    # The comparison was not of empty messages.
    (graph,) = ours.meta_graphs
    assert {"MatMul", "AddV2"} <= {
        node.op for function in graph.graph_def.library.function for node in function.node_def
    }
    kinds = {kind for node in graph.object_graph_def.nodes for kind, _ in node.ListFields()}
    assert {"variable", "function", "asset", "user_object"} <= {field.name for field in kinds}


def test_unknown_fields_survive(saved_model):
    """What our table leaves out (attributes of nodes, say) is written again as it was read."""
    path, theirs = saved_model
    ours = protos.SavedModel.FromString(path.read_bytes())
    again = type(theirs).FromString(ours.SerializeToString())
    assert again == theirs
    ours.meta_graphs[0].graph_def.node[0].device = "/cpu:0"
    changed = type(theirs).FromString(ours.SerializeToString())
    assert changed != theirs
    changed.meta_graphs[0].graph_def.node[0].device = ""
    assert changed == theirs


def test_checkpoint_messages_are_tensorflows(tmp_path):
    import tensorflow as tf
    from tensorflow.core.protobuf import tensor_bundle_pb2, trackable_object_graph_pb2

    from hubexport.tf_formats import table

    optimizer_like = tf.train.Checkpoint(step=tf.Variable(3, name="step"))
    root = tf.train.Checkpoint(a=tf.Variable([[1.0, 2.0]], name="a"), nested=optimizer_like)
    prefix = root.write(str(tmp_path / "model"))
    graph = tf.train.load_checkpoint(prefix).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    pairs = [(protos.TrackableObjectGraph, trackable_object_graph_pb2.TrackableObjectGraph, graph)]
    records = table.read_table(tmp_path / "model.index")
    pairs.append((protos.BundleHeader, tensor_bundle_pb2.BundleHeaderProto, records.pop(b"")))
    pairs += [
        (protos.BundleEntry, tensor_bundle_pb2.BundleEntryProto, value)
        for value in records.values()
    ]
    for ours, theirs, data in pairs:
        message = ours.FromString(data)
        assert list(differences(message, theirs.FromString(data), ours.__name__)) == []
        assert theirs.FromString(message.SerializeToString()) == theirs.FromString(data)


def test_dtype_codes_are_tensorflows():
    import tensorflow as tf

    for code, name in protos.DTYPES.items():
        assert tf.dtypes.as_dtype(code).name == name
    assert {protos.DTYPE_CODES[name]: name for name in protos.DTYPE_CODES} == protos.DTYPES


def test_tables_do_not_meet():
    """Two tables may use the same message name: each has a pool of its own."""
    one = protos.build_messages({"Thing": {"a": (1, "int64")}}, "one.proto")["Thing"]
    two = protos.build_messages(
        {"Thing": {"b": (1, "*string"), "part": (2, "*Thing")}}, "one.proto"
    )["Thing"]
    assert one(a=5).SerializeToString() == b"\x08\x05"
    message = two(b=["x"])
    message.part.add(b=["y"])
    assert two.FromString(message.SerializeToString()) == message
