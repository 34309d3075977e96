"""TF-Hub's interface of text encoders: what every program that loads the artifact relies on.

Interfaces: tensorflow.org/hub/reusable_saved_models (`variables`, `trainable_variables`,
`regularization_losses`, `training`) and tensorflow.org/hub/common_saved_model_apis/text (inputs
and outputs of transformer encoders, `.mlm`). Signatures are not part of them: an artifact of
hubexport must have `serving_default`, of others' it is only said what it takes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hubexport.errors import some_of
from hubexport.families.heads import ENCODER_LEAD, FLOATS, POSITIONS, Function, Interface
from hubexport.validation import ranked
from hubexport.validation.artifact import flatten, training_keyword
from hubexport.validation.cases import (
    ENCODER_INPUTS,
    TYPES,
    WITH_OPTIONAL,
    Case,
    Tensors,
    padded_left,
)
from hubexport.validation.context import Context
from hubexport.validation.reference_file import sizes_of_axes
from hubexport.validation.results import GateResult, Measurement, failure, judge
from hubexport.validation.tolerance import Tolerance

NAME = "interface"
SUMMARY = "TF-Hub's: objects, inputs, outputs, heads, signatures, hub.KerasLayer"
NEEDS = ("encoder",)
LOADED = True
APART = False
EACH_PRECISION = False


_SAMPLES, _CHOICES, _STEPS = 2, 3, 3
_OUTPUTS = ("sequence_output", "pooled_output", "default")


def run(context: Context) -> GateResult:
    """Objects, inputs, outputs, heads, signatures, and use as a `hub.KerasLayer`."""
    measurements: list[Measurement] = []
    checks = (_objects, _outputs, influence, _heads, _optional, _limits, _signatures, _keras_layer)
    for check in checks:
        try:
            measurements += check(context)
        except Exception as error:  # whatever the artifact does
            measurements.append(failure(check.__name__.strip("_").replace("_", " "), error))
    return judge(NAME, measurements)


def _objects(context: Context) -> Iterator[Measurement]:
    """What a reusable SavedModel has, the root and each head."""
    encoder = context.encoder
    for name in ("", *encoder.heads):
        part, label = encoder.part(name), f".{name}" if name else "root"
        yield Measurement(f"{label} can be called", callable(part))
        variables = list(getattr(part, "variables", None) or [])
        trainable = list(getattr(part, "trainable_variables", None) or [])
        ids = {id(variable.handle) for variable in variables}
        yield Measurement(f"{label}.variables", bool(variables), len(variables), "some")
        yield Measurement(
            f"{label}.trainable_variables are of its variables",
            bool(trainable) and all(id(each.handle) in ids for each in trainable),
            len(trainable),
            "some",
        )
        if context.record is not None:
            names = sorted(each.name for each in variables if id(each.handle) not in {
                id(other.handle) for other in trainable
            })  # fmt: skip
            yield Measurement(f"{label}: all variables are trainable", not names, ", ".join(names))
        losses = getattr(part, "regularization_losses", None)
        yield Measurement(f"{label}.regularization_losses", losses is not None)
        for loss in losses or []:
            yield Measurement(f"{label}.regularization_losses: a number", loss().shape.rank == 0)
        yield Measurement(
            f"{label} takes `training`", "training" in training_keyword(part, training=True)
        )


def _outputs(context: Context) -> Iterator[Measurement]:
    """Names, dtypes and shapes, for batches and sequences of several sizes."""
    sizes = context.sizes
    for case in _cases(context):
        rows, length = case.shape
        outputs = context.encoder.call("", case.inputs)
        yield _names(case.name, outputs, (*_OUTPUTS, "encoder_outputs"))
        layers = outputs.get("encoder_outputs", [])
        yield Measurement(
            f"{case.name}: number of encoder_outputs",
            isinstance(layers, list | tuple) and len(layers) == sizes["num_hidden_layers"],
            str(len(layers)),
            str(sizes["num_hidden_layers"]),
        )
        flat = flatten(outputs)
        for name, value in flat.items():
            wanted: tuple[int | None, ...] = (rows, None)
            if name == "sequence_output" or name.startswith("encoder_outputs"):
                wanted = (rows, length, sizes["hidden_size"])
            yield from _form(f"{case.name}: {name}", value, wanted)
        if layers:
            last = flat[f"encoder_outputs[{len(layers) - 1}]"]
            same = np.array_equal(last, flat["sequence_output"])
            yield Measurement(f"{case.name}: the last layer is sequence_output", same)
        pooler = context.record["pooler"] if context.record else {}
        if pooler.get("default", "pooled_output") == "pooled_output":
            same = np.array_equal(flat["default"], flat["pooled_output"])
            yield Measurement(f"{case.name}: default is pooled_output", same)


def _heads(context: Context) -> Iterator[Measurement]:
    """Each head gives the encoder's outputs and its own, and keeps its own variables."""
    case, encoder = context.case("ragged"), context.encoder
    root = flatten(encoder.call("", case.inputs))
    own = {id(variable.handle) for variable in encoder.root.variables}
    known = {"V": context.sizes["vocab_size"]}
    if context.record is not None:
        promised = set(context.record["heads"])
        yield Measurement(
            "heads of the record", promised == set(encoder.heads), ", ".join(encoder.heads)
        )
    for name, interface in encoder.heads.items():
        outputs = flatten(encoder.call(name, case.inputs))
        for key in interface.outputs:
            logits = outputs.get(key)
            yield Measurement(f".{name} gives {key}", logits is not None)
            if logits is not None:
                axes = tuple(known.get(str(axis), axis) for axis in encoder.axes_of(key, name))
                wanted = sizes_of_axes(axes, case)
                yield from _form(f".{name}: {key}", logits, wanted, interface.dtype(key))
            if logits is not None and (other := encoder.head_of(key)) != name:
                first = flatten(encoder.call(other, case.inputs))[key]
                yield _equal(context, f".{name}: {key} is that of .{other}", key, logits, first)
        yield from _functions(context, name, interface)
        if interface.lead != ENCODER_LEAD:
            yield from _choices(context, name, outputs)
        if context.record is not None:
            yield from _labels(name, interface, encoder.part(name))
        tolerance = context.tolerance(case.shape[1])
        for key, value in root.items():
            if interface.encodes:  # whether that is right, `numerics` can tell
                continue
            if key not in outputs and context.record is None:
                continue  # Model Garden's heads have no `default`
            # Another graph may be fused otherwise: equal to rounding, not to the bit.
            limit = tolerance.limits(key, float(np.sqrt(np.mean(np.square(value))))).max_abs
            apart = (
                float(np.max(np.abs(outputs[key] - value)))
                if key in outputs and outputs[key].shape == value.shape
                else np.inf
            )
            yield Measurement(f".{name}: {key} is the root's", bool(apart <= limit), apart, limit)
        of_head = {id(variable.handle) for variable in encoder.part(name).variables}
        if context.record is not None:
            yield Measurement(f".{name}.variables hold the encoder's, too", own <= of_head)
        extra = [each.name for each in encoder.part(name).variables if id(each.handle) not in own]
        if context.record is None or context.record["heads"][name]["num_parameters"]:
            yield Measurement(f".{name} has variables of its own", bool(extra), len(extra), "some")


