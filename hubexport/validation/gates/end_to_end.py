"""Text through the preprocessor and the encoder, as programs use the two.

With texts in the reference, every output of the pair is compared with the reference's. In any case
the two must fit each other, run as one function and behind `tf.data`, and then give what they give
one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hubexport.errors import some_of
from hubexport.validation.artifact import Outputs, flatten, training_keyword
from hubexport.validation.cases import TYPES, Case
from hubexport.validation.context import Context
from hubexport.validation.expected import expected_outputs
from hubexport.validation.figures import compare
from hubexport.validation.gates.text.calls import in_dataset
from hubexport.validation.gates.text.cases import preprocess, text_cases
from hubexport.validation.gates.text.client import (
    ArtifactError,
    Packed,
    TextPreprocessor,
    attempt,
    strings,
)
from hubexport.validation.reference_file import HEAD_OUTPUTS
from hubexport.validation.results import GateResult, Measurement, at_most, in_a_line, judge
from hubexport.validation.sentences import MLM_SENTENCES
from hubexport.validation.sizes import fitting

NAME = "end to end"
SUMMARY = "text -> preprocessor -> encoder against the reference's pipeline"
NEEDS = ("encoder", "preprocessor")
LOADED = True
APART = False
EACH_PRECISION = True

_LENGTH = 32
_FEW = 4


def run(context: Context) -> GateResult:
    """The two together, then the reference's texts."""
    detail: list[str] = []
    measurements: list[Measurement] = []
    try:
        preprocessor = TextPreprocessor(context)
    except ArtifactError as error:
        return judge(NAME, [Measurement("tf.saved_model.load", False, str(error))])
    checks: dict[str, Iterator[Measurement]] = {
        "sizes": _fit(context, preprocessor),
        "one text": _pipeline(context, preprocessor),
        "two texts": _pairs(context, preprocessor),
    }
    # What was masked afterwards is not text.
    cases = [
        case for case in text_cases(context) if case.masked_lm_ids is None and context.fits(case)
    ]
    for case in cases:
        checks[case.name] = _against_reference(context, preprocessor, case, detail)
    for name, found in checks.items():
        try:
            measurements += found
        except ArtifactError as error:
            measurements.append(Measurement(name, False, str(error)))
    if not cases:
        detail.append("There is no reference with texts: outputs are compared with nothing else.")
    return judge(NAME, measurements, " ".join(detail))


