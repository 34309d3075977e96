"""TensorFlow checkpoints by name and by object: every path to a variable leads to its value."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.checkpoints.tensorflow import (
    OBJECT_GRAPH_KEY,
    VALUE_SUFFIX,
    open_tensorflow,
    read_object_graph,
)
from hubexport.errors import CheckpointError
from hubexport.tf_formats import bundle, protos, table
from tests import tiny


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


def write_objects(prefix: Path, graph: Any, values: dict[str, float]) -> Path:
    """An object-based checkpoint of scalars, its object graph written as TensorFlow writes it."""
    data = graph if isinstance(graph, bytes) else graph.SerializeToString()
    # A string tensor: lengths, the checksum of the lengths, the strings. Nobody checks that one.
    stored = table.write_varint(len(data)) + b"\0\0\0\0" + data
    with bundle.BundleWriter(prefix) as writer:
        for key, value in values.items():
            writer.add(key, "float32", (), [np.float32(value).tobytes()])
        writer.add(OBJECT_GRAPH_KEY, "string", (), [stored])
    return prefix


def object_graph(*nodes: dict[str, Any]) -> Any:
    """Nodes as {"children": {name: number}, "key": checkpoint key, "name": full name}."""
    graph = protos.TrackableObjectGraph()
    for node in nodes:
        made = graph.nodes.add()
        for name, number in node.get("children", {}).items():
            made.children.add(local_name=name, node_id=number)
        if "key" in node:
            made.attributes.add(
                name="VARIABLE_VALUE", checkpoint_key=node["key"], full_name=node.get("name", "")
            )
    return graph


class TestNameBased:
    def test_names_are_the_programs(self, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        source = open_tensorflow(prefix)
        assert (source.format, source.layout) == ("TensorFlow checkpoint", "tf1")
        assert list(source.tensors) == sorted(tiny.tensor_shapes(tiny.CONFIG))
        assert source.path == prefix
        assert [file.name for file in source.files] == [
            "bert_model.ckpt.index",
            "bert_model.ckpt.data-00000-of-00001",
        ]

    def test_there_are_no_other_paths(self, tmp_path):
        source = open_tensorflow(tiny.write_checkpoint(tmp_path))
        assert source.find("bert/pooler/dense/kernel") is not None
        for name in ("pooler/dense/kernel", "bert/pooler", "", "bert/pooler/dense/kernel/"):
            assert source.find(name) is None
        assert source.variable_names() == {}

    def test_dots_are_no_escapes_here(self, tmp_path):
        with bundle.BundleWriter(tmp_path / "x") as writer:
            writer.add("a.Sb..c", "int8", (1,), [b"\1"])
        assert list(open_tensorflow(tmp_path / "x").tensors) == ["a.Sb..c"]


class TestObjectBased:
    def test_aliases(self, tf, tmp_path):
        """A variable that several objects hold is stored once, under one of its paths."""
        shared = tf.Variable([1.0, 2.0], name="word_embeddings")
        encoder = tf.train.Checkpoint(table=shared, layers=[tf.train.Checkpoint(bias=shared)])
        root = tf.train.Checkpoint(
            encoder=encoder, masked_lm=tf.train.Checkpoint(tied=shared), direct=shared
        )
        source = open_tensorflow(Path(root.write(str(tmp_path / "x"))))
        assert (source.format, source.layout) == ("TensorFlow object-based checkpoint", "tf2")
        assert len(source.tensors) == 1
        (stored,) = source.tensors.values()
        for path in ("encoder/table", "encoder/layers/0/bias", "masked_lm/tied", "direct"):
            assert source.find(path) is stored, path
        assert stored.read().tolist() == [1.0, 2.0]

    def test_names_with_separators_inside(self, tf, tmp_path):
        """Keras tracks `output_bias/bias`; TensorFlow escapes "/" and "." in keys."""
        root = tf.train.Checkpoint()
        spellings = ("a/b", "a.b", "a.Sb", ".a", "a..b", "a/b/c")
        for i, name in enumerate(spellings):
            setattr(root, name, tf.Variable(float(i)))
        inside = tf.train.Checkpoint()
        setattr(inside, "x/y.z", tf.Variable(10.0))
        setattr(root, "part/of", inside)
        source = open_tensorflow(Path(root.write(str(tmp_path / "x"))))
        assert set(source.tensors) == {*spellings, "part/of/x/y.z"}
        for i, name in enumerate(spellings):
            found = source.find(name)
            assert found is not None and found.read() == i
            assert source.resolve(name) == name
        assert source.resolve("part/of/x/y.z") == "part/of/x/y.z"

    def test_the_longest_name_wins(self, tmp_path):
        """`a` with a child `b`, and `a/b`: TensorFlow could make both."""
        graph = object_graph(
            {"children": {"a": 1, "a/b": 3}},
            {"children": {"b": 2}},
            {"key": f"a/b{VALUE_SUFFIX}"},
            {"key": f"a.Sb{VALUE_SUFFIX}"},
        )
        # Both keys unescape to "a/b": the tensors are one entry, the second of them.
        prefix = write_objects(
            tmp_path / "x", graph, {f"a.Sb{VALUE_SUFFIX}": 3.0, f"a/c{VALUE_SUFFIX}": 2.0}
        )
        source = open_tensorflow(prefix)
        tensor = source.find("a/b")
        assert tensor is not None and tensor.read() == 3.0

    def test_cycles(self, tf, tmp_path):
        root = tf.train.Checkpoint(value=tf.Variable(5.0))
        child = tf.train.Checkpoint(parent=root, value=tf.Variable(6.0))
        root.child = child
        root.itself = root
        source = open_tensorflow(Path(root.write(str(tmp_path / "x"))))
        for path, value in (
            ("value", 5),
            ("itself/itself/itself/value", 5),
            ("child/parent/child/parent/value", 5),
            ("itself/child/parent/child/value", 6),
        ):
            found = source.find(path)
            assert found is not None and found.read() == value
        assert source.find("child/parent/child") is None  # an object, not a variable
        assert source.find("itself/" * 500 + "nothing") is None

    def test_what_is_not_there(self, tf, tmp_path):
        root = tf.train.Checkpoint(a=tf.train.Checkpoint(b=tf.Variable(1.0)))
        source = open_tensorflow(Path(root.write(str(tmp_path / "x"))))
        for path in ("", "a", "b", "a/c", "a/b/c", "/a/b", "a//b", "a/b/", f"a/b{VALUE_SUFFIX}"):
            assert source.find(path) is None, path

    def test_numbers_of_nodes_that_are_not_there(self, tmp_path):
        graph = object_graph({"children": {"a": 7, "b": 1}}, {"key": f"b{VALUE_SUFFIX}"})
        source = open_tensorflow(write_objects(tmp_path / "x", graph, {f"b{VALUE_SUFFIX}": 1.0}))
        assert source.resolve("a") is None
        assert source.resolve("b") == "b"

    def test_a_path_to_a_tensor_that_was_not_saved(self, tmp_path):
        graph = object_graph({"children": {"a": 1}}, {"key": f"elsewhere{VALUE_SUFFIX}"})
        source = open_tensorflow(write_objects(tmp_path / "x", graph, {f"b{VALUE_SUFFIX}": 1.0}))
        assert source.find("a") is None

    def test_variable_names(self, tf, tmp_path):
        root = tf.train.Checkpoint(
            kernel=tf.Variable(1.0, name="transformer/layer_0/kernel"),
            parts=[tf.train.Checkpoint(bias=tf.Variable(2.0, name="bias"))],
        )
        source = open_tensorflow(Path(root.save(str(tmp_path / "x"))))
        names = source.variable_names()
        assert names["kernel"] == "transformer/layer_0/kernel"
        assert names["parts/0/bias"] == "bias"
        assert names.keys() == source.tensors.keys()

    def test_optimizer_slots_are_tensors_of_their_own(self, tf, tmp_path):
        """As TensorFlow 2's optimizers keep them, below the variable that they belong to."""
        variable = tf.Variable([1.0], name="w")
        optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
        with tf.GradientTape() as tape:
            loss = variable * 2.0
        optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])
        root = tf.train.Checkpoint(w=variable, optimizer=optimizer)
        source = open_tensorflow(Path(root.write(str(tmp_path / "x"))))
        assert set(source.tensors) == {"w", "w/.OPTIMIZER_SLOT/optimizer/momentum"}
        found = source.find("w")
        assert found is not None and found.read().tolist() == variable.numpy().tolist()


