"""Dropout acts and only where it should, and every variable has a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hubexport.errors import some_of
from hubexport.saved_model.graph import nodes_of_calls
from hubexport.validation.artifact import LoadedEncoder
from hubexport.validation.cases import Tensors
from hubexport.validation.context import Context
from hubexport.validation.results import GateResult, Measurement, at_most, failure, judge, not_run

NAME = "training"
SUMMARY = "dropout, and a finite gradient for every variable"
NEEDS = ("encoder",)
LOADED = True
APART = True
EACH_PRECISION = False

_ROWS = 2
_PASSES = 4
_MOST_PASSES = 32
_FAR = 0.5
_RANDOM = ("RandomUniform", "StatelessRandomUniformV2", "StatelessRandomUniform")


def run(context: Context) -> GateResult:
    """Two passes with dropout, and a backward pass of the root and each head."""
    if context.device.strategy is not None:
        return not_run(NAME, "under a tf.distribute.Strategy; run it on a CPU or GPU")
    inputs = {key: value[:_ROWS] for key, value in context.case("ragged").inputs.items()}
    measurements: list[Measurement] = []
    # A table that only an optional input looks things up in has no gradient without it.
    every = inputs | {
        name: context.case(f"with_{name}").inputs[name][:_ROWS]
        for name, optional in context.encoder.optional.items()
        if optional.limit is not None
    }
    for check, given in ((_dropout, inputs), (_gradients, every)):
        try:
            measurements += check(context, context.encoder, given)
        except Exception as error:  # whatever the artifact does
            measurements.append(failure(check.__name__.strip("_"), error))
    return judge(NAME, measurements)


def _dropout(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """Passes with training=True differ, and are near those without on average."""
    config = context.record["architecture"] if context.record else {}
    hidden = config.get("hidden_dropout_prob", 0.1)
    attention = config.get("attention_probs_dropout_prob", 0.1)
    if context.record is not None:
        layers = config["num_hidden_layers"]
        as_in_bert = (1 + 2 * layers if hidden else 0) + (layers if attention else 0)
        expected = {
            context.conventions.get("dropout_places", as_in_bert),
            *(head.dropout_places for head in encoder.heads.values() if head.encodes),
        }
        assert context.saved_model is not None
        found = nodes_of_calls(context.saved_model, _RANDOM)
        yield Measurement(
            "dropout: places in the graphs of calls",
            found == {0, *expected},
            ", ".join(map(str, sorted(found))),
            f"{', '.join(map(str, sorted(expected)))}, and 0 without training"
            if any(expected)
            else "0",
        )
    still = encoder(inputs)
    passes = [encoder(inputs, training=True) for _ in range(_PASSES)]
    if hidden or attention:
        first = "encoder_outputs[0]" if "encoder_outputs[0]" in still else "sequence_output"
        for name in dict.fromkeys((first, "sequence_output", "pooled_output")):
            yield Measurement(
                f"dropout: {name} of two passes with training=True differ",
                not np.array_equal(passes[0][name], passes[1][name]),
            )
    else:
        same = np.allclose(passes[0]["sequence_output"], still["sequence_output"], rtol=1e-4)
        yield Measurement("without dropout, training=True changes nothing", same)
    finite = all(np.isfinite(value).all() for each in passes for value in each.values())
    yield Measurement("training=True: outputs are finite", finite)
    # The mean of few passes of a small encoder may be far by chance, that of many is not.
    while _distance(passes, still) > _FAR and len(passes) < _MOST_PASSES:
        passes += [encoder(inputs, training=True) for _ in passes]
    # Outputs that have nothing to do with each other are about 1 + 1 / passes apart.
    yield at_most(
        f"training=True: mean square distance of {len(passes)} passes' mean, of the outputs'",
        _distance(passes, still),
        _FAR,
    )


def _distance(passes: Sequence[Tensors], still: Tensors) -> float:
    """Mean square distance of the passes' mean from the outputs without dropout, of theirs."""
    expected = still["sequence_output"]
    mean = np.mean([each["sequence_output"] for each in passes], axis=0)
    return float(np.mean(np.square(mean - expected)) / np.mean(np.square(expected)))


def _gradients(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """Every variable has a gradient, with dropout, through the root and each head."""
    for name in ("", *encoder.heads):
        label = f".{name}" if name else "root"
        missing, finite = _look(context, encoder, name, inputs)
        yield Measurement(
            f"{label}: gradients that are None", not missing, some_of(missing) or 0, 0
        )
        broken = [variable for variable, is_finite in finite.items() if not is_finite]
        yield Measurement(
            f"{label}: gradients that are not finite", not broken, some_of(broken) or 0, 0
        )


def _look(
    context: Context, encoder: LoadedEncoder, name: str, inputs: Tensors
) -> tuple[list[str], Mapping[str, Any]]:
    """The variables without a gradient, and whether each of the others' is finite."""
    import tensorflow as tf

    variables = list(encoder.part(name).trainable_variables)
    missing: list[str] = []

    # In a graph a gradient's memory is free again as soon as it has been looked at; together they
    # are as large as the model.
    @tf.function(autograph=False)
    def look() -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(encoder.call(name, inputs, training=True))
        found = list(zip(variables, tape.gradient(loss, variables), strict=True))
        missing[:] = [variable.name for variable, gradient in found if gradient is None]
        return {
            variable.name: tf.reduce_all(tf.math.is_finite(_values(gradient)))
            for variable, gradient in found
            if gradient is not None
        }

    with context.device.placed():
        return missing, look()


def _values(gradient: Any) -> Any:
    """A gradient's numbers: those of tf.IndexedSlices without the zeros between."""
    return getattr(gradient, "values", gradient)


def loss_of(outputs: Mapping[str, Any]) -> Any:
    """A loss that every output has a part in."""
    import tensorflow as tf

    tensors = tf.nest.flatten(dict(outputs))
    # Not the mean of squares alone: layer norms keep that constant.
    return tf.add_n([tf.reduce_mean(tf.square(tf.cast(x, tf.float32) - 0.3)) for x in tensors])
