"""Calls of the same network in keras-hub, on TensorFlow."""

from __future__ import annotations

import json
import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras_hub
import tensorflow as tf
from inputs import Inputs


def load(path: str) -> tuple[dict[str, Any], int]:
    """The call `encoder` of a GPT-2 of random weights, and the vocabulary's size; `path` is a file
    of sizes."""
    with open(path) as file:
        sizes = json.load(file)
    model = keras_hub.models.GPT2Backbone(
        vocabulary_size=sizes["vocab_size"],
        num_layers=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        hidden_dim=sizes["hidden_size"],
        intermediate_dim=sizes["intermediate_size"],
        max_sequence_length=sizes["max_position_embeddings"],
    )
    run = tf.function(lambda fed: model(fed, training=False))

    def encoder(inputs: Inputs) -> Any:
        fed = {
            "token_ids": tf.constant(inputs["input_word_ids"]),
            "padding_mask": tf.constant(inputs["input_mask"]),
        }
        return lambda: run(fed).numpy()

    return {"encoder": encoder}, sizes["vocab_size"]