def _fit(context: Context, preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    """Whether ids, types and lengths of the one are known to the other."""
    special = preprocessor.special_tokens()
    what = "the preprocessor's vocab_size, of the encoder's word embeddings"
    yield at_most(what, special.get("vocab_size", 0), context.sizes["vocab_size"])
    if context.longest is not None:
        default = preprocessor.root(["a"])["input_word_ids"].shape[1]
        what = "the preprocessor's default length, of the encoder's positions"
        yield at_most(what, default, context.longest)
    if context.reads(TYPES):  # of an encoder that does not, any type is as good
        tokens = preprocessor.tokens(["a b c"])
        types = preprocessor.pack([tokens, tokens], _length(context))[TYPES]
        last = context.sizes["type_vocab_size"] - 1
        yield at_most("input_type_ids, of the encoder's types", types.max(), last)
    side = context.conventions["padding_side"]
    mask = preprocessor.pack([preprocessor.tokens(["a"])], _length(context))["input_mask"]
    found = "right" if mask[:, 0].all() else "left"
    what = "the side that the preprocessor pads on, of those that the encoder takes"
    yield Measurement(what, side in (found, "any"), found, side)
    # Where positions do not depend on padding, it is what the mask says, and any id will do.
    if side == "any" and "padding_id" in special:
        pad, wanted = special["padding_id"], context.pad_token_id
        what = "the preprocessor's padding_id, by which the encoder counts positions"
        yield Measurement(what, pad == wanted, str(pad), str(wanted))


def _pipeline(context: Context, preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    """One text each: in one function, and behind `Dataset.map`."""
    texts = _texts()
    packed = preprocessor.root(texts)
    apart = _encode(context, packed)
    yield from _form(context, "one text", packed, apart)
    mapped = _encode(context, in_dataset(preprocessor, texts))
    yield from _same(context, "behind Dataset.map", packed, mapped, apart)
    if context.device.strategy is None:  # compiled functions of a TPU take no strings
        together = _as_one_function(context, preprocessor, texts)
        of_root = {n: value for n, value in apart.items() if not context.encoder.head_of(n)}
        yield from _same(context, "in one tf.function", packed, together, of_root)


def _pairs(context: Context, preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    texts = _texts()
    segments = [preprocessor.tokens(texts), preprocessor.tokens(texts[::-1])]
    packed = preprocessor.pack(segments, _length(context))
    yield from _form(context, "two texts", packed, _encode(context, packed))


def _against_reference(
    context: Context, preprocessor: TextPreprocessor, case: Case, detail: list[str]
) -> Iterator[Measurement]:
    """Every output for the reference's texts; without pairs that are cut by another policy."""
    found = preprocess(preprocessor, case)
    rows = ~found.cut_otherwise
    if not rows.all():
        detail.append(f"{case.name}: {np.sum(~rows)} pairs cut otherwise are left out.")
    if not rows.any():
        return
    outputs = _encode(context, {name: value[rows] for name, value in found.packed.items()})
    tolerance = context.tolerance(case.shape[1])
    for name, load in expected_outputs(context, case).items():
        axes = HEAD_OUTPUTS.get(name)
        # It needs positions, or the artifact has no such head.
        if axes is not None and ("N" in axes or not context.encoder.head_of(name)):
            continue
        what = f"{case.name}: {name}"
        reference = load()[rows]
        if name not in outputs:
            yield Measurement(what, False, "missing", "there")
        elif outputs[name].shape != reference.shape:
            shapes = f"shape {list(outputs[name].shape)}", f"shape {list(reference.shape)}"
            yield Measurement(what, False, *shapes)
        else:
            yield from tolerance.measure(what, name, compare(outputs[name], reference))


def _form(context: Context, what: str, packed: Packed, outputs: Outputs) -> Iterator[Measurement]:
    """Shapes, and numbers that are finite."""
    rows, length = packed["input_word_ids"].shape
    hidden_size = context.sizes["hidden_size"]
    wrong = []
    for name, value in outputs.items():
        if name == "sequence_output" or name.startswith("encoder_outputs["):
            wanted: tuple[int | None, ...] = (rows, length, hidden_size)
        elif context.encoder.head_of(name):
            sizes: dict[str | int, int] = {"B": rows, "S": length}
            axes = context.encoder.axes_of(name)
            wanted = tuple(axis if isinstance(axis, int) else sizes.get(axis) for axis in axes)
        else:
            wanted = (rows, None)
        if len(value.shape) != len(wanted) or any(
            size not in (None, found) for found, size in zip(value.shape, wanted, strict=True)
        ):
            wrong.append(f"{name} {list(value.shape)}")
    yield Measurement(f"{what}: shapes", not wrong, some_of(wrong) or None)
    infinite = [name for name, value in outputs.items() if not np.isfinite(value).all()]
    yield Measurement(f"{what}: numbers are finite", not infinite, some_of(infinite) or None)


def _same(
    context: Context, what: str, packed: Packed, actual: Outputs, expected: Outputs
) -> Iterator[Measurement]:
    """Equal to rounding: another graph may be fused otherwise."""
    tolerance = context.tolerance(packed["input_word_ids"].shape[1])
    for name, value in expected.items():
        if name not in actual or actual[name].shape != value.shape:
            found = f"shape {list(actual[name].shape)}" if name in actual else "missing"
            yield Measurement(f"{what}: {name}", False, found, f"shape {list(value.shape)}")
        elif np.isfinite(value).all():
            figures = compare(actual[name], value)
            yield from tolerance.measure(f"{what}: {name}", name, figures)[:1]


def _encode(context: Context, packed: Packed) -> Outputs:
    """All outputs of the root, and of heads that take nothing more.

    Raises:
      ArtifactError: the encoder cannot.
    """
    try:
        return context.encoder(packed)
    except Exception as error:  # whatever TensorFlow and the graph say
        raise ArtifactError(f"the encoder: {in_a_line(error)}") from error


def _as_one_function(context: Context, preprocessor: TextPreprocessor, texts: list[str]) -> Outputs:
    """The root's outputs from a function that has both in it."""
    import tensorflow as tf

    encoder = context.encoder.root
    keywords = training_keyword(encoder, training=False)

    def pipeline(text: Any) -> Any:
        with tf.device("/device:CPU:0"):
            inputs = preprocessor.loaded(text)
        with context.device.placed():
            return encoder(inputs, **keywords)

    def run() -> Outputs:
        function = tf.function(pipeline, input_signature=[tf.TensorSpec([None], tf.string)])
        return flatten(function(strings(texts)))

    return attempt(run)


def _texts() -> list[str]:
    return [sentence for _, sentence, _ in MLM_SENTENCES[:: len(MLM_SENTENCES) // _FEW]]


def _length(context: Context) -> int:
    return fitting(_LENGTH, context.sizes)
