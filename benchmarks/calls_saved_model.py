"""Calls of an encoder SavedModel, anybody's."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from inputs import NAMES, Inputs

Calls = dict[str, Any]


def load(path: str, preprocessor: str = "") -> tuple[Calls, int]:
    """Name -> a function that takes inputs and gives what is timed; and the vocabulary's size.

    The preprocessor, and the session's copy of the model, are loaded when they are first asked for:
    neither is a part of loading the encoder.
    """
    loaded = tf.saved_model.load(path)
    variables = list(loaded.trainable_variables)
    table = max(variables, key=lambda each: each.shape[0])
    takes_training = "training" in str(loaded.__call__.function_spec)

    def tensors(inputs: Inputs, *more: str) -> dict[str, Any]:
        return {name: tf.constant(inputs[name]) for name in (*NAMES, *more)}

    def encoder(inputs: Inputs) -> Any:
        fed = tensors(inputs)
        return lambda: loaded(fed)["sequence_output"].numpy()

    def mlm(inputs: Inputs) -> Any:
        fed = tensors(inputs, "masked_lm_positions")
        return lambda: loaded.mlm(fed)["mlm_logits"].numpy()

    def signature(inputs: Inputs) -> Any:
        serve = loaded.signatures["serving_default"]
        named = by_key(serve.structured_input_signature[1], inputs)
        fed = {key: tf.constant(value) for key, value in named.items()}
        return lambda: [value.numpy() for value in serve(**fed).values()]

    served = functools.cache(lambda: _session(path))

    def session(inputs: Inputs) -> Any:
        running, definition = served()
        named = by_key(definition.inputs, inputs)
        fed = {definition.inputs[key].name: value for key, value in named.items()}
        outputs = {key: each.name for key, each in definition.outputs.items()}
        wanted = ("pooled_output", "sequence_output")
        if set(wanted) <= set(outputs):
            fetched = [outputs[name] for name in wanted]
        else:
            found, expected = running.run(outputs, fed), loaded(tensors(inputs))
            fetched = [outputs[_equal(found, expected[name].numpy())] for name in wanted]
        return functools.partial(running.run, fetched, fed)

    def compiled(inputs: Inputs) -> Any:
        fed = tensors(inputs)
        function = tf.function(lambda x: loaded(x)["sequence_output"], jit_compile=True)
        return lambda: function(fed).numpy()

    def training(inputs: Inputs) -> Any:
        fed = tensors(inputs)
        keywords = {"training": True} if takes_training else {}

        @tf.function
        def step() -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(loaded(fed, **keywords)["pooled_output"] - 0.3))
            found = tape.gradient(loss, variables)
            for variable, gradient in zip(variables, found, strict=True):
                if gradient is not None:
                    variable.assign_sub(1e-6 * tf.convert_to_tensor(gradient))
            return loss

        return lambda: step().numpy()

    packed = functools.cache(lambda: _preprocessor(preprocessor))

    def preprocessing(texts: list[str]) -> Any:
        preprocess = packed()

        def call() -> np.ndarray:
            found = preprocess(tf.constant(texts))
            arrays = {name: found[name].numpy() for name in NAMES}
            return arrays["input_word_ids"]

        return call

    def text(texts: list[str]) -> Any:
        preprocess = packed()
        return lambda: loaded(preprocess(tf.constant(texts)))["pooled_output"].numpy()

    calls: Calls = {
        "encoder": encoder, "signature": signature, "session": session, "compiled": compiled,
        "training": training,
    }  # fmt: skip
    if hasattr(loaded, "mlm"):
        calls["mlm"] = mlm
    if preprocessor:
        calls.update(preprocessing=preprocessing, text=text)
    return calls, int(table.shape[0])


def profile(run: functools.partial[Any], runs: int = 20) -> dict[str, tuple[float, float]]:
    """Kernel -> how many a run has, and their seconds; of the call `session`.

    Kernels that run at the same time count each, so that the sum can be more than a run takes.
    """
    tf1 = tf.compat.v1
    options = tf1.RunOptions(trace_level=tf1.RunOptions.SOFTWARE_TRACE)
    found: dict[str, tuple[float, float]] = {}
    for _ in range(runs):
        metadata = tf1.RunMetadata()
        run(options=options, run_metadata=metadata)
        for device in metadata.step_stats.dev_stats:
            for node in device.node_stats:
                # "name = Kernel(inputs)"
                kernel = node.timeline_label.partition(" = ")[2].partition("(")[0]
                kernel = kernel.replace("_MklNative", "").replace("_Mkl", "").lstrip("_")
                count, seconds = found.get(kernel, (0.0, 0.0))
                micros = node.op_end_rel_micros - node.op_start_rel_micros
                found[kernel] = (count + 1 / runs, seconds + micros * 1e-6 / runs)
    return found


def by_key(keys: Iterable[str], inputs: Inputs) -> Inputs:
    """The peer's signature has names without a meaning: input_1 to input_3, in the usual order."""
    if set(keys) == set(NAMES):
        return {name: inputs[name] for name in NAMES}
    return dict(zip(sorted(keys), (inputs[name] for name in NAMES), strict=True))


def _session(path: str) -> tuple[Any, Any]:
    """The model in a graph and a session of its own, as TensorFlow Serving runs it.

    A graph that is optimized as a whole gets other fusions than functions that are called eagerly.
    """
    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(graph=graph)
        meta = tf.compat.v1.saved_model.load(session, ["serve"], path)
    return session, meta.signature_def["serving_default"]


def _equal(found: Inputs, expected: np.ndarray) -> str:
    """The key of an output by its value, where keys say nothing: all fetch the same outputs."""
    for key, value in found.items():
        if value.shape == expected.shape and np.allclose(value, expected, atol=1e-3):
            return key
    raise RuntimeError("the signature does not give what the model gives")


def _preprocessor(path: str) -> Any:
    import tensorflow_text  # noqa: F401  registers the ops

    return tf.saved_model.load(path)
