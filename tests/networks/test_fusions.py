"""What TensorFlow fuses of an exported encoder on CPUs: most of its speed there."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.util import _pywrap_util_port

import hubexport
from tests import tiny

pytestmark = pytest.mark.skipif(
    not _pywrap_util_port.IsMklEnabled(), reason="TensorFlow runs without oneDNN here"
)


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


def test_every_layer_is_fused(tmp_path: Path) -> None:
    """Which operands of sums and products are told apart depends on the names of nodes: with
    enough layers, names with numbers of two digits are among them."""
    layers = 12
    config = {**tiny.CONFIG, "num_hidden_layers": layers, "hidden_act": "gelu"}
    checkpoint = tiny.write_checkpoint(tmp_path, config)
    hubexport.export_encoder(checkpoint=checkpoint, export_path=tmp_path / "out")
    ops = optimized_ops(tmp_path / "out")
    # Query, key, value, attention's output, and two dense layers; the pooler.
    assert ops["_FusedMatMul"] == 6 * layers + 1
    assert ops["BiasAdd"] == 0
    # Products of queries and keys take the scale and the mask along.
    assert ops["_MklFusedBatchMatMulV2"] == layers
    assert ops["BatchMatMulV2"] == layers
    # Of residuals, nothing is left to add: what remains are norms' epsilons and offsets.
    norms = 2 * layers + 1
    assert ops["AddV2"] <= 2 * norms + 2
