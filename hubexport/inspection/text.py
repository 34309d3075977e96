"""Facts as `hubexport inspect` prints them: plain lines, a label on the left, no colours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from hubexport.saved_model.ops import CORE, UNKNOWN

HEAD = 16
"""Tensors listed unless all are asked for."""

_LABEL = 15  # width of the column of labels
_WIDTH = 100
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))

# How tensors are named, where that is all that is known of a checkpoint's layout.
_NAMING = {
    "tf1": "tensors by the names of their variables",
    "tf2": "tensors by their paths through the objects",
    "openai": "tensors by their place in OpenAI's list of shapes",
    "fairseq": "a PyTorch state dict by fairseq's names",
    "xlm_original": "a PyTorch state dict by XLM's names",
    "hugging_face": "a PyTorch state dict",
}

# Dimensions in reading order, and their names for people.
_BLOCKS = (
    ("num_hidden_layers", "layers"),
    ("hidden_size", "hidden size"),
    ("num_attention_heads", "attention heads"),
    ("intermediate_size", "intermediate size"),
)
_EMBEDDINGS = (
    ("vocab_size", "vocabulary"),
    ("max_position_embeddings", "positions"),
    ("type_vocab_size", "token types"),
    ("embedding_size", "width"),
)


def render(facts: dict[str, Any], *, everything: bool) -> str:
    """The text for facts of `hubexport.inspection.facts`.

    Args:
      facts: with `num_tensors`, the number before a filter was applied to `tensors`.
      everything: whether all tensors are listed.
    """
    body = _saved_model(facts) if facts["kind"] == "saved_model" else _checkpoint(facts)
    return "\n".join([*body, *_tensors(facts, everything)])


def _checkpoint(facts: dict[str, Any]) -> Iterator[str]:
    yield _line("checkpoint", facts["path"])
    yield _line("format", facts["format"])
    yield _line("layout", facts["layout"] or _NAMING[facts["naming"]])
    yield from _files(facts["files"])
    if facts["saved_model"]:
        yield _line("part of", f"the SavedModel {facts['saved_model']}: inspect that for the rest")
    yield from _family(facts)
    read = f"as {facts['configuration']} is read in this layout"
    yield from _architecture(facts["architecture"], facts["configured"], read)
    yield from (_line("disagreement", text) for text in facts["disagreements"])
    if facts["family"] or facts["architecture"] or facts["parts"]:
        yield from _parts(facts["parts"], "" if facts["family"] else " found by their names")
    count = facts["parameters"]
    dtypes = ", ".join(f"{dtype} {values:,}" for dtype, values in count["by_dtype"].items())
    if len(count["by_dtype"]) == 1:
        dtypes = next(iter(count["by_dtype"]))
    yield _line(
        "parameters",
        f"{count['count']:,} in {_number(count['tensors'], 'tensor')}"
        + (f" ({dtypes})" if dtypes else ""),
    )
    for i, (kind, counts) in enumerate(facts["not_parameters"].items()):
        values = _number(counts["values"], "value")
        yield _line(
            "" if i else "besides", f"{kind}: {_number(counts['tensors'], 'tensor')}, {values}"
        )


def _saved_model(facts: dict[str, Any]) -> Iterator[str]:
    versions = facts["graph_versions"]
    yield _line("SavedModel", facts["path"])
    yield _line(
        "written by",
        f"TensorFlow {facts['tensorflow_version'] or 'of an unknown version'} (graph version "
        f"{versions['producer']}, readable from {versions['min_consumer']} on)",
    )
    yield _line("tags", ", ".join(facts["tags"]) or "none")
    yield from _files(facts["files"])
    try:  # anybody may have written it
        record = facts["record"] or {}
        configured = record.get("encoder", record).get("architecture")
        lines = list(_record(facts["record"]))
        lines += _architecture(facts["architecture"], configured, "by the record")
    except (AttributeError, KeyError, TypeError, ValueError):
        lines = [_line("record", "damaged: it is not of the form that hubexport writes")]
        lines += _architecture(facts["architecture"], None, "")
    yield from lines
    count = facts["parameters"]
    trainable = _number(count["tensors"], "trainable variable")
    yield _line("parameters", f"{count['count']:,} in {trainable}")
    yield _line("root", _object(facts["root"]) if facts["root"] else "none (TensorFlow 1)")
    if facts["root"]:
        yield from _attributes(facts["root"]["attributes"])
    width = max(map(len, facts["sub_objects"]), default=0)
    for i, (name, part) in enumerate(facts["sub_objects"].items()):
        yield _line("" if i else "sub-objects", f"{name:<{width}}  {_object(part)}")
        yield from _attributes(part["attributes"])
    for name, signature in facts["signatures"].items():
        yield _line("signature", name)
        for direction, label in (("inputs", "in "), ("outputs", "out")):
            for key, spec in signature[direction].items():
                yield _line("", f"  {label} {key}  {spec['dtype']} {_shape(spec['shape'])}")
    yield _line(
        "ops",
        f"{len(facts['ops']):,} different in {_number(facts['num_nodes'], 'node')}, "
        f"{_number(facts['num_functions'], 'function')}",
    )
    yield from _required(facts["required_ops"], facts["imports"])
    if facts["devices"]:
        yield _line("devices", ", ".join(facts["devices"]))
    for i, (name, nbytes) in enumerate(facts["assets"].items()):
        yield _line("" if i else "assets", f"{name} ({_size(nbytes)})")


def _family(facts: dict[str, Any]) -> Iterator[str]:
    encoder = facts["encoder_tensors"]
    name = facts["family"]
    yield _line("family", f"{name} ({facts['evidence']})" if name else facts["evidence"])
    if encoder:
        found, total = encoder["found"], encoder["of"]
        missing = "all" if found == total else f"{found:,} of"
        yield _line("encoder", f"{missing} {total:,} tensors found")
    if facts["configuration"]:
        used = "" if name else ", not used"
        inside = any(file["name"] == facts["configuration"] for file in facts["files"])
        where = "kept with the weights" if inside else "beside the checkpoint"
        yield _line("configuration", f"{facts['configuration']}, {where}{used}")
    if facts["configuration_problem"]:
        yield _line("configuration", facts["configuration_problem"])


def _architecture(
    sizes: dict[str, Any] | None, configured: dict[str, Any] | None, source: str
) -> Iterator[str]:
    if sizes is None:
        return
    blocks = [f"{label} {sizes[key]:,}" for key, label in _BLOCKS if sizes[key] is not None]
    yield _line("architecture", ", ".join(blocks))
    embeddings = [f"{label} {sizes[key]:,}" for key, label in _EMBEDDINGS if sizes[key] is not None]
    yield _line("embeddings", ", ".join(embeddings) or "none found")
    if configured:
        said = [f"activation {configured['hidden_act']}", f"epsilon {configured['layer_norm_eps']}"]
        if sizes["num_attention_heads"] is None:
            said.insert(0, f"attention heads {configured['num_attention_heads']}")
        if configured.get("padding") == "skip":
            said.append("padding skipped")
        yield _line("", f"{', '.join(said)} ({source})")
    elif sizes["num_attention_heads"] is None:
        yield _line("", "attention heads unknown: neither names nor shapes tell their number")


def _parts(parts: dict[str, Any], how: str) -> Iterator[str]:
    pooler = parts.get("pooler")
    yield _line("pooler", _counts(pooler) if pooler else f"none{how}")
    heads = [f"{name}: {_counts(counts)}" for name, counts in parts.items() if name != "pooler"]
    for i, text in enumerate(heads or [f"none{how}"]):
        yield _line("" if i else "heads", text)


def _counts(counts: dict[str, Any]) -> str:
    if counts["of"] is None:
        return f"{_number(counts['found'], 'tensor')}, by their names"
    whole = "all" if counts["found"] == counts["of"] else f"{counts['found']} of"
    return f"{whole} {counts['of']} tensors"


def _record(record: dict[str, Any] | None) -> Iterator[str]:
    if record is None:
        yield _line("record", "none: not made by hubexport")
    elif "problem" in record:
        yield _line("record", record["problem"])
    else:
        family = (record.get("family") or {}).get("name")
        task = (record.get("task") or {}).get("name")
        maker = (record.get("environment") or {}).get("hubexport")
        kind = str(record.get("kind")) + (f" of family {family}" if family else "")
        text = [kind + (f" for {task}" if task else "")]
        text += [f"hubexport {maker}"] if maker else []
        text += [record["created"]] if "created" in record else []
        yield _line("record", ", ".join(text))
        parts = [record, *(record.get(part) or {} for part in ("encoder", "preprocessor"))]
        made_from = {
            f"made from {file['name']}, SHA-256 {file['sha256']}": None
            for each in parts
            for file in _sources(each)
        }
        yield from (_line("", text) for text in made_from)
        yield from (_line("", f"warning: {warning}") for warning in record.get("warnings") or ())


def _sources(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The files that an artifact was made from."""
    files = list((record.get("checkpoint") or {}).get("files") or ())
    files += [record.get("configuration")]
    files += ((record.get("tokenizer") or {}).get("files") or {}).values()
    files += (record.get("pooler") or {}).get("files") or ()
    files += record.get("files") or ()
    yield from filter(None, files)


