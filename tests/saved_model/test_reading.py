"""SavedModels as TensorFlow and Keras write them are read as TensorFlow would load them."""

import json

import pytest

from hubexport.errors import HubexportError
from hubexport.saved_model.reading import (
    Asset,
    TensorSpec,
    is_saved_model,
    read_saved_model,
)
from hubexport.tf_formats import protos
from tests import forks

# Writes one SavedModel of each kind into argv[1], and what TensorFlow knows of them as JSON.
_WRITE = """
import json, pathlib, sys
import tensorflow as tf
import tensorflow_text as text

out = pathlib.Path(sys.argv[1])
(out / "vocab.txt").write_text("[UNK]\\na\\nb\\n")

def part(call, variables, trainable):
    made = tf.train.Checkpoint()
    made.__call__ = call
    made.variables, made.trainable_variables = variables, trainable
    made.regularization_losses = []
    return made

kernel = tf.Variable(tf.ones([3, 5]), name="kernel")
bias = tf.Variable(tf.ones([5]), name="bias")
frozen = tf.Variable(tf.ones([7]), name="frozen", trainable=False)
spec = tf.TensorSpec([None, 3])
call = tf.function(lambda x, training=False: {"y": tf.matmul(x, kernel)})
head = tf.function(lambda x: tf.matmul(x, kernel) + bias)
for training in (False, True):
    call.get_concrete_function(spec, training=training)
head.get_concrete_function(spec)
root = part(call, [kernel, frozen, kernel], [kernel])
root.mlm = part(head, [kernel, bias], [kernel, bias])
root.vocab_file = tf.saved_model.Asset(str(out / "vocab.txt"))
root.do_lower_case = tf.Variable(True, trainable=False, name="do_lower_case")
root.scale = tf.Variable(2.5, trainable=False, name="scale")
lower = tf.function(text.case_fold_utf8, input_signature=[tf.TensorSpec([None], tf.string)])
root.tokenize = part(lower, [], [])
root.tokenize.get_special_tokens_dict = tf.train.Checkpoint(
    __call__=tf.function(lambda: {"mask_id": tf.constant(4)}, input_signature=[])
)
root.tokenize.get_special_tokens_dict.__call__.get_concrete_function()
root.holder = tf.train.Checkpoint(encode=head, _private=head)
root.empty = tf.train.Checkpoint()
tf.saved_model.save(root, str(out / "reusable"), signatures={
    "serving_default": call.get_concrete_function(spec, training=False),
    "fold": lower.get_concrete_function(),
})
class Pinned(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def twice(self, x):
        with tf.device("/device:GPU:3"):
            return x * 2.0

tf.saved_model.save(Pinned(), str(out / "pinned"))

import keras
model = keras.Sequential([keras.layers.Input([4]), keras.layers.Dense(2, name="d")])
model.export(str(out / "keras"), verbose=False)

with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    x = tf.compat.v1.placeholder(tf.int64, [None, 2], name="x")
    w = tf.compat.v1.get_variable("w", [2])
    session.run(w.initializer)
    tf.compat.v1.saved_model.simple_save(session, str(out / "tf1"), {"x": x}, {"y": x + 1})

loaded = tf.saved_model.load(str(out / "reusable"))
print(json.dumps({
    "version": tf.__version__,
    "producer": tf.version.GRAPH_DEF_VERSION,
    "variables": len({id(v) for v in loaded.variables}),
}))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The directory with the SavedModels, and TensorFlow's own words on them."""
    out = tmp_path_factory.mktemp("saved_models")
    done = forks.run(_WRITE, out, preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def reusable(written):
    return read_saved_model(written[0] / "reusable")


def test_versions_and_tags(written, reusable):
    assert reusable.tensorflow_version == written[1]["version"]
    assert reusable.producer == written[1]["producer"]
    assert 0 < reusable.min_consumer <= reusable.producer
    assert reusable.tags == ("serve",)


def test_signatures(reusable):
    assert list(reusable.signatures) == ["fold", "serving_default"]  # no __saved_model_init_op
    serving = reusable.signatures["serving_default"]
    assert serving.inputs == {"x": TensorSpec("float32", (None, 3))}
    assert serving.outputs == {"y": TensorSpec("float32", (None, 5))}
    (folded,) = reusable.signatures["fold"].inputs.values()
    assert folded == TensorSpec("string", (None,))


def test_root(written, reusable):
    root = reusable.root
    assert (root.kind, root.num_traces) == ("callable", 2)
    assert root.variables == written[1]["variables"] == 2  # kernel is listed twice
    assert root.trainable_variables == 1
    assert root.num_parameters == 3 * 5 + 7
    assert root.attributes["vocab_file"].kind == "asset"
    assert root.attributes["vocab_file"].detail == "vocab.txt"
    assert root.attributes["do_lower_case"].value is True
    assert root.attributes["scale"].value == 2.5
    assert root.attributes["scale"].detail == "float32 []"
    assert "save_counter" not in root.attributes


def test_sub_objects(reusable):
    parts = {part.name: part for part in reusable.sub_objects}
    names = list(parts)
    assert names.index("tokenize") + 1 == names.index("tokenize.get_special_tokens_dict")
    assert set(parts) == {
        "mlm", "tokenize", "tokenize.get_special_tokens_dict", "holder", "holder.encode",
    }  # fmt: skip
    assert (parts["mlm"].kind, parts["mlm"].num_traces) == ("callable", 1)
    assert (parts["mlm"].variables, parts["mlm"].trainable_variables) == (2, 2)
    assert parts["mlm"].num_parameters == 3 * 5 + 5
    assert (parts["tokenize"].variables, parts["tokenize"].num_parameters) == (0, 0)
    assert parts["tokenize.get_special_tokens_dict"].variables is None
    assert parts["holder"].kind == "object" and parts["holder.encode"].kind == "function"


def test_ops_and_packages(reusable):
    assert reusable.packages["tensorflow-text"] == ["CaseFoldUTF8"]
    assert "unknown" not in reusable.packages  # calls of the library's functions are not ops
    assert reusable.ops["MatMul"] >= 3  # two traces and the head
    assert list(reusable.ops) == sorted(reusable.ops)
    assert reusable.record()["required_ops"] == {"tensorflow-text": ["CaseFoldUTF8"]}
    assert sum(reusable.ops.values()) == reusable.num_nodes  # calls are PartitionedCall nodes


def test_calls_by_name_are_no_ops(tmp_path):
    saved_model = protos.SavedModel()
    graph = saved_model.meta_graphs.add().graph_def
    graph.node.add(name="a", op="my_function_7")
    graph.node.add(name="b", op="MatMul", device="/device:TPU:0")
    function = graph.library.function.add()
    function.signature.name = "my_function_7"
    function.node_def.add(name="c", op="MatMul")
    (tmp_path / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    summary = read_saved_model(tmp_path)
    assert summary.ops == {"MatMul": 2}
    assert (summary.num_nodes, summary.num_functions) == (3, 1)
    assert summary.devices == ("/device:TPU:0",)


def test_variables_and_assets(reusable):
    variables = {variable.name: variable for variable in reusable.variables}
    assert variables["kernel"].shape == (3, 5) and variables["kernel"].trainable
    assert not variables["frozen"].trainable
    assert variables["do_lower_case"].dtype == "bool"
    assert reusable.num_parameters == 3 * 5 + 5
    assert reusable.assets == (Asset("vocab.txt", 10),)


def test_record_is_plain(reusable):
    record = reusable.record()
    assert json.loads(json.dumps(record)) == record
    assert record["signatures"]["serving_default"]["inputs"] == {
        "x": {"dtype": "float32", "shape": [None, 3]}
    }


def test_devices_and_unknown_rank(written):
    summary = read_saved_model(written[0] / "pinned")
    assert any("GPU:3" in device for device in summary.devices)
    assert [part.name for part in summary.sub_objects] == ["twice"]
    assert summary.root.kind == "object"
    assert summary.signatures["serving_default"].inputs["x"].shape is None


def test_keras_export(written):
    summary = read_saved_model(written[0] / "keras")
    assert "serve" in {part.name for part in summary.sub_objects}
    assert {variable.shape for variable in summary.variables} >= {(4, 2), (2,)}
    assert summary.root.num_parameters == 10
    assert summary.num_parameters == 20  # Keras keeps each variable a second time


def test_tensorflow_1(written):
    summary = read_saved_model(written[0] / "tf1")
    assert summary.root is None and summary.sub_objects == ()
    assert summary.signatures["serving_default"].inputs["x"] == TensorSpec("int64", (None, 2))
    assert summary.ops["Placeholder"] >= 1


def test_missing_asset_and_bundle(written, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(
        (written[0] / "reusable" / "saved_model.pb").read_bytes()
    )
    summary = read_saved_model(tmp_path)
    assert summary.assets == (Asset("vocab.txt", None),)
    assert summary.root.attributes["do_lower_case"].value is None


def test_no_saved_model(tmp_path):
    assert not is_saved_model(tmp_path)
    with pytest.raises(HubexportError, match="no readable SavedModel"):
        read_saved_model(tmp_path)


def test_text_form_is_refused(tmp_path):
    (tmp_path / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    assert is_saved_model(tmp_path)
    with pytest.raises(HubexportError, match="written as text, which is not supported"):
        read_saved_model(tmp_path)


def _damaged():
    dangling = protos.SavedModel()
    graph = dangling.meta_graphs.add()
    graph.object_graph_def.nodes.add().children.add(node_id=99, local_name="mlm")
    no_asset = protos.SavedModel()
    graph = no_asset.meta_graphs.add()
    graph.object_graph_def.nodes.add().children.add(node_id=1, local_name="vocab_file")
    graph.object_graph_def.nodes.add().asset.asset_file_def_index = 3
    yield "cut short", b"\x08\x01\x12\xff\x7f"
    yield "a web page", b"<!DOCTYPE html>"
    yield "empty", b""
    yield "dangling child", dangling.SerializeToString()
    yield "dangling asset", no_asset.SerializeToString()


@pytest.mark.parametrize("content", [pytest.param(b, id=name) for name, b in _damaged()])
def test_damaged(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(HubexportError, match="damaged"):
        read_saved_model(tmp_path)


def test_objects_that_refer_to_each_other(tmp_path):
    saved_model = protos.SavedModel()
    nodes = saved_model.meta_graphs.add().object_graph_def.nodes
    for other in (1, 0):
        node = nodes.add()
        node.children.add(node_id=other, local_name="other")
        node.children.add(node_id=2, local_name="__call__")
    nodes.add().function.concrete_functions.append("f")
    (tmp_path / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    assert [part.name for part in read_saved_model(tmp_path).sub_objects] == ["other"]
