"""The graph of an exported encoder: small, and what TensorFlow fuses of it on CPUs."""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import context
from tensorflow.python.util import _pywrap_util_port

import hubexport
from tests import tiny
from tests.optimizer import set_optimizer


@pytest.fixture(autouse=True)
def optimizer() -> None:
    """On, as users have it."""
    set_optimizer(True)


def optimized_nodes(artifact: Path) -> list[node_def_pb2.NodeDef]:
    """The nodes of the graph that runs."""
    encoder = tf.saved_model.load(str(artifact))
    inputs = {
        name: tf.ones([2, 5], tf.int32)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    context.enable_run_metadata()
    try:
        encoder(inputs)
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    return [node for graph in graphs for node in graph.post_optimization_graph.node]


def served_nodes(artifact: Path) -> list[node_def_pb2.NodeDef]:
    """The same of a session that runs the signature, as TensorFlow Serving does."""
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        signature = tf1.saved_model.load(session, ["serve"], str(artifact)).signature_def[
            "serving_default"
        ]
        metadata = tf1.RunMetadata()
        session.run(
            [tensor.name for tensor in signature.outputs.values()],
            {tensor.name: [[1] * 5] * 2 for tensor in signature.inputs.values()},
            options=tf1.RunOptions(output_partition_graphs=True),
            run_metadata=metadata,
        )
    return [node for graph in metadata.partition_graphs for node in graph.node]


def ops(nodes: Iterable[node_def_pb2.NodeDef]) -> collections.Counter[str]:
    """Op -> number of nodes; in sessions, some are called otherwise."""
    return collections.Counter(
        node.op.replace("_MklNativeFused", "_Fused").replace("_MklBatch", "Batch") for node in nodes
    )


def fused_with_products(nodes: Iterable[node_def_pb2.NodeDef]) -> collections.Counter[str]:
    """What dense layers are fused with -> number of nodes."""
    return collections.Counter(
        "+".join(op.decode() for op in node.attr["fused_ops"].list.s)
        for node in nodes
        if node.op.endswith("FusedMatMul")
    )


LAYERS = 12
"""Enough for names with numbers of two digits: which operands of sums and products are told apart
depends on the names of nodes."""


FUSED_GELU = {"gelu_tanh": "GeluApproximate", "gelu_erf": "GeluExact"}
"""By our name of it, as TensorFlow's remapper calls it."""

Nodes = Callable[[Path], list[node_def_pb2.NodeDef]]

with_onednn = pytest.mark.skipif(
    not _pywrap_util_port.IsMklEnabled(), reason="TensorFlow runs without oneDNN here"
)
both_ways = pytest.mark.parametrize("nodes_of", [optimized_nodes, served_nodes])


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports an encoder with an activation, once."""

    @functools.cache
    def exported(hidden_act: str, dtype: str = "float32", padding: str = "compute") -> Path:
        directory = tmp_path_factory.mktemp("fusions")
        config = {**tiny.CONFIG, "num_hidden_layers": LAYERS}
        hubexport.export_encoder(
            checkpoint=tiny.write_checkpoint(directory, config),
            export_path=directory / "out",
            hidden_act=hidden_act,
            dtype=dtype,
            padding=padding,
        )
        return directory / "out"

    return exported


@pytest.fixture
def artifact(export: Callable[..., Path]) -> Path:
    return export("gelu_tanh")


@with_onednn
@both_ways
@pytest.mark.parametrize(("hidden_act", "padding"), [
    ("gelu_tanh", "compute"), ("gelu_tanh", "skip"),
    pytest.param("gelu_erf", "compute", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_every_layer_is_fused(
    export: Callable[..., Path], hidden_act: str, padding: str, nodes_of: Nodes
) -> None:
    layers = LAYERS
    nodes = nodes_of(export(hidden_act, padding=padding))
    counts = ops(nodes)
    # Query, key, value, attention's output, and two dense layers; the pooler.
    assert counts["_FusedMatMul"] == 6 * layers + 1
    assert counts["BiasAdd"] == 0
    # With their biases, and what follows: the activation, residuals, the pooler's tanh.
    assert fused_with_products(nodes) == {
        "BiasAdd": 3 * layers,
        "BiasAdd+Add": 2 * layers,
        f"BiasAdd+{FUSED_GELU[hidden_act]}": layers,
        "BiasAdd+Tanh": 1,
    }
    assert not {"Erf", "Erfc", "Pow", "Tanh"} & counts.keys()
    # Products of queries and keys take the scale and the mask along.
    assert counts["_MklFusedBatchMatMulV2"] == layers
    assert counts["BatchMatMulV2"] == layers
    # Of residuals, nothing is left to add: what remains are norms' epsilons and offsets, and what
    # numbers of rows are made of.
    norms = 2 * layers + 1
    assert counts["AddV2"] <= 2 * norms + (2 if padding == "compute" else 4)
    # Heads are brought together and apart by Einsum's transposition, not by oneDNN's; or, of tokens
    # only, as they are gathered: in each layer four times, and once for its output.
    transpositions = counts["Einsum"] + counts["_MklEinsum"]
    if padding == "compute":
        assert transpositions == 4 * layers
        assert counts["Transpose"] + counts["_MklTranspose"] == 0
    else:
        assert transpositions == 0
        assert 4 * layers < counts["GatherV2"] <= 5 * layers + 12


def test_optimized_graphs_skip_padding(export: Callable[..., Path]) -> None:
    skips, computes = (export("gelu_tanh", padding=padding) for padding in ("skip", "compute"))
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf.constant([[1, 1, 0, 0], [1, 0, 1, 0]]) for name in names}
    ours, wanted = (tf.saved_model.load(str(path))(inputs) for path in (skips, computes))
    tokens = inputs["input_mask"] == 1
    for each, other in zip(ours["encoder_outputs"], wanted["encoder_outputs"], strict=True):
        tf.debugging.assert_near(each[tokens], other[tokens], atol=2e-5)
        assert not each[~tokens].numpy().any()


def test_compiled_products(artifact: Path) -> None:
    """To XLA, an einsum of one operand is a product with 1, of which nothing must be left."""
    encoder = tf.saved_model.load(str(artifact))
    function = tf.function(lambda inputs: encoder(inputs)["pooled_output"], jit_compile=True)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf.ones([2, 5], tf.int32) for name in names}
    program = function.experimental_get_compiler_ir(inputs)(stage="optimized_hlo")
    # Query, key, value, scores, context, attention's output, and two dense layers; the pooler.
    assert len(re.findall(r" dot\(", program)) == 8 * LAYERS + 1


def test_blocks_are_in_the_graph_once(artifact: Path) -> None:
    """One for inference, one for training; each layer is a call."""
    graph = saved_model_pb2.SavedModel.FromString((artifact / "saved_model.pb").read_bytes())
    functions = {
        function.signature.name: function
        for meta_graph in graph.meta_graphs
        for function in meta_graph.graph_def.library.function
    }
    blocks = [name for name in functions if "transformer_block" in name]
    calls = collections.Counter(
        node.attr["f"].func.name for function in functions.values() for node in function.node_def
    )
    assert [calls[name] for name in blocks] == [LAYERS, LAYERS]
