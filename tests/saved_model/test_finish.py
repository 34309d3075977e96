"""A finished SavedModel does not depend on where and when it was made, and works as before."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hubexport.errors import HubexportError
from hubexport.saved_model.finish import finish, read_fingerprint, write_fingerprint

ROWS = np.float32([[0.5, -1.0], [2.0, 0.25], [0.0, 1.0]])


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def read(directory: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())


def nodes_of(directory: Path) -> list[Any]:
    (meta_graph,) = read(directory).meta_graphs
    library = meta_graph.graph_def.library.function
    return [*meta_graph.graph_def.node, *(node for f in library for node in f.node_def)]


def function_names(directory: Path) -> list[str]:
    (meta_graph,) = read(directory).meta_graphs
    return [function.signature.name for function in meta_graph.graph_def.library.function]


def make(tf: Any, *, traces: int = 1) -> Any:
    """Functions that call functions, the outer one with so many traces."""
    kernel = tf.Variable([[1.0, 2.0], [3.0, 4.0]], name="kernel")
    bias = tf.Variable([0.5, -0.5], name="bias")
    dense = tf.function(lambda x: tf.tanh(tf.matmul(x, kernel) + bias))
    twice = tf.function(lambda x, scale=1.0: {"y": dense(dense(x)) * scale, "x": x})
    for scale in range(1, traces + 1):  # the order of tracing is part of the program
        twice.get_concrete_function(tf.TensorSpec([None, 2], name="x"), scale=float(scale))
    root = tf.train.Checkpoint(kernel=kernel, bias=bias)
    root.__call__ = twice
    root.variables = [kernel, bias]
    return root


def save(tf: Any, root: Any, directory: Path, **options: Any) -> Path:
    signature = root.__call__.get_concrete_function(tf.TensorSpec([None, 2], name="x"), scale=1.0)
    tf.saved_model.save(root, str(directory), signatures={"serving_default": signature}, **options)
    return directory


@pytest.fixture(scope="module")
def twins(tf, tmp_path_factory) -> SimpleNamespace:
    """One program saved twice in a process, as two exports are; `raw` before the last touch."""
    directory = tmp_path_factory.mktemp("twins")
    one, other = save(tf, make(tf), directory / "one"), save(tf, make(tf), directory / "other")
    raw = files(one), files(other)
    names = function_names(one)
    finish(one)
    finish(other)
    return SimpleNamespace(one=one, other=other, raw=raw, raw_names=names)


class TestReproducible:
    def test_tensorflow_alone_is_not(self, twins):
        """Or there would be nothing to do here."""
        assert twins.raw[0]["saved_model.pb"] != twins.raw[1]["saved_model.pb"]
        assert twins.raw[0]["fingerprint.pb"] != twins.raw[1]["fingerprint.pb"]

    def test_two_in_a_process(self, twins):
        assert files(twins.one) == files(twins.other)

    def test_the_same_object_saved_twice(self, tf, tmp_path):
        """Where all was traced before, as hubexport does it: see `exporting.encoder`."""
        from tensorflow.python.saved_model import save_context

        with save_context.save_context(tf.saved_model.SaveOptions()):
            root = make(tf, traces=3)
            signature = root.__call__.get_concrete_function(
                tf.TensorSpec([None, 2], name="x"), scale=1.0
            )
        paths = tmp_path / "first", tmp_path / "second"
        for path in paths:
            tf.saved_model.save(root, str(path), signatures={"serving_default": signature})
            finish(path)
        assert files(paths[0]) == files(paths[1])

    def test_a_second_touch_changes_nothing(self, twins, tmp_path):
        before = files(twins.one)
        finish(twins.one)
        assert files(twins.one) == before

    def test_numbers_are_the_order_of_tracing(self, twins):
        def stem_and_number(name: str) -> tuple[str, int]:
            stem, _, number = name.rpartition("_")
            return stem, int(number)

        raw = sorted(map(stem_and_number, twins.raw_names), key=lambda pair: pair[1])
        done = sorted(map(stem_and_number, function_names(twins.one)), key=lambda pair: pair[1])
        assert [stem for stem, _ in done] == [stem for stem, _ in raw]
        assert [number for _, number in done] == list(range(len(raw)))

    def test_no_old_name_is_left(self, twins):
        text = str(read(twins.one))
        names = set(function_names(twins.one))
        assert set(re.findall(r'"(__inference_[^"]*)"', text)) <= names
        assert not [name for name in twins.raw_names if name not in names and f'"{name}"' in text]

    def test_new_names_that_are_old_names_of_others(self, tf, tmp_path):
        """Functions of one stem, numbered from 1: each takes the name of the one before it."""
        from google.protobuf import text_format

        path = save(tf, make(tf, traces=8), tmp_path / "out")
        numbers = {name: i + 1 for i, name in enumerate(sorted(function_names(path)))}
        # By way of the text form: every place that names a function, known to us or not.
        renamed = re.sub(
            r'"(__inference_[^"]*)"',
            lambda match: f'"__inference_same_{numbers[match[1]]}"',
            text_format.MessageToString(read(path)),
        )
        saved_model = text_format.Parse(renamed, type(read(path))())
        (path / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        before = functions_by_number(path)
        finish(path)
        after = functions_by_number(path)
        assert after == {number - 1: function for number, function in before.items()}
        loaded = tf.saved_model.load(str(path))
        plain = loaded(tf.constant(ROWS), scale=1.0)["y"]
        for scale in range(1, 9):
            scaled = loaded(tf.constant(ROWS), scale=float(scale))["y"]
            np.testing.assert_allclose(scaled, plain * scale, rtol=1e-6)


def functions_by_number(directory: Path) -> dict[int, tuple[Any, ...]]:
    """Number -> what a function does, and how the object graph says that it is called."""
    (meta_graph,) = read(directory).meta_graphs
    concrete = meta_graph.object_graph_def.concrete_functions
    found = {}
    for function in meta_graph.graph_def.library.function:
        name = function.signature.name
        called = concrete[name].SerializeToString(deterministic=True) if name in concrete else None
        ops = [(node.name, node.op, list(node.input)) for node in function.node_def]
        constants = [n.attr["value"].tensor.SerializeToString() for n in function.node_def]
        found[int(name.rpartition("_")[2])] = (ops, constants, called)
    return found


def gradient_functions(directory: Path) -> list[str]:
    """What functions say is their forward or backward function."""
    (meta_graph,) = read(directory).meta_graphs
    return [
        value.s.decode()
        for function in meta_graph.graph_def.library.function
        for key, value in sorted(function.attr.items())
        if key in ("forward_function_name", "backward_function_name")
    ]


@pytest.fixture(scope="module")
def loaded(tf, twins) -> Any:
    return tf.saved_model.load(str(twins.one))


class TestStillWorks:
    def expected(self, tf: Any, loaded: Any) -> Any:
        x = tf.constant(ROWS)
        for _ in range(2):
            x = tf.tanh(tf.matmul(x, loaded.kernel) + loaded.bias)
        return x

    def test_outputs(self, tf, loaded):
        outputs = loaded(tf.constant(ROWS), scale=1.0)
        np.testing.assert_allclose(outputs["y"], self.expected(tf, loaded), rtol=1e-6)
        np.testing.assert_array_equal(outputs["x"], ROWS)

    def test_signature(self, tf, loaded):
        outputs = loaded.signatures["serving_default"](x=tf.constant(ROWS))
        np.testing.assert_allclose(outputs["y"], self.expected(tf, loaded), rtol=1e-6)

    def test_every_trace_is_found(self, tf, tmp_path):
        path = save(tf, make(tf, traces=12), tmp_path / "out")
        finish(path)
        loaded = tf.saved_model.load(str(path))
        plain = loaded(tf.constant(ROWS), scale=1.0)["y"]
        for scale in range(1, 13):
            scaled = loaded(tf.constant(ROWS), scale=float(scale))["y"]
            np.testing.assert_allclose(scaled, plain * scale, rtol=1e-6)

    def test_gradients_through_nested_functions(self, tf, loaded):
        with tf.GradientTape(persistent=True) as tape:
            ours = tf.reduce_sum(loaded(tf.constant(ROWS), scale=1.0)["y"] ** 2)
            plain = tf.reduce_sum(self.expected(tf, loaded) ** 2)
        for variable in (loaded.kernel, loaded.bias):
            got, wanted = tape.gradient(ours, variable), tape.gradient(plain, variable)
            assert np.abs(wanted).max() > 1e-3
            np.testing.assert_allclose(got, wanted, rtol=1e-5)

    def test_gradients_in_a_function(self, tf, loaded):
        @tf.function
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = loaded(x, scale=1.0)["y"]
            return tape.gradient(y, x)

        x = tf.constant(ROWS)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loaded(x, scale=1.0)["y"]
        np.testing.assert_allclose(gradient(x), tape.gradient(y, x), rtol=1e-5)

    def test_functions_that_hold_gradients(self, tf, tmp_path):
        """Their forward and backward functions are numbered, and named by attributes."""
        inner = tf.function(lambda x: tf.tanh(x) * x)

        def slope(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = inner(inner(x))
            return tape.gradient(y, x)

        root = tf.train.Checkpoint(
            slope=tf.function(slope, input_signature=[tf.TensorSpec([None, 2])])
        )
        expected = root.slope(tf.constant(ROWS)).numpy()
        tf.saved_model.save(root, str(tmp_path / "out"))
        before = gradient_functions(tmp_path / "out")
        assert before and set(before) & set(function_names(tmp_path / "out"))
        there = sorted(name in function_names(tmp_path / "out") for name in before)
        finish(tmp_path / "out")
        after = gradient_functions(tmp_path / "out")
        assert sorted(name in function_names(tmp_path / "out") for name in after) == there
        loaded = tf.saved_model.load(str(tmp_path / "out"))
        np.testing.assert_array_equal(loaded.slope(tf.constant(ROWS)), expected)

    def test_control_flow(self, tf, tmp_path):
        step = tf.function(lambda x: x * 1.5)

        def body(x):
            x = tf.while_loop(lambda x: tf.reduce_sum(x) < 100.0, lambda x: (step(x),), [x])[0]
            return tf.cond(tf.reduce_max(x) > 10.0, lambda: step(x), lambda: x)

        root = tf.train.Checkpoint(
            run=tf.function(body, input_signature=[tf.TensorSpec([None, 2])])
        )
        expected = root.run(tf.constant(ROWS)).numpy()
        tf.saved_model.save(root, str(tmp_path / "out"))
        finish(tmp_path / "out")
        loaded = tf.saved_model.load(str(tmp_path / "out"))
        np.testing.assert_array_equal(loaded.run(tf.constant(ROWS)), expected)

    def test_sessions_of_tensorflow_1_load_it(self, tf, twins, loaded):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(twins.one))
            signature = meta_graph.signature_def["serving_default"]
            y = session.run(signature.outputs["y"].name, {signature.inputs["x"].name: ROWS})
        np.testing.assert_allclose(y, self.expected(tf, loaded), rtol=1e-6)


def test_function_aliases_follow_the_functions(tf, tmp_path):
    root = make(tf)
    path = save(
        tf,
        root,
        tmp_path / "out",
        options=tf.saved_model.SaveOptions(function_aliases={"twice": root.__call__}),
    )
    finish(path)
    (meta_graph,) = read(path).meta_graphs
    aliases = meta_graph.meta_info_def.function_aliases
    assert set(aliases.values()) == {"twice"}
    assert set(aliases) <= set(function_names(path))


@pytest.fixture(scope="module")
def pinned(tf, tmp_path_factory) -> Path:
    with tf.device("/device:GPU:3"):
        root = tf.train.Checkpoint()
        root.run = tf.function(
            lambda x: {"y": tf.nn.relu(x) + 1.0}, input_signature=[tf.TensorSpec([None, 2])]
        )

        def run(x):
            with tf.device("/job:worker/task:1/device:TPU:0"):
                return x * root.run(x)["y"]

        root.both = tf.function(run, input_signature=[tf.TensorSpec([None, 2])])
        root.both.get_concrete_function()
    directory = tmp_path_factory.mktemp("pinned") / "out"
    tf.saved_model.save(root, str(directory))
    assert {node.device for node in nodes_of(directory)} > {""}
    finish(directory)
    return directory


class TestDevices:
    def test_none_is_named(self, pinned):
        assert {node.device for node in nodes_of(pinned)} == {""}
        text = (pinned / "saved_model.pb").read_bytes()
        assert b"GPU:" not in text and b"TPU" not in text and b"/job:" not in text

    def test_it_runs_here(self, tf, pinned):
        loaded = tf.saved_model.load(str(pinned))
        expected = ROWS * (np.maximum(ROWS, 0) + 1)
        np.testing.assert_allclose(loaded.both(tf.constant(ROWS)), expected)


class TestAsserts:
    @pytest.mark.parametrize("nested", [False, True])
    def test_refused(self, tf, tmp_path, nested):
        def check(x):
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x > 0), [x])]):
                return tf.identity(x)

        call = tf.function(check) if nested else check
        root = tf.train.Checkpoint(
            run=tf.function(lambda x: call(x), input_signature=[tf.TensorSpec([2])])
        )
        tf.saved_model.save(root, str(tmp_path / "out"))
        with pytest.raises(HubexportError) as caught:
            finish(tmp_path / "out")
        assert "the graph holds Assert nodes" in str(caught.value)
        assert "nodes: Assert" in str(caught.value)

    def test_a_name_is_no_assert(self, tf, tmp_path):
        root = tf.train.Checkpoint(
            run=tf.function(
                lambda x: tf.identity(x, name="Assert"), input_signature=[tf.TensorSpec([2])]
            )
        )
        tf.saved_model.save(root, str(tmp_path / "out"))
        finish(tmp_path / "out")
        assert "Assert" in {node.name for node in nodes_of(tmp_path / "out")}


class TestFingerprint:
    def message(self, directory: Path) -> Any:
        from tensorflow.core.protobuf import fingerprint_pb2

        return fingerprint_pb2.FingerprintDef.FromString(
            (directory / "fingerprint.pb").read_bytes()
        )

    def test_equal_artifacts_have_equal_ones(self, twins):
        assert read_fingerprint(twins.one) == read_fingerprint(twins.other)
        assert re.fullmatch(r"\d+/\d+/\d+/\d+", read_fingerprint(twins.one))

    def test_it_is_of_what_is_there(self, tf, twins):
        """Not of the graph before the last touch."""
        from tensorflow.core.protobuf import fingerprint_pb2

        before = fingerprint_pb2.FingerprintDef.FromString(twins.raw[0]["fingerprint.pb"])
        after = self.message(twins.one)
        assert after.saved_model_checksum != before.saved_model_checksum
        assert after.checkpoint_hash == before.checkpoint_hash
        assert after.signature_def_hash == before.signature_def_hash
        tf.saved_model.load(str(twins.one))  # warns and goes on where it cannot read it
        assert tf.saved_model.experimental.read_fingerprint(str(twins.one)) is not None

    def test_uuid_is_of_the_content(self, twins):
        message = self.message(twins.one)
        assert re.fullmatch(r"[0-9a-f]{32}", message.uuid)
        assert message.uuid == self.message(twins.other).uuid
        write_fingerprint(twins.one)
        assert self.message(twins.one) == message

    def test_other_weights_have_another_one(self, tf, twins, tmp_path):
        root = make(tf)
        root.kernel.assign(root.kernel + 1.0)
        path = save(tf, root, tmp_path / "out")
        finish(path)
        ours, other = self.message(path), self.message(twins.one)
        assert ours.graph_def_program_hash == other.graph_def_program_hash
        assert ours.saved_model_checksum == other.saved_model_checksum
        # TensorFlow hashes the index alone, which holds the checksum of every tensor.
        assert ours.checkpoint_hash != other.checkpoint_hash
        assert ours.uuid != other.uuid
