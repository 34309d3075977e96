"""What is in the functions of a SavedModel's graphs: ops of calls, dtypes of products, paths.

`reading.read_saved_model` says what the SavedModel has; this looks at single nodes.
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from hubexport.saved_model.objects import dtype_name
from hubexport.saved_model.reading import read_message

_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "XlaDotV2")
_PATH = re.compile(rb"(/[^/\0\s]+){2,}/?|[A-Za-z]:[\\/].+|(file|gs|s3|hdfs|https?)://.+")


def nodes_of_calls(directory: Path, ops: Collection[str]) -> set[int]:
    """For each function that no other function calls, the number of nodes with one of the ops.

    A function that is called twice counts twice.

    Returns:
      The distinct numbers.
    """
    functions = {
        function.signature.name: function
        for meta_graph in read_message(directory).meta_graphs
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


def dtype_of_products(directory: Path, known: Collection[str]) -> str:
    """The dtype of most matrix products, float32 where there are none.

    A claim beside the graph would be a way to softer limits.

    Args:
      directory: the SavedModel's.
      known: dtypes to answer with; others count as "float32", also float64.
    """
    counts: collections.Counter[str] = collections.Counter()
    for node in _nodes(directory):
        if node.op in _PRODUCTS:
            counts.update(dtype_name(each.value.type) for each in node.attr if each.key == "T")
    found = counts.most_common(1)
    return found[0][0] if found and found[0][0] in known else "float32"


def paths_in_constants(directory: Path) -> list[str]:
    """Constant strings, one to a node, that are absolute paths or addresses.

    Tables of pieces are constants of many strings, some of which look like paths.
    """
    found = set()
    for node in _nodes(directory):
        values = _strings(node.attr) if node.op == "Const" else []
        if len(values) == 1 and _PATH.fullmatch(values[0]):
            found.add(values[0].decode("utf-8", "replace"))
    return sorted(found)


def _nodes(directory: Path) -> Iterator[Any]:
    """Of all graphs and their functions."""
    for meta_graph in read_message(directory).meta_graphs:
        graph = meta_graph.graph_def
        yield from graph.node
        for function in graph.library.function:
            yield from function.node_def


def _strings(attributes: Iterable[Any]) -> list[bytes]:
    return [
        each
        for attribute in attributes
        if attribute.key == "value"
        for each in attribute.value.tensor.string_val
    ]


def _called_by(node: Any) -> Iterator[str]:
    for attribute in node.attr:
        value = attribute.value
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name
