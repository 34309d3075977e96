"""Variables without memory, and everything internal to TensorFlow that hubexport stands on."""

from __future__ import annotations

import ast
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests import forks

PACKAGE = Path(__file__).parents[2] / "hubexport"

# Module -> names taken from it. Whatever of TensorFlow is not public may change with any release:
# a new one belongs here, with a test below of what is relied on.
INTERNALS = {
    "tensorflow.python.eager.polymorphic_function.saved_model_utils": {"TrackableConstant"},
    "tensorflow.python.ops.resource_variable_ops": {"UninitializedVariable"},
    "tensorflow.python.saved_model": {"save_context"},
    "tensorflow.python.saved_model.pywrap_saved_model": {"fingerprinting"},
    # Whether a trace is for XLA, of `hubexport.keras`:
    "tensorflow.python.ops.control_flow_util": {"GraphOrParentsInXlaContext"},
    # Of a generator that is run by hand, when TensorFlow's op registry has grown:
    "tensorflow.python.client": {"pywrap_tf_session"},
}


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


@pytest.fixture
def variables(tf) -> Any:
    from hubexport.networks.variables import Variables

    return Variables({"a/kernel": (3, 4), "a/bias": (4,), "scalar": ()})


class TestVariables:
    def test_made_when_asked_for_and_once(self, variables):
        assert variables.made() == {}
        assert variables.unused() == ["a/kernel", "a/bias", "scalar"]
        kernel = variables("a/kernel", 3, 4)
        assert variables("a/kernel", 3, 4) is kernel
        scalar = variables("scalar")
        assert variables.made() == {"a/kernel": kernel, "scalar": scalar}
        assert list(variables.made()) == ["a/kernel", "scalar"]
        assert variables.unused() == ["a/bias"]

    def test_what_is_given_out_cannot_change_it(self, variables):
        variables("scalar")
        variables.made().clear()
        assert list(variables.made()) == ["scalar"]

    def test_name_shape_and_kind(self, tf, variables):
        kernel = variables("a/kernel", 3, 4)
        assert isinstance(kernel, tf.Variable)
        assert (kernel.name, kernel.shape.as_list()) == ("a/kernel:0", [3, 4])
        assert kernel.dtype == tf.float32
        assert kernel.trainable

    @pytest.mark.parametrize("shape", [(4, 3), (3,), (3, 4, 1), (), (12,)])
    def test_wrong_shape(self, variables, shape):
        with pytest.raises(ValueError, match=r"a/kernel: the network has .*the table \(3, 4\)"):
            variables("a/kernel", *shape)
        assert variables.made() == {}

    def test_wrong_shape_of_one_that_is_made(self, variables):
        variables("a/bias", 4)
        with pytest.raises(ValueError, match="a/bias"):
            variables("a/bias", 5)

    def test_unknown_name(self, variables):
        with pytest.raises(ValueError, match=r"b: the network has \(4,\), the table None"):
            variables("b", 4)