def _equal(
    context: Context, what: str, output: str, actual: np.ndarray, expected: np.ndarray
) -> Measurement:
    """Two graphs may be fused in two ways: equal to rounding, not to the bit."""
    rms = float(np.sqrt(np.mean(np.square(expected))))
    limit = context.tolerance(context.case("ragged").shape[1]).limits(output, rms).max_abs
    value = actual.reshape(expected.shape) if actual.size == expected.size else None
    apart = np.inf if value is None else float(np.max(np.abs(value - expected)))
    return Measurement(what, bool(apart <= limit), apart, limit)


def _functions(context: Context, name: str, interface: Interface) -> Iterator[Measurement]:
    """What the head's functions give; of those that go on step by step, what the head gives."""
    case, encoder = context.case("ragged"), context.encoder
    for each, function in interface.functions.items():
        part = getattr(encoder.part(name), each, None)
        yield Measurement(f".{name}.{each} can be called", callable(part))
        if part is None or (function.inputs and "past" not in function.inputs):
            continue
        if function.inputs:
            yield from _steps(context, name, each, function)
            continue
        outputs = flatten(encoder.call(f"{name}.{each}", case.inputs))
        for key, axes in function.outputs.items():
            yield from _form(f".{name}.{each}: {key}", outputs[key], sizes_of_axes(axes, case))


