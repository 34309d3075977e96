"""The graph of an exported encoder: small, and what TensorFlow fuses of it on CPUs."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import context
from tensorflow.python.util import _pywrap_util_port

import hubexport
from tests import tiny


def optimized_ops(artifact: Path) -> collections.Counter[str]:
    """Op -> number of nodes of the graph that runs."""
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
    return collections.Counter(
        node.op for graph in graphs for node in graph.post_optimization_graph.node
    )


def served_ops(artifact: Path) -> collections.Counter[str]:
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
    return collections.Counter(
        node.op.replace("_MklNativeFused", "_Fused").replace("_MklBatch", "Batch")
        for graph in metadata.partition_graphs
        for node in graph.node
    )


LAYERS = 12
"""Enough for names with numbers of two digits: which operands of sums and products are told apart
depends on the names of nodes."""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fusions")
    config = {**tiny.CONFIG, "num_hidden_layers": LAYERS, "hidden_act": "gelu"}
    checkpoint = tiny.write_checkpoint(directory, config)
    hubexport.export_encoder(checkpoint=checkpoint, export_path=directory / "out")
    return directory / "out"


@pytest.mark.skipif(
    not _pywrap_util_port.IsMklEnabled(), reason="TensorFlow runs without oneDNN here"
)
@pytest.mark.parametrize("ops_of", [optimized_ops, served_ops])
def test_every_layer_is_fused(
    artifact: Path, ops_of: Callable[[Path], collections.Counter[str]]
) -> None:
    layers = LAYERS
    ops = ops_of(artifact)
    # Query, key, value, attention's output, and two dense layers; the pooler.
    assert ops["_FusedMatMul"] == 6 * layers + 1
    assert ops["BiasAdd"] == 0
    # Products of queries and keys take the scale and the mask along.
    assert ops["_MklFusedBatchMatMulV2"] == layers
    assert ops["BatchMatMulV2"] == layers
    # Of residuals, nothing is left to add: what remains are norms' epsilons and offsets.
    norms = 2 * layers + 1
    assert ops["AddV2"] <= 2 * norms + 2
    # Heads are brought together and apart by Einsum's transposition, not by oneDNN's.
    assert ops["Einsum"] + ops["_MklEinsum"] == 4 * layers
    assert ops["Transpose"] + ops["_MklTranspose"] == 0


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
