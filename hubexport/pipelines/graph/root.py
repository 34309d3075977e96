"""The object that is saved: encoder and preprocessor as parts, and the task's functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from hubexport.pipelines.graph.batches import Batches
from hubexport.pipelines.graph.function import Built, Function, Parts
from hubexport.tokenizers.graph.preprocessor import as_batch


def pipeline_root(
    parts: Parts, built: Built, batches: Batches
) -> tuple[tf.train.Checkpoint, dict[str, Any]]:
    """The root object and its signatures, all functions traced.

    The root is called with texts, string [B], or a list of two such for functions of pairs, and
    `training` False or True. It gives what the first function for so many texts gives: a tensor,
    or a dict where there are several outputs. Each function has a signature of its own name, and
    the first is `serving_default`, too.
    """
    traces = _traces(batches, built)
    by_count: dict[int, str] = {}
    for name, function in built.functions.items():
        by_count.setdefault(len(function.texts), name)

    def call(text: Any, training: bool = False) -> Any:
        texts = text if isinstance(text, list | tuple) else [text]
        outputs = traces[by_count[len(texts)]][training](*map(as_batch, texts))
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    root_call = tf.function(call, autograph=False)
    for count in by_count:
        # Of any rank, since each trace takes time to load: what `as_batch` cannot take fails there.
        specs = [tf.TensorSpec(None, tf.string, name="text")] * count
        for training in (False, True):
            root_call.get_concrete_function(specs[0] if count == 1 else specs, training=training)
    root = tf.train.Checkpoint()
    root.__call__ = root_call
    root.encoder, root.preprocessor = parts.encoder, parts.preprocessor
    root.variables = list(built.variables)
    root.trainable_variables = list(built.variables)
    root.regularization_losses = []
    for name, value in built.attributes.items():
        setattr(root, name, value)
    # No function around it: each has all weights among its inputs, which takes time to load.
    signatures = {name: each[False].get_concrete_function() for name, each in traces.items()}
    return root, {"serving_default": next(iter(signatures.values())), **signatures}


def _traces(batches: Batches, built: Built) -> dict[str, dict[bool, Any]]:
    """By name and by `training`, the one graph of a function that all calls of it share.

    Functions that differ by a prompt alone share all that is behind it.
    """
    plain: list[tuple[Function, dict[bool, Any]]] = []

    def traces(function: Function) -> dict[bool, Any]:
        without = dataclasses.replace(function, prompt="")
        found = next((made for each, made in plain if each == without), None)
        if found is None:
            found = {training: _trace(batches, without, training) for training in (False, True)}
            plain.append((without, found))
        if not function.prompt:
            return found
        return {training: _prompted(function, each) for training, each in found.items()}

    return {name: traces(function) for name, function in built.functions.items()}


def _trace(batches: Batches, function: Function, training: bool) -> Any:
    def run(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
        # Nothing checks what a signature is given.
        rows = [as_batch(text) for text in texts]
        outputs = batches(rows, function, training)
        return {name: _of_texts(each, rows[0]) for name, each in outputs.items()}

    return tf.function(run, input_signature=_specs(function.texts), autograph=False)


def _prompted(function: Function, traced: Any) -> Any:
    def run(first: tf.Tensor, *others: tf.Tensor) -> Any:
        return traced(tf.strings.join([function.prompt, first]), *others)

    return tf.function(run, input_signature=_specs(function.texts), autograph=False)


def _of_texts(output: tf.Tensor | tf.RaggedTensor, text: tf.Tensor) -> tf.Tensor:
    """An output [B, ...], with a static batch size where the texts have one.

    What is ragged is filled up with 0 or "": signatures give tensors.
    """
    if isinstance(output, tf.RaggedTensor):
        output = output.to_tensor()
    shape = tf.concat([tf.shape(text)[:1], tf.shape(output)[1:]], axis=0)
    return tf.reshape(output, shape)


def _specs(names: Sequence[str]) -> list[tf.TensorSpec]:
    return [tf.TensorSpec([None], tf.string, name=name) for name in names]