def _steps(context: Context, name: str, each: str, function: Function) -> Iterator[Measurement]:
    """Token by token, padded on the left, against all tokens at once."""
    ragged = context.case("ragged").inputs
    right = Case("steps", {key: value[1:] for key, value in ragged.items()})  # no hole in the mask
    case = padded_left(right, context.pad_token_id)
    rows, length = case.shape
    ids, mask = case.inputs["input_word_ids"], case.inputs["input_mask"]
    positions = np.tile(np.arange(length, dtype=np.int32), (rows, 1))
    whole = flatten(context.encoder.call(name, {**case.inputs, POSITIONS: positions}))
    (logits,) = set(function.outputs) - {"past"}
    begin = max(1, length - _STEPS)
    given = {"input_word_ids": ids[:, :begin], "input_mask": mask[:, :begin]}
    for i in range(begin, length + 1):
        outputs = context.device.run(getattr(context.encoder.part(name), each), _tensors(given))
        is_token = mask[:, i - 1] == 1  # what is made of padding says nothing
        actual, expected = outputs[logits].numpy()[is_token], whole[logits][is_token, i - 1]
        yield _equal(
            context, f".{name}.{each}: {logits} after {i} tokens", logits, actual, expected
        )
        given = {
            "input_word_ids": ids[:, i : i + 1],
            "input_mask": mask[:, : i + 1],
            "past": outputs["past"],
        }


def _choices(context: Context, name: str, alone: Mapping[str, Any]) -> Iterator[Measurement]:
    """Rows as the choices of several samples give what they do alone."""
    case, encoder = context.case("ragged"), context.encoder
    rows = np.arange(_SAMPLES * _CHOICES).reshape(_SAMPLES, _CHOICES) % case.shape[0]
    given = encoder.inputs_of(name, case.inputs)
    inputs = {key: value[rows] for key, value in given.items()}  # [B, C, S]
    outputs = flatten(context.device.run(encoder.part(name), _tensors(inputs)))
    tolerance = context.tolerance(case.shape[1])
    own = encoder.heads[name].outputs
    for key, value in alone.items():
        expected = value[:, 0][rows] if key in own else value[rows]  # each the one choice: [B, 1]
        limit = tolerance.limits(key, float(np.sqrt(np.mean(np.square(expected))))).max_abs
        apart = np.inf
        if key in outputs and outputs[key].shape == expected.shape:
            apart = float(np.max(np.abs(outputs[key] - expected)))
        yield Measurement(f".{name}: {key} of choices", bool(apart <= limit), apart, limit)


def _labels(name: str, interface: Interface, part: Any) -> Iterator[Measurement]:
    """`labels` of the sub-object are the record's."""
    held = getattr(part, "labels", None)
    found = None if held is None else [label.decode() for label in held.numpy().tolist()]
    wanted = list(interface.labels) or None
    yield Measurement(f".{name}.labels", found == wanted, str(found), str(wanted))


def _optional(context: Context) -> Iterator[Measurement]:
    """Inputs that may be left out: they are taken, by heads too, and change what is given."""
    encoder = context.encoder
    for name, optional in encoder.optional.items():
        case = context.case(WITH_OPTIONAL + name)
        for part in ("", *encoder.heads):
            label = f".{part} with {name}" if part else f"root with {name}"
            outputs = flatten(encoder.call(part, case.inputs))
            for key, axes in optional.outputs.items():
                if (value := outputs.get(key)) is None:
                    yield Measurement(f"{label} gives {key}", False)
                else:
                    yield from _form(f"{label}: {key}", value, sizes_of_axes(axes, case))
        without = {key: value for key, value in case.inputs.items() if key != name}
        given, plain = (
            flatten(encoder.call("", inputs))["sequence_output"]
            for inputs in (case.inputs, without)
        )
        if optional.limit is None:
            yield Measurement(f"{name} has an influence", not np.array_equal(given, plain))
            nothing = {name: case.inputs[name][:, :, :0]}
            empty = flatten(encoder.call("", {**case.inputs, **nothing}))["sequence_output"]
            yield _equal(context, f"{name} of no steps", "sequence_output", empty, plain)
        elif optional.limit > 1:
            values = {name: (case.inputs[name] + 1) % optional.limit}
            other = flatten(encoder.call("", {**case.inputs, **values}))["sequence_output"]
            yield Measurement(f"{name} has an influence", not np.array_equal(given, other))


