"""Ops that other runtimes lack are not in the graph, in whatever way the encoder is exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

import hubexport
from hubexport.networks.pooling import POOLINGS


def nodes(artifact: Path) -> Iterator[node_def_pb2.NodeDef]:
    """Every node of the graph and of its functions."""
    graph = saved_model_pb2.SavedModel.FromString((artifact / "saved_model.pb").read_bytes())
    for meta_graph in graph.meta_graphs:
        yield from meta_graph.graph_def.node
        for function in meta_graph.graph_def.library.function:
            yield from function.node_def


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With every head, every pooling that sentence-transformers knows, and the exact GELU."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import hugging_face

    directory = tmp_path_factory.mktemp("portable")
    checkpoint = hugging_face.save_safetensors(
        hugging_face.build("BertForPreTraining"), directory / "model"
    )
    pooling = {"pooling_mode": list(POOLINGS)}
    hugging_face.write_sentence_transformers(checkpoint, pooling, normalize=True, newer=True)
    record = hubexport.export_encoder(checkpoint=checkpoint, export_path=directory / "out")
    assert set(record["pooler"]["sentence_embedding"]["modes"]) == set(POOLINGS)
    assert record["architecture"]["hidden_act"] == "gelu_erf"
    return directory / "out"


def test_no_slice_adds_an_axis(artifact: Path) -> None:
    """TensorFlow Lite has an op of its own for the others only."""
    slices = [node for node in nodes(artifact) if node.op == "StridedSlice"]
    assert slices
    for node in slices:
        masks = {name: node.attr[name].i for name in ("new_axis_mask", "ellipsis_mask")}
        assert not any(masks.values()), (node.name, masks)


def test_gelu_is_made_of_erf(artifact: Path) -> None:
    """Neither ONNX nor TensorFlow.js has Erfc."""
    ops = {node.op for node in nodes(artifact)}
    assert "Erf" in ops and "Erfc" not in ops
