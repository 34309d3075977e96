"""What a user's program does with an encoder: loads it, runs it, builds a model around it.

python user.py SAVED_MODEL INPUTS.npz OUTPUTS.npz [RE_EXPORT]

Runs as a file, with TensorFlow and numpy alone. Writes the root's outputs by name; layers are
`encoder_outputs[i]`. With RE_EXPORT, saves a model that holds the encoder there.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf


class Model(tf.Module):
    """A user's own model around an encoder."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name)
            for name in ("input_word_ids", "input_mask", "input_type_ids")
        ]
    )
    def serve(self, input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> dict[str, Any]:
        """The encoder's outputs by name, without lists: signatures take none."""
        outputs = self.encoder(
            {
                "input_word_ids": input_word_ids,
                "input_mask": input_mask,
                "input_type_ids": input_type_ids,
            }
        )
        return flatten(outputs)


def flatten(outputs: dict[str, Any]) -> dict[str, Any]:
    """Tensors by name, those of lists numbered."""
    flat = {}
    for name, value in outputs.items():
        if isinstance(value, (list, tuple)):
            flat.update({f"{name}[{i}]": each for i, each in enumerate(value)})
        else:
            flat[name] = value
    return flat


def main() -> None:
    """Loads, runs, and saves anew."""
    saved_model, inputs_file, outputs_file, *re_export = sys.argv[1:]
    loaded = tf.saved_model.load(saved_model)
    inputs = {name: tf.constant(value, tf.int32) for name, value in np.load(inputs_file).items()}
    # What this program saved has `serve` alone.
    outputs = flatten(loaded(inputs)) if callable(loaded) else loaded.serve(**inputs)
    np.savez(outputs_file, **{name: value.numpy() for name, value in outputs.items()})
    if re_export:
        tf.saved_model.save(Model(loaded), re_export[0])


if __name__ == "__main__":
    main()