def _limits(context: Context) -> Iterator[Measurement]:
    """A sequence that is too long, where there is such a thing, is an error: nothing is made up."""
    longest = context.longest
    if longest is None:
        return
    ones = {name: np.ones([1, longest + 1], np.int32) for name in ENCODER_INPUTS}
    try:
        context.encoder.call("", ones)["sequence_output"].numpy()
        refused = False
    except Exception:  # of whatever class
        refused = True
    yield Measurement(f"a sequence of {longest + 1} tokens is refused", refused)


def _signatures(context: Context) -> Iterator[Measurement]:
    """`serving_default` takes the inputs by name and gives what the root gives."""
    signature = getattr(context.encoder.root, "signatures", {}).get("serving_default")
    ours = context.record is not None
    if signature is None:
        yield Measurement("signature serving_default", not ours, "absent")
        return
    takes = sorted(signature.structured_input_signature[1])
    named = set(ENCODER_INPUTS) <= set(takes)
    yield Measurement("signature serving_default takes", named or not ours, ", ".join(takes))
    if not named:
        return
    case = context.case("ragged")
    root = flatten(context.encoder.call("", case.inputs))
    served = context.device.run(signature, **_tensors({k: case.inputs[k] for k in takes}))
    tolerance = context.tolerance(case.shape[1])
    for name in sorted(served):
        if name in root:
            value = root[name]
            limit = tolerance.limits(name, float(np.sqrt(np.mean(np.square(value))))).max_abs
            apart = float(np.max(np.abs(served[name].numpy() - value)))
            yield Measurement(
                f"signature serving_default: {name}", bool(apart <= limit), apart, limit
            )
    if ours:
        yield _names("signature serving_default", served, _OUTPUTS)
        yield from _head_signatures(context, tolerance)


def _head_signatures(context: Context, tolerance: Tolerance) -> Iterator[Measurement]:
    """A signature for each head, named as it is, that gives the head's own outputs."""
    encoder, case = context.encoder, context.case("ragged")
    for name in encoder.heads:
        what = f"signature {name}"
        signature = encoder.root.signatures.get(name)
        yield Measurement(what, signature is not None)
        if signature is None:
            continue
        inputs = encoder.inputs_of(name, case.inputs)
        if encoder.heads[name].lead != ENCODER_LEAD:
            inputs = {key: value[:, np.newaxis] for key, value in inputs.items()}
        served = context.device.run(signature, **_tensors(inputs))
        called = flatten(encoder.call(name, case.inputs))
        given = {key: value.numpy() for key, value in served.items()}
        for logits in encoder.heads[name].outputs:
            if logits in ranked.RANKED:
                yield from ranked.measure(tolerance, f"{what}: {logits}", logits, given, called)
                continue
            value = called[logits]
            limit = tolerance.limits(logits, float(np.sqrt(np.mean(np.square(value))))).max_abs
            apart = np.inf
            if logits in given and given[logits].shape == value.shape:
                apart = float(np.max(np.abs(given[logits] - value)))
            yield Measurement(f"{what}: {logits}", bool(apart <= limit), apart, limit)


def _keras_layer(context: Context) -> Iterator[Measurement]:
    """`hub.KerasLayer` wraps it and finds its variables."""
    if context.device.strategy is not None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, of pkg_resources
            import tensorflow_hub as hub
    except ImportError:  # pkg_resources is missing, say: no fault of the artifact
        return
    case = context.case("ragged")
    layer = hub.KerasLayer(context.encoder.root, trainable=True)
    with context.device.placed():
        outputs = layer(_tensors({key: case.inputs[key] for key in ENCODER_INPUTS}))
    yield _names("hub.KerasLayer", outputs, _OUTPUTS)
    found, wanted = len(layer.trainable_weights), len(context.encoder.root.trainable_variables)
    yield Measurement(
        "hub.KerasLayer(trainable=True) trains all variables",
        found == wanted,
        str(found),
        str(wanted),
    )