def test_no_memory_for_values():
    """4 GiB of variables, in a process of its own: what was freed would hide what was taken."""
    code = """
import json, os, resource
import tensorflow as tf
from hubexport.networks.variables import Variables

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

variables = Variables({"warm": (2, 2), **{f"v{i}": (1 << 10, 1 << 18) for i in range(4)}})
warm = variables("warm", 2, 2)
tf.function(lambda x: tf.matmul(x, warm)).get_concrete_function(tf.TensorSpec([None, 2]))
before, peak = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = [variables(f"v{i}", 1 << 10, 1 << 18) for i in range(4)]
tf.function(lambda x: [tf.matmul(x, v) for v in made]).get_concrete_function(
    tf.TensorSpec([None, 1 << 10])
)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([resident() - before, (after - peak) * 1024]))
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is measured by Linux's /proc")
    done = forks.run(code, environment={"CUDA_VISIBLE_DEVICES": "-1"})
    assert done.returncode == 0, done.stderr[-2000:]
    grown, peak_grown = json.loads(done.stdout.splitlines()[-1])
    assert grown < 50 << 20
    assert peak_grown < 50 << 20


def internals_used() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        if "tensorflow" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                if node.module.startswith("tensorflow.python"):
                    found.setdefault(node.module, set()).update(a.name for a in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("tensorflow.python"):
                        found.setdefault(alias.name, set())
            elif isinstance(node, ast.Attribute):
                assert node.attr != "__internal__", f"{path}: tf.__internal__"
    return found


class TestInternals:
    """A TensorFlow that changes one of them fails here, by name, and not in an export."""

    def test_no_others_are_used(self):
        assert internals_used() == INTERNALS

    @pytest.mark.parametrize("module", INTERNALS)
    def test_they_are_there(self, tf, module):
        found = importlib.import_module(module)
        for name in INTERNALS[module]:
            assert hasattr(found, name), f"{module}.{name}"

    def test_graphs_for_xla_are_told(self, tf):
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

        found: list[bool] = []

        def inner(x: Any) -> Any:
            found.append(bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())))
            return x

        for compiled in (True, False):
            called = tf.function(inner, autograph=False)
            outer = tf.function(
                lambda x, called=called: called(x), autograph=False, jit_compile=compiled
            )
            outer(tf.zeros([2]))
            # Also of a function that a compiled one calls.
            assert found.pop() == compiled

    def test_uninitialized_variable(self, tf):
        """Takes dtype, shape, name and trainable; is a variable; has a handle, and no value."""
        from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

        made = UninitializedVariable(dtype=tf.float32, shape=(2, 3), name="x/y", trainable=True)
        assert isinstance(made, tf.Variable)
        assert (made.name, made.shape.as_list(), made.trainable) == ("x/y:0", [2, 3], True)
        assert not tf.raw_ops.VarIsInitializedOp(resource=made.handle)

    def test_a_variable_of_a_shape_may_hold_no_elements(self, tf, tmp_path):
        """AssignVariableOp does not compare with the declared shape; saving writes what is held,
        declares what was declared, and traces see the declared shape."""
        from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

        made = UninitializedVariable(dtype=tf.float32, shape=(2, 3), name="v", trainable=True)
        tf.raw_ops.AssignVariableOp(resource=made.handle, value=tf.zeros([0]))
        root = tf.train.Checkpoint(v=made)
        root.run = tf.function(
            lambda x: tf.matmul(x, made), input_signature=[tf.TensorSpec([None, 2])]
        )
        assert root.run.get_concrete_function().output_shapes.as_list() == [None, 3]
        tf.saved_model.save(root, str(tmp_path))
        reader = tf.train.load_checkpoint(str(tmp_path / "variables" / "variables"))
        (key,) = [key for key in reader.get_variable_to_shape_map() if key.startswith("v/")]
        assert reader.get_variable_to_shape_map()[key] == [0]
        from tensorflow.core.protobuf import saved_model_pb2

        saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
        (declared,) = [
            node.variable
            for node in saved.meta_graphs[0].object_graph_def.nodes
            if node.HasField("variable") and node.variable.name == "v"
        ]
        assert [dim.size for dim in declared.shape.dim] == [2, 3]

    def test_save_context(self, tf):
        """A context manager of SaveOptions; within it, functions are traced as saving would."""
        from tensorflow.python.saved_model import save_context

        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        assert not save_context.in_save_context()
        with save_context.save_context(options):
            assert save_context.in_save_context()
            assert save_context.get_save_options() is options
        assert not save_context.in_save_context()

    def test_traces_of_the_save_context_are_saved_as_they_are(self, tf, tmp_path):
        """What it is used for: what is named by its argument is not traced a second time."""
        from tensorflow.python.saved_model import save_context

        traced = []

        def run(x):
            traced.append(x)
            return x * 2.0

        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        root = tf.train.Checkpoint()
        with save_context.save_context(options):
            root.run = tf.function(run, autograph=False)
            root.run.get_concrete_function(tf.TensorSpec([None], name="x"))
        tf.saved_model.save(root, str(tmp_path), options=options)
        assert len(traced) == 1

    def test_fingerprinting(self, tf, tmp_path):
        """CreateFingerprintDef takes a SavedModel's path and gives a serialized FingerprintDef."""
        from tensorflow.core.protobuf import fingerprint_pb2
        from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

        tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path))
        data = fingerprinting.CreateFingerprintDef(str(tmp_path))
        ours = fingerprint_pb2.FingerprintDef.FromString(data)
        theirs = fingerprint_pb2.FingerprintDef.FromString(
            (tmp_path / "fingerprint.pb").read_bytes()
        )
        hashes = (
            "graph_def_program_hash", "signature_def_hash", "saved_object_graph_hash",
            "checkpoint_hash",
        )  # fmt: skip
        for name in ("saved_model_checksum", *hashes):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert ours.saved_model_checksum and ours.graph_def_program_hash and ours.checkpoint_hash
        assert ours.uuid != theirs.uuid  # random: why it is replaced
        read = tf.saved_model.experimental.read_fingerprint(str(tmp_path))
        assert read.singleprint() == "/".join(str(getattr(theirs, name)) for name in hashes)

    def test_op_registry(self, tf):
        from tensorflow.core.framework import op_def_pb2
        from tensorflow.python.client import pywrap_tf_session

        serialized = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
        ops = op_def_pb2.OpList.FromString(serialized)
        assert {"MatMul", "AssignVariableOp"} <= {op.name for op in ops.op}

    def test_names_of_functions(self, tf):
        """`__inference_<function>_<number>`, the number growing: finish() renumbers those."""
        call = tf.function(lambda x: x + 1.0)
        numbers = []
        for dtype in (tf.float32, tf.float64):
            name = call.get_concrete_function(tf.TensorSpec([], dtype)).name
            text = name.decode() if isinstance(name, bytes) else name
            assert text.startswith("__inference_<lambda>_")
            numbers.append(int(text.rpartition("_")[2]))
        assert numbers[0] < numbers[1]