class TestIndexWithoutData:
    """`inspect` looks at an index alone: names and shapes need no data files."""

    @pytest.fixture
    def bare(self, tf, tmp_path) -> Path:
        shared = tf.Variable([1.0], name="w")
        root = tf.train.Checkpoint(one=shared, other=tf.train.Checkpoint(two=shared))
        prefix = Path(root.write(str(tmp_path / "x")))
        (tmp_path / "x.data-00000-of-00001").unlink()
        return prefix

    def test_tensors_are_listed(self, bare):
        source = open_tensorflow(bare)
        assert source.layout == "tf2"
        assert [tensor.shape for tensor in source.tensors.values()] == [(1,)]
        assert [file.name for file in source.files] == ["x.index", "x.data-00000-of-00001"]

    def test_paths_do_not_resolve(self, bare):
        source = open_tensorflow(bare)
        (stored,) = source.tensors
        (alias,) = {"one", "other/two"} - {stored}
        assert source.find(stored) is not None
        assert source.find(alias) is None
        assert source.variable_names() == {}

    def test_reading_says_what_is_missing(self, bare):
        (tensor,) = open_tensorflow(bare).tensors.values()
        with pytest.raises(CheckpointError, match=r"x.data-00000-of-00001"):
            tensor.read()


class TestDamagedObjectGraph:
    def test_not_a_message(self, tmp_path):
        prefix = write_objects(tmp_path / "x", b"\xff\xff\xff", {f"a{VALUE_SUFFIX}": 1.0})
        source = open_tensorflow(prefix)  # read when first asked for
        assert list(source.tensors) == ["a"]
        with pytest.raises(CheckpointError) as caught:
            source.variable_names()
        assert "the object graph of the checkpoint is damaged" in str(caught.value)
        assert "x.data-00000-of-00001" in str(caught.value)

    def test_no_objects(self, tmp_path):
        source = open_tensorflow(write_objects(tmp_path / "x", b"", {f"a{VALUE_SUFFIX}": 1.0}))
        assert source.find("a") is not None
        assert source.find("b") is None
        assert source.variable_names() == {}

    @pytest.mark.parametrize("nbytes", [0, 30])
    def test_cut_short(self, tmp_path, nbytes):
        graph = object_graph({"children": {"a" * 40: 1}}, {"key": f"a{VALUE_SUFFIX}"})
        prefix = write_objects(tmp_path / "x", graph, {})
        entry = bundle.read_bundle(prefix)[OBJECT_GRAPH_KEY]
        assert len(read_object_graph(entry).nodes) == 2
        data = tmp_path / "x.data-00000-of-00001"
        data.write_bytes(data.read_bytes()[:nbytes])
        with pytest.raises(CheckpointError, match="cut short"):
            read_object_graph(entry)
        # The entry itself says that it is shorter: the message ends in the middle.
        with pytest.raises(CheckpointError, match="is damaged"):
            read_object_graph(dataclasses.replace(entry, nbytes=nbytes))