def _cases(context: Context) -> list[Case]:
    return [context.case(name) for name in ("one_token", "ragged", "batch_1")]


def _tensors(inputs: Tensors) -> dict[str, Any]:
    import tensorflow as tf

    return {
        name: tf.constant(value, tf.float32 if name in FLOATS else tf.int32)
        for name, value in inputs.items()
    }


def _names(what: str, outputs: Mapping[str, Any], wanted: tuple[str, ...]) -> Measurement:
    missing = [name for name in wanted if name not in outputs]
    return Measurement(
        f"{what}: outputs", not missing, ", ".join(sorted(outputs)), ", ".join(wanted)
    )


def _form(
    what: str, value: np.ndarray, shape: tuple[int | None, ...], dtype: str = "float32"
) -> Iterator[Measurement]:
    """Dtype, shape (None: any size) and finite values of one output."""
    fits = value.ndim == len(shape) and all(
        wanted in (None, size) for size, wanted in zip(value.shape, shape, strict=True)
    )
    yield Measurement(f"{what}: dtype", value.dtype == dtype, str(value.dtype), dtype)
    yield Measurement(f"{what}: shape", fits, str(list(value.shape)), str(list(shape)))
    yield Measurement(f"{what}: finite", bool(np.isfinite(value.astype(np.float64)).all()))


def influence(context: Context) -> Iterator[Measurement]:
    """One measurement for each of the encoder's inputs.

    None for an input that the model could not tell from another: padding in sequences of one
    token, ids of a vocabulary of one piece, token types that are all embedded alike.
    """
    case = context.case("ragged")
    for name in ENCODER_INPUTS:
        try:
            if not context.reads(name):
                yield _is_ignored(context, case, name)
            elif (other := _other(context, case, name)) is not None:
                changed, plain = (
                    context.encoder.call("", inputs)["sequence_output"].numpy()
                    for inputs in ({**case.inputs, name: other}, case.inputs)
                )
                yield Measurement(f"{name} has an influence", not np.array_equal(changed, plain))
        except Exception as error:  # whatever the artifact does
            yield failure(f"{name} of other values", error)


def _is_ignored(context: Context, case: Case, name: str) -> Measurement:
    """Every output, with values of the input that no table has a row for."""
    values = case.inputs[name]
    other = values + 1 + np.arange(values.size, dtype=np.int32).reshape(values.shape) % 7
    before, after = context.encoder(case.inputs), context.encoder({**case.inputs, name: other})
    changed = [key for key, value in before.items() if not np.array_equal(after[key], value)]
    return Measurement(f"{name} has no influence", not changed, some_of(changed) or None)


def _other(context: Context, case: Case, name: str) -> np.ndarray | None:
    """Other values of an input that must change what the encoder gives; None where none must."""
    values, sizes = case.inputs[name], context.sizes
    if name == "input_mask":
        return np.ones_like(values) if case.is_padded else None
    if name != TYPES:
        return (values + 1) % sizes["vocab_size"] if sizes["vocab_size"] > 1 else None
    if sizes["type_vocab_size"] < 2 or _types_are_alike(context):
        return None
    # Not of all tokens alike: to some models only whether types are equal matters.
    changes = np.arange(values.size, dtype=np.int32).reshape(values.shape) % 2
    return (values + changes) % sizes["type_vocab_size"]


def _types_are_alike(context: Context) -> bool:
    """Whether a table of token types has rows that are all equal, as that of a model may be which
    was trained on single texts."""
    count = context.sizes["type_vocab_size"]
    tables = [
        variable.numpy()
        for variable in context.encoder.root.variables
        if "type" in variable.name and variable.shape.rank == 2 and variable.shape[0] == count
    ]
    return any((table == table[0]).all() for table in tables)