def _object(part: dict[str, Any]) -> str:
    text = [part["kind"]]
    if part["num_traces"]:
        text.append(_number(part["num_traces"], "trace"))
    if part["variables"] is not None:
        trainable = part["trainable_variables"]
        text.append(
            _number(part["variables"], "variable")
            + (f" ({trainable:,} trainable)" if part["variables"] and trainable is not None else "")
        )
    if part["num_parameters"]:
        text.append(f"{part['num_parameters']:,} parameters")
    return ", ".join(text)


def _attributes(attributes: dict[str, Any]) -> Iterator[str]:
    for name, attribute in attributes.items():
        value = "" if attribute["value"] is None else f" = {attribute['value']}"
        yield _line("", f"  .{name}  {attribute['kind']} {attribute['detail']}{value}")


def _required(required: dict[str, list[str]], imports: dict[str, str]) -> Iterator[str]:
    if not required:
        yield _line("needs", f"{CORE} and no other package")
    for package, names in required.items():
        if package == UNKNOWN:
            what = "ops of a package that is not known:"
        else:
            what = f"pip install {package}, `import {imports[package]}` before loading, for"
        yield from _wrapped("needs", f"{what} {', '.join(names)}")


def _files(files: Iterable[dict[str, Any]]) -> Iterator[str]:
    for i, file in enumerate(files):
        yield _line("" if i else "files", f"{file['name']} ({_size(file['bytes'])})")
    if any(file["bytes"] is None for file in files):
        yield _line("", "without that data only names, types and shapes are known")


