"""The last touch on a written SavedModel: what must not depend on where or when it was made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, some_of

PROGRAM = "saved_model.pb"
_NUMBERED = re.compile(
    r"^(__(?:inference|forward|backward)_.*?"
    r"|(?:.*_)?cond(?:_\d+)?_(?:true|false)"
    r"|(?:.*_)?while(?:_\d+)?_(?:cond|body)"
    r"|(?:.*_)?indexed_case(?:_\d+)?_branch\d+"
    r")_(\d+)$"
)
_CAPTURED = re.compile(r"(while|cond)(_\d+)+|\w+_\d+___redundant_placeholder\d+")


def finish(directory: Path) -> None:
    """Canonicalises `saved_model.pb`, then writes the fingerprint anew. Call when all is written.

    - Device strings are removed: a graph that names a device fails where there is no such device.
      So is what TensorFlow notes in calls of the machine at hand: its devices and threads.
    - So are random seeds: one set in the exporting program would fix everybody's dropout.
    - Functions are numbered in their order; TensorFlow numbers them through the life of a process,
      so that a second export would differ from the first.

    Raises:
      HubexportError: the graph still holds something that an artifact must not.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / PROGRAM
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta_graph in saved_model.meta_graphs:
        _strip_surroundings(meta_graph.graph_def)
        _renumber(meta_graph)
        _refuse_asserts(meta_graph.graph_def)
    path.write_bytes(saved_model.SerializeToString(deterministic=True))
    write_fingerprint(directory)


def write_fingerprint(directory: Path) -> None:
    """Writes `fingerprint.pb` (tensorflow/core/protobuf/fingerprint.proto) for what is there.

    Its uuid, random by TensorFlow's making, is taken from the hashes instead.
    """
    import uuid

    from tensorflow.core.protobuf import fingerprint_pb2

    # No public function writes a fingerprint; tf.saved_model.save calls this one.
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    message = fingerprint_pb2.FingerprintDef.FromString(
        fingerprinting.CreateFingerprintDef(str(directory))
    )
    hashes = (
        message.saved_model_checksum,
        message.graph_def_program_hash,
        message.signature_def_hash,
        message.saved_object_graph_hash,
        message.checkpoint_hash,
    )
    if hasattr(message, "uuid"):
        message.uuid = uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, hashes))).hex
    (directory / "fingerprint.pb").write_bytes(message.SerializeToString(deterministic=True))


def read_fingerprint(directory: Path) -> str:
    """TensorFlow's own one-line fingerprint: program, signatures, objects and checkpoint."""
    import tensorflow as tf

    fingerprint = tf.saved_model.experimental.read_fingerprint(str(directory))
    return str(fingerprint.singleprint())


def _strip_surroundings(graph: Any) -> None:
    nodes = [*graph.node]
    for function in graph.library.function:
        nodes += function.node_def
    for node in nodes:
        node.device = ""
        if "config_proto" in node.attr:
            node.attr["config_proto"].s = b""
        for name in ("seed", "seed2"):  # without them, drawn anew in every process
            if name in node.attr:
                del node.attr[name]


def _renumber(meta_graph: Any) -> None:
    library = meta_graph.graph_def.library
    names = [function.signature.name for function in library.function]
    numbered = [(name, _NUMBERED.match(name)) for name in names]
    # TensorFlow's own number is the order of tracing: it decides between equal names.
    order = sorted(
        ((match[1], int(match[2]), name) for name, match in numbered if match), key=lambda x: x[1]
    )
    new = {name: f"{stem}_{i}" for i, (stem, _, name) in enumerate(order)}

    def rename_in(nodes: Any) -> None:
        for node in nodes:
            if node.op in new:
                node.op = new[node.op]
            for attribute in node.attr.values():
                if attribute.func.name in new:
                    attribute.func.name = new[attribute.func.name]
                for function in attribute.list.func:
                    function.name = new.get(function.name, function.name)

    rename_in(meta_graph.graph_def.node)
    for function in library.function:
        _drop_capture_numbers(function)
        _drop_numbers_of_loops(function)
        function.signature.name = new.get(function.signature.name, function.signature.name)
        rename_in(function.node_def)
        for attribute in function.attr.values():
            if attribute.s.decode("utf-8", "replace") in new:
                attribute.s = new[attribute.s.decode()].encode()
    for gradient in library.gradient:
        gradient.function_name = new.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = new.get(gradient.gradient_func, gradient.gradient_func)
    ordered = sorted(library.function, key=lambda function: function.signature.name)
    del library.function[:]
    library.function.extend(ordered)
    objects = meta_graph.object_graph_def
    for node in objects.nodes:
        if node.HasField("function"):
            names_here = node.function.concrete_functions
            names_here[:] = [new.get(name, name) for name in names_here]
        elif node.HasField("bare_concrete_function"):
            bare = node.bare_concrete_function
            bare.concrete_function_name = new.get(
                bare.concrete_function_name, bare.concrete_function_name
            )
    concrete = objects.concrete_functions
    for old in [name for name in concrete if name in new and new[name] != name]:
        value = type(concrete[old])()
        value.CopyFrom(concrete[old])
        del concrete[old]
        # A new name may be an old name of another function: park it until all are moved.
        concrete["\0" + new[old]].CopyFrom(value)
    for parked in [name for name in concrete if name.startswith("\0")]:
        concrete[parked[1:]].CopyFrom(concrete[parked])
        del concrete[parked]
    aliases = meta_graph.meta_info_def.function_aliases
    for old in list(aliases):
        if old in new:
            alias = aliases.pop(old)
            aliases[new[old]] = alias


def _drop_capture_numbers(function: Any) -> None:
    """Captured tensors are "named" by a counter that runs through the life of the process."""
    attributes = [argument.attr for argument in function.arg_attr.values()]
    attributes += [node.attr for node in function.node_def]
    for attribute in attributes:
        name = "_user_specified_name"
        if name in attribute and attribute[name].s.isdigit():
            del attribute[name]


def _drop_numbers_of_loops(function: Any) -> None:
    """What a loop captures are arguments and results named by that counter, while_10559_0 say."""
    new = {
        argument.name: f"captured_{i}"
        for i, argument in enumerate(function.signature.input_arg)
        if _CAPTURED.fullmatch(argument.name)
    }
    for argument in function.signature.input_arg:
        argument.name = new.get(argument.name, argument.name)
    for node in function.node_def:
        node.input[:] = [new.get(name, name) for name in node.input]
    results = {
        argument.name: f"given_{i}"
        for i, argument in enumerate(function.signature.output_arg)
        if _CAPTURED.fullmatch(argument.name)
    }
    returned = dict(function.ret)
    function.ret.clear()
    for argument in function.signature.output_arg:
        value = returned[argument.name]
        argument.name = results.get(argument.name, argument.name)
        function.ret[argument.name] = new.get(value, value)


def _refuse_asserts(graph: Any) -> None:
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes += function.node_def
    asserts = [node.name for node in nodes if node.op == "Assert"]
    if asserts:
        raise HubexportError(
            "the graph holds Assert nodes, which break preprocessing on TPU hosts",
            [("nodes", some_of(asserts))],
            "report this: no input should lead to it.",
        )
