"""How many nodes of a kind a call runs: a function that is called twice counts twice."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from hubexport.saved_model.reading import PB


def nodes_of_calls(saved_model: Path, ops: Collection[str]) -> set[int]:
    """For each function that no other function calls, the number of nodes with one of the ops.

    Returns:
      The distinct numbers.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString((saved_model / PB).read_bytes())
    functions = {
        function.signature.name: function
        for meta_graph in message.meta_graphs
        for function in meta_graph.graph_def.library.function
    }
    called = {
        name
        for function in functions.values()
        for node in function.node_def
        for name in _called_by(node)
    }

    @functools.cache
    def count(name: str) -> int:
        if name not in functions:
            return 0
        nodes = functions[name].node_def
        below = sum(count(each) for node in nodes for each in _called_by(node))
        return below + sum(node.op in ops for node in nodes)

    return {count(name) for name in functions.keys() - called}


def _called_by(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name
