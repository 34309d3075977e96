"""An encoder that a user wrote by hand: BERT in plain TensorFlow, saved with TF-Hub's interface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

LAYERS, HEADS = 2, 2
"""Of `tests.tiny.CONFIG`."""

Tensor = Any


class ByHand(tf.Module):
    """The network of google-research/bert's modeling.py, in inference and in training."""

    def __init__(self, values: Mapping[str, np.ndarray]):
        """Args:
        values: tensors by google-research/bert's names, float32.
        """
        super().__init__()
        # With names of their own: nothing tells that this is a BERT, nor how large it is.
        self.weights = {
            name.removeprefix("bert/"): tf.Variable(value, name=f"my_{i}")
            for i, (name, value) in enumerate(sorted(values.items()))
        }

    def encode(self, inputs: Mapping[str, Tensor], training: bool) -> dict[str, Any]:
        """Inputs int [B, S] -> outputs as of tensorflow.org/hub/common_saved_model_apis/text."""
        ids, types = inputs["input_word_ids"], inputs["input_type_ids"]
        w = self.weights
        x = tf.gather(w["embeddings/word_embeddings"], ids)
        x += w["embeddings/position_embeddings"][: tf.shape(ids)[1]]
        x += tf.gather(w["embeddings/token_type_embeddings"], types)
        x = self._dropout(self._norm(x, "embeddings/LayerNorm"), training)
        bias = -1e9 * (1 - tf.cast(inputs["input_mask"], tf.float32))[:, tf.newaxis, tf.newaxis]
        layers = []
        for i in range(LAYERS):
            x = self._layer(x, bias, f"encoder/layer_{i}", training)
            layers.append(x)
        pooled = tf.tanh(self._dense(x[:, 0], "pooler/dense"))
        return {
            "sequence_output": x,
            "pooled_output": pooled,
            "default": pooled,
            "encoder_outputs": layers,
        }

    def _layer(self, x: Tensor, bias: Tensor, name: str, training: bool) -> Tensor:
        query, key, value = (
            self._split(self._dense(x, f"{name}/attention/self/{each}"))
            for each in ("query", "key", "value")
        )
        size = x.shape[-1] // HEADS
        scores = tf.einsum("bqad,bkad->baqk", query, key) / np.sqrt(size) + bias
        probabilities = self._dropout(tf.nn.softmax(scores), training)
        mixed = tf.einsum("baqk,bkad->bqad", probabilities, value)
        mixed = tf.reshape(mixed, tf.shape(x))
        attended = self._dense(mixed, f"{name}/attention/output/dense")
        x = self._norm(x + self._dropout(attended, training), f"{name}/attention/output/LayerNorm")
        inner = tf.nn.gelu(self._dense(x, f"{name}/intermediate/dense"), approximate=True)
        output = self._dropout(self._dense(inner, f"{name}/output/dense"), training)
        return self._norm(x + output, f"{name}/output/LayerNorm")

    def _dense(self, x: Tensor, name: str) -> Tensor:
        return tf.matmul(x, self.weights[f"{name}/kernel"]) + self.weights[f"{name}/bias"]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        scaled = (x - mean) * tf.math.rsqrt(variance + 1e-12)
        return scaled * self.weights[f"{name}/gamma"] + self.weights[f"{name}/beta"]

    def _split(self, x: Tensor) -> Tensor:
        return tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], HEADS, x.shape[-1] // HEADS])

    def _dropout(self, x: Tensor, training: bool) -> Tensor:
        return tf.nn.dropout(x, 0.1) if training else x


def save(
    values: Mapping[str, np.ndarray],
    directory: Path,
    *,
    without: str | None = None,
    dtype: tf.DType = tf.int32,
) -> Path:
    """Saves a `ByHand` as a user would; gives the directory.

    Args:
      values: see `ByHand`.
      directory: to write.
      without: what the user forgot: "training", "variables", or an output's name.
      dtype: of the inputs.
    """
    module = ByHand(values)

    def call(inputs: Mapping[str, Tensor], training: bool = False) -> dict[str, Any]:
        outputs = module.encode(inputs, training)
        return {name: value for name, value in outputs.items() if name != without}

    root = tf.train.Checkpoint(module=module)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf.TensorSpec([None, None], dtype, name) for name in names}
    if without == "training":
        root.__call__ = tf.function(lambda inputs: call(inputs))
        root.__call__.get_concrete_function(inputs)
    else:
        root.__call__ = tf.function(call)
        for training in (False, True):
            root.__call__.get_concrete_function(inputs, training)
    if without != "variables":
        root.variables = list(module.variables)
        root.trainable_variables = list(module.trainable_variables)
        root.regularization_losses = []
    tf.saved_model.save(root, str(directory))
    return directory
