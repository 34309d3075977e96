"""What training does beside one backward pass: a persistent tape, and a step downhill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hubexport.validation.artifact import LoadedEncoder
from hubexport.validation.cases import Tensors
from hubexport.validation.context import Context
from hubexport.validation.gates.training import loss_of
from hubexport.validation.results import GateResult, Measurement, failure, judge, not_run

NAME = "training step"
SUMMARY = "a persistent tape, and a step of gradient descent"
NEEDS = ("encoder",)
LOADED = True
APART = True
EACH_PRECISION = False

_ROWS = 2
_SHARE = 0.01
"""Of the loss that the step would take off if the loss were linear; some of it must come off."""
_SMALL = 1 << 16
"""Elements of a variable whose gradient is asked for often: biases and norms, no tables."""


def run(context: Context) -> GateResult:
    """Trains for one step; the loaded encoder is not the same afterwards."""
    if context.device.strategy is not None:
        return not_run(NAME, "under a tf.distribute.Strategy; run it on a CPU or GPU")
    inputs = {key: value[:_ROWS] for key, value in context.case("ragged").inputs.items()}
    measurements: list[Measurement] = []
    for check in (_tape, _step):
        try:
            measurements += check(context, context.encoder, inputs)
        except Exception as error:  # whatever the artifact does
            measurements.append(failure(check.__name__.strip("_"), error))
    return judge(NAME, measurements)


def _tape(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """A persistent tape, asked for two targets: through a head, which calls what the root calls."""
    import tensorflow as tf

    # TensorFlow makes gradients of gradients for such tapes, which takes long: of one path only.
    name = next((name for name, head in encoder.heads.items() if not head.encodes), "")
    small = [
        variable
        for variable in encoder.root.trainable_variables
        if variable.shape.num_elements() <= _SMALL
    ]

    @tf.function(autograph=False)
    def ask() -> Any:
        with tf.GradientTape(persistent=True) as tape:
            outputs = encoder.call(name, inputs, training=True)
            targets = (loss_of(outputs), tf.reduce_sum(outputs["pooled_output"]))
        return [_joined(tape.gradient(target, small)) for target in targets]

    with context.device.placed():
        answers = ask()
    for target, gradient in zip(("a loss", "pooled_output"), answers, strict=True):
        sound = bool(np.isfinite(gradient).all() and gradient.numpy().any())
        label = f".{name}" if name else "root"
        yield Measurement(f"{label}: a persistent tape gives the gradient of {target}", sound)


def _step(context: Context, encoder: LoadedEncoder, inputs: Tensors) -> Iterator[Measurement]:
    """A step of gradient descent in a tf.function takes something off the loss."""
    import tensorflow as tf

    variables = list(encoder.root.trainable_variables)

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(encoder.call("", inputs))
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
        after = loss_of(encoder.call("", inputs))
    left = float(after / loss)
    yield Measurement(
        "one step of gradient descent: loss after, of that before", left < 1, f"{left:.4f}", "< 1"
    )
    moved = not np.array_equal(encoder(inputs)["sequence_output"], before)
    yield Measurement("one step of gradient descent moves the outputs", moved)


def _joined(gradients: Iterable[Any]) -> Any:
    """The gradients that there are, as one vector."""
    import tensorflow as tf

    found = [tf.reshape(tf.convert_to_tensor(g), [-1]) for g in gradients if g is not None]
    return tf.concat([tf.cast(each, tf.float32) for each in found] or [tf.zeros([1])], axis=0)
