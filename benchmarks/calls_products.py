"""Nothing but the matrix products of the encoder, by TensorFlow: the machine's own limit."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf
from inputs import Inputs


def load(path: str, dtype: str = "float32") -> tuple[dict[str, Any], int]:
    """The call `encoder`, and the vocabulary's size; `path` is a file of sizes."""
    with open(path) as file:
        sizes = json.load(file)
    H, wide_size = sizes["hidden_size"], sizes["intermediate_size"]
    A, L = sizes["num_attention_heads"], sizes["num_hidden_layers"]
    kind = tf.as_dtype(dtype)
    mixing = tf.cast(tf.random.normal([A, A]), kind)
    square = [tf.Variable(tf.cast(tf.random.normal([H, H]), kind)) for _ in range(4)]
    up, down = (
        tf.Variable(tf.cast(tf.random.normal(shape), kind))
        for shape in ([H, wide_size], [wide_size, H])
    )

    def encoder(inputs: Inputs) -> Any:
        B, S = inputs["input_word_ids"].shape
        x = tf.cast(tf.random.normal([B * S, H]), kind)
        heads = tf.cast(tf.random.normal([B, A, S, H // A]), kind)
        scores = tf.cast(tf.random.normal([B, A, S, S]), kind)
        wide = tf.cast(tf.random.normal([B * S, wide_size]), kind)

        pairs = [
            *((x, kernel, False) for kernel in square),
            (heads, heads, True), (scores, heads, False), (x, up, False), (wide, down, False),
        ]  # fmt: skip
        if sizes.get("talking_heads"):  # two mixings of heads, and the gate
            flat = tf.reshape(scores, [B, A, S * S])
            pairs += [(mixing, flat, False), (mixing, flat, False), (x, up, False)]

        @tf.function
        def run() -> Any:
            # Each waits for the one before it, and a number of each is asked for: nothing is left
            # out, and nothing runs at the same time.
            results: list[Any] = []
            for _ in range(L):
                for left, right, transposed in pairs:
                    with tf.control_dependencies(results[-1:]):
                        left = tf.identity(left)
                        results.append(tf.matmul(left, right, transpose_b=transposed))
            return tf.add_n([tf.reshape(each, [-1])[0] for each in results])

        return lambda: run().numpy()

    return {"encoder": encoder}, sizes["vocab_size"]
