"""Fine-tuning works: dropout, gradients of every variable, persistent tapes, one step downhill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from hubexport.errors import some_of
from hubexport.validation.artifact import LoadedEncoder
from hubexport.validation.cases import Tensors
from hubexport.validation.context import Context
from hubexport.validation.gates.failing import failure
from hubexport.validation.results import GateResult, Measurement, at_most, judge, not_run

NAME = "training"
_ROWS = 2
_SHARE = 0.01
"""Of the loss that the step would take off if the loss were linear; some of it must come off."""

_SMALL = 1 << 16
"""Elements of a variable whose gradient is asked for twice: biases and norms, no tables."""
_REPEATS = 1e-4


def run(context: Context) -> GateResult:
    """Trains for one step; the loaded encoder is not the same afterwards."""
    if context.device.strategy is not None:
        return not_run(NAME, "under a tf.distribute.Strategy; run it on a CPU or GPU")
    encoder = context.encoder
    inputs = {key: value[:_ROWS] for key, value in context.case("ragged").inputs.items()}
    measurements: list[Measurement] = []
    for check in (_dropout, _gradients, _tapes, _step):
        try:
            measurements += check(context, encoder, inputs)
        except Exception as error:  # whatever the artifact does
            measurements.append(failure(check.__name__.strip("_"), error))
    return judge(NAME, measurements)


def _dropout(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """Two passes with training=True differ, two without do not."""
    rates = (context.record or {}).get("architecture", {})
    hidden = rates.get("hidden_dropout_prob", 0.1)
    attention = rates.get("attention_probs_dropout_prob", 0.1)
    if hidden or attention:
        one, other = (encoder(inputs, training=True) for _ in range(2))
        first = "encoder_outputs[0]" if "encoder_outputs[0]" in one else "sequence_output"
        for name in dict.fromkeys((first, "sequence_output", "pooled_output")):
            yield Measurement(
                f"dropout: {name} of two passes with training=True differ",
                not np.array_equal(one[name], other[name]),
            )
        finite = all(np.isfinite(value).all() for value in one.values())
        yield Measurement("dropout: outputs are finite", finite)
        still = encoder(inputs)
        # Seen in expectation, dropout changes nothing: the outputs stay near.
        near = float(np.mean(np.square(one["sequence_output"] - still["sequence_output"])))
        scale = float(np.mean(np.square(still["sequence_output"])))
        yield at_most("dropout: mean square change of sequence_output", near, 2 * scale)


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
    @tf.function
    def look() -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(encoder.call(name, inputs, training=True))
        found = list(zip(variables, tape.gradient(loss, variables), strict=True))
        missing[:] = [variable.name for variable, gradient in found if gradient is None]
        return {
            variable.name: tf.reduce_all(tf.math.is_finite(_values(gradient)))
            for variable, gradient in found
            if gradient is not None
        }

    with context.device.placed():
        return missing, look()


def _tapes(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """A persistent tape through the root and each head, asked for two targets."""
    for name in ("", *encoder.heads):
        label = f".{name}" if name else "root"
        one, again, second = _asked(context, encoder, name, inputs)
        # Sums in other orders: not to the bit.
        apart = float(np.linalg.norm(one - again) / max(float(np.linalg.norm(one)), 1e-30))
        yield at_most(f"{label}: a persistent tape asked twice", apart, _REPEATS)
        yield Measurement(f"{label}: a persistent tape has a second target", bool(second.any()))


def _asked(
    context: Context, encoder: LoadedEncoder, name: str, inputs: Tensors
) -> list[np.ndarray]:
    """Gradients of small variables by a persistent tape: twice of one target, once of another."""
    import tensorflow as tf

    small = [
        variable
        for variable in encoder.part(name).trainable_variables
        if variable.shape.num_elements() <= _SMALL
    ]

    @tf.function
    def ask() -> Any:
        with tf.GradientTape(persistent=True) as tape:
            outputs = encoder.call(name, inputs, training=True)
            loss, other = _loss(outputs), tf.reduce_sum(outputs["pooled_output"])
        return [_joined(tape.gradient(target, small)) for target in (loss, loss, other)]

    with context.device.placed():
        return [each.numpy() for each in ask()]


def _step(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """A step of gradient descent in a tf.function takes something off the loss."""
    import tensorflow as tf

    variables = list(encoder.root.trainable_variables)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(encoder.call("", inputs))
        found = zip(variables, tape.gradient(loss, variables), strict=True)
        pairs = [(v, tf.convert_to_tensor(g)) for v, g in found if g is not None]
        square = tf.add_n([tf.reduce_sum(tf.square(tf.cast(g, tf.float32))) for _, g in pairs])
        rate = _SHARE * loss / square
        for variable, gradient in pairs:
            variable.assign_sub(tf.cast(rate, variable.dtype) * gradient)
        return loss

    before = encoder(inputs)["sequence_output"]
    with context.device.placed():
        loss = step()
        after = _loss(encoder.call("", inputs))
    left = float(after / loss)
    yield Measurement(
        "one step of gradient descent: loss after, of that before", left < 1, f"{left:.4f}", "< 1"
    )
    moved = not np.array_equal(encoder(inputs)["sequence_output"], before)
    yield Measurement("one step of gradient descent moves the outputs", moved)


def _loss(outputs: Mapping[str, Any]) -> Any:
    """A loss that every output has a part in."""
    import tensorflow as tf

    tensors = tf.nest.flatten(dict(outputs))
    # Not the mean of squares alone: layer norms keep that constant.
    return tf.add_n([tf.reduce_mean(tf.square(tf.cast(x, tf.float32) - 0.3)) for x in tensors])


def _values(gradient: Any) -> Any:
    """A gradient's numbers: those of tf.IndexedSlices without the zeros between."""
    return getattr(gradient, "values", gradient)


def _joined(gradients: Iterable[Any]) -> Any:
    """The gradients that there are, as one vector."""
    import tensorflow as tf

    found = [tf.reshape(tf.convert_to_tensor(g), [-1]) for g in gradients if g is not None]
    return tf.concat([tf.cast(each, tf.float32) for each in found] or [tf.zeros([1])], axis=0)
