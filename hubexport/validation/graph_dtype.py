"""What a graph multiplies matrices in: the format that its numbers can be as exact as."""

from __future__ import annotations

import collections
from pathlib import Path

from hubexport.saved_model.objects import dtype_name
from hubexport.saved_model.reading import PB
from hubexport.validation.tolerance import UNIT_ROUNDOFF

_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "XlaDotV2")


def dtype_of_graph(saved_model: Path) -> str:
    """The dtype of most matrix products of a SavedModel, float32 where it has none.

    A claim beside the graph would be a way to softer limits.

    Returns:
      A key of `UNIT_ROUNDOFF`: "float32" also for float64.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString((saved_model / PB).read_bytes())
    counts: collections.Counter[str] = collections.Counter()
    for meta_graph in message.meta_graphs:
        library = meta_graph.graph_def.library.function
        for nodes in (meta_graph.graph_def.node, *(function.node_def for function in library)):
            counts.update(dtype_name(node.attr["T"].type) for node in nodes if node.op in _PRODUCTS)
    found = counts.most_common(1)
    return found[0][0] if found and found[0][0] in UNIT_ROUNDOFF else "float32"