def _tensors(facts: dict[str, Any], everything: bool) -> Iterator[str]:
    tensors, total = facts["tensors"], facts["num_tensors"]
    found = "" if len(tensors) == total else f"{len(tensors):,} found by --filter, of "
    shown = tensors if everything else tensors[:HEAD]
    yield _line("tensors", f"{found}{total:,}")
    rows = [
        (tensor["name"], tensor["dtype"], _shape(tensor["shape"]), _remark(tensor))
        for tensor in shown
    ]
    name, dtype, shape = (max((len(row[i]) for row in rows), default=0) for i in range(3))
    for row in rows:
        yield f"  {row[0]:<{name}}  {row[1]:<{dtype}}  {row[2]:<{shape}}  {row[3]}".rstrip()
    if len(shown) < len(tensors):
        yield f"  ... {len(tensors) - len(shown):,} more: --all lists them, --filter=REGEX some"


def _remark(tensor: dict[str, Any]) -> str:
    """What the name does not say: an opaque one's variable, and what is not a parameter."""
    if tensor.get("trainable") is False:
        return "not trainable"
    opaque = tensor["name"].rpartition("/")[2].isdigit()
    return tensor.get("state") or (tensor.get("variable") if opaque else None) or ""


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}".rstrip()


def _wrapped(label: str, text: str) -> Iterator[str]:
    for i, line in enumerate(textwrap.wrap(text, _WIDTH - _LABEL, break_long_words=False)):
        yield _line("" if i else label, line)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _shape(shape: list[int | None] | None) -> str:
    return "unknown rank" if shape is None else str(shape)


def _size(nbytes: int | None) -> str:
    if nbytes is None:
        return "absent"
    return next(
        (f"{nbytes / size:.1f} {unit}" for size, unit in _UNITS if nbytes >= size),
        f"{nbytes} bytes",
    )
