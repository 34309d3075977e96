"""Functions of two graphs, node by node, whatever numbers TensorFlow has given to them."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hubexport.comparison.changes import ADDED, CHANGED, REMOVED, Change, inside
from hubexport.errors import some_of

_NUMBERED = re.compile(r"(?:__(?:inference|forward|backward)_)?(.+?)_\d+")
_OF_A_PROCESS = ("_gradient_op_type", "config_proto")
"""Attributes of nodes that name what the saving process had registered, or its machine."""

_SHORT = 64  # bytes of an attribute that are kept as they are
_SHOWN = 3  # names of nodes in a detail


@dataclasses.dataclass(frozen=True)
class _Function:
    """A function: what its interface is, and its nodes: name -> part -> its bytes."""

    interface: bytes
    nodes: Mapping[str, Mapping[str, bytes]]

    @property
    def digest(self) -> bytes:
        """Equal for functions that compute the same in the same way, and call the same names."""
        digest = hashlib.sha256(self.interface)
        for name in sorted(self.nodes):
            digest.update(repr((name, sorted(self.nodes[name].items()))).encode())
        return digest.digest()


def function_changes(a: Any, b: Any) -> tuple[Change, ...]:
    """Functions that differ, by their names without numbers, and nodes outside of functions.

    Args:
      a, b: messages `protos.Graph`.
    """
    ours, theirs = _functions(a), _functions(b)
    found = []
    for name in dict.fromkeys([*ours, *theirs]):
        only_a, only_b = _unmatched(ours.get(name, ()), theirs.get(name, ()))
        if not only_a and not only_b:
            continue
        status = CHANGED if name in ours and name in theirs else REMOVED if only_a else ADDED
        found.append(
            Change(
                inside("functions", name) if name else "graph",
                status,
                _counts(only_a) if name in ours else None,
                _counts(only_b) if name in theirs else None,
                _detail(only_a, only_b),
            )
        )
    return tuple(found)


def _functions(graph: Any) -> dict[str, list[_Function]]:
    """Name without number -> its functions; "" -> the graph's own nodes."""
    stems = {each.signature.name: _stem(each.signature.name) for each in graph.library.function}
    found: dict[str, list[_Function]] = collections.defaultdict(list)
    if graph.node:
        found[""].append(_Function(b"", _nodes(graph.node, stems)))
    for function in graph.library.function:
        signature = type(function.signature)()
        signature.CopyFrom(function.signature)
        signature.name = ""
        ends = [
            sorted((each.key, each.value) for each in returned)
            for returned in (function.ret, function.control_ret)
        ]
        interface = signature.SerializeToString(deterministic=True) + repr(ends).encode()
        stem = stems[function.signature.name]
        found[stem].append(_Function(interface, _nodes(function.node_def, stems)))
    return found


def _stem(name: str) -> str:
    match = _NUMBERED.fullmatch(name)
    return match[1] if match else name


def _nodes(nodes: Iterable[Any], stems: Mapping[str, str]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for node in nodes:
        parts = {
            "op": stems.get(node.op, node.op).encode(),
            "inputs": "\n".join(node.input).encode(),
            "device": node.device.encode(),
        }
        for attribute in node.attr:
            if attribute.key not in _OF_A_PROCESS:
                raw = _attribute(attribute.value, stems)
                # Tables are large, and all nodes are in memory at once.
                short = len(raw) <= _SHORT
                parts[attribute.key] = raw if short else hashlib.sha256(raw).digest()
        found[node.name] = parts
    return found


def _attribute(value: Any, stems: Mapping[str, str]) -> bytes:
    named = [each for each in (value.func, *value.list.func) if each.name in stems]
    before = [each.name for each in named]
    for each in named:
        each.name = stems[each.name]
    raw: bytes = value.SerializeToString(deterministic=True)
    for each, name in zip(named, before, strict=True):
        each.name = name
    return raw


def _unmatched(
    a: Sequence[_Function], b: Sequence[_Function]
) -> tuple[list[_Function], list[_Function]]:
    """What is left of both where each is put beside an equal one."""
    digests = collections.Counter(each.digest for each in b)
    only_a = []
    for each in a:
        if digests[each.digest]:
            digests[each.digest] -= 1
        else:
            only_a.append(each)
    only_b = []
    for each in reversed(b):
        if digests[each.digest]:
            digests[each.digest] -= 1
            only_b.append(each)
    return only_a, only_b[::-1]


def _counts(functions: Sequence[_Function]) -> dict[str, int]:
    return {"functions": len(functions), "nodes": sum(len(each.nodes) for each in functions)}


def _detail(a: Sequence[_Function], b: Sequence[_Function]) -> str:
    """Which nodes differ, where functions can be put side by side."""
    if len(a) != len(b):
        return ""
    texts = []
    added, removed, changed = list[str](), list[str](), list[str]()
    for one, other in zip(a, b, strict=True):
        added += [name for name in other.nodes if name not in one.nodes]
        removed += [name for name in one.nodes if name not in other.nodes]
        for name in one.nodes.keys() & other.nodes.keys():
            if one.nodes[name] != other.nodes[name]:
                changed.append(f"{name} ({_parts(one.nodes[name], other.nodes[name])})")
    for nodes, what in ((changed, "changed"), (removed, "removed"), (added, "added")):
        if nodes:
            texts.append(f"{len(nodes):,} {what}: {some_of(sorted({*nodes}), _SHOWN)}")
    return "nodes " + "; ".join(texts) if texts else "its interface"


def _parts(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> str:
    return ", ".join(name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name))
