"""Fine-tunes an exported encoder to tell praise from complaint: text in, probability out.

    python examples/fine_tune.py [--encoder DIR] [--preprocessor DIR] [--epochs N]

Both are parts of the pipeline that `make demo` wrote, unless others are passed. The data set is a
toy inside this file. The optimizer is AdamW, which leaves layer norms and biases without weight
decay, as BERT was trained.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the preprocessor's ops
import tf_keras

OUTPUT = Path(__file__).parent / "output"

GOOD = [
    "I loved every minute of it.",
    "A warm, funny and clever film.",
    "The best meal we have had in years.",
    "Friendly staff, clean rooms, we will come back.",
    "It works perfectly and was easy to set up.",
    "What a beautiful book, I could not put it down.",
    "She sings wonderfully.",
    "The battery lasts for days, great buy.",
    "Quick delivery and exactly what I wanted.",
    "A delightful evening from start to finish.",
    "The new version is much faster, well done.",
    "Highly recommended.",
]
BAD = [
    "I want those two hours of my life back.",
    "A dull, noisy and pointless film.",
    "The soup was cold and the waiter was rude.",
    "Dirty rooms and no hot water, never again.",
    "It broke on the second day.",
    "The plot makes no sense and the ending is worse.",
    "He sings out of tune.",
    "The battery is empty after an hour, a waste of money.",
    "It came late and in the wrong colour.",
    "A tedious evening, we left early.",
    "The new version crashes all the time.",
    "Avoid.",
]
UNSEEN = [
    "The food was delicious.",
    "The service was slow and rude.",
    "A wonderful, clever book.",
    "It stopped working after a week.",
]
NO_WEIGHT_DECAY = ["LayerNorm", "bias"]
"""Parts of variables' names. hubexport names variables as google-research/bert does."""


def main() -> None:
    arguments = parse_arguments()
    started = time.monotonic()
    tf_keras.utils.set_random_seed(1)

    # Text becomes ids in the input pipeline: strings never reach the accelerator. The sentences are
    # short, so 32 ids are enough; `preprocessor(text)` alone would give 128.
    preprocessor = load(arguments.preprocessor, "preprocessor")

    def preprocess(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return preprocessor.bert_pack_inputs([preprocessor.tokenize(text)], seq_length=32)

    labels = [1.0] * len(GOOD) + [0.0] * len(BAD)
    examples = tf.data.Dataset.from_tensor_slices((GOOD + BAD, labels))
    training = (
        examples.shuffle(len(labels), seed=1)
        .batch(8)
        .map(lambda text, label: (preprocess(text), label), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )

    encoder = hub.KerasLayer(load(arguments.encoder, "encoder"), trainable=True)
    inputs = {
        name: tf_keras.Input(shape=(None,), dtype=tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    pooled = tf_keras.layers.Dropout(0.1)(encoder(inputs)["default"])
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(pooled))

    optimizer = tf_keras.optimizers.AdamW(learning_rate=2e-4, weight_decay=0.01)
    optimizer.exclude_from_weight_decay(var_names=NO_WEIGHT_DECAY)
    report_weight_decay(encoder)
    model.compile(optimizer, tf_keras.losses.BinaryCrossentropy(from_logits=True))

    model.evaluate(training, verbose=0)  # builds the function, so that the first epoch is not slow
    for epoch in range(1, arguments.epochs + 1):
        history = model.fit(training, verbose=0).history
        print(f"epoch {epoch}: loss {history['loss'][0]:.3f}")
    print("\nprobability of praise, for sentences that it was not trained on:")
    scores = tf.sigmoid(model(preprocess(tf.constant(UNSEEN)), training=False))
    for sentence, score in zip(UNSEEN, scores.numpy()[:, 0], strict=True):
        print(f"  {score:.2f}  {sentence}")
    print(f"\n{time.monotonic() - started:.0f} s, without the import of TensorFlow")


def load(directory: Path, part: str) -> Any:
    """An artifact, or of a pipeline its part."""
    loaded = hub.load(str(directory))
    return getattr(loaded, part, loaded)


def report_weight_decay(encoder: hub.KerasLayer) -> None:
    """Says which of the encoder's variables the optimizer will let decay."""
    names = [variable.name for variable in encoder.trainable_variables]
    exempt = [name for name in names if any(part in name for part in NO_WEIGHT_DECAY)]
    decayed = [name for name in names if name not in exempt]
    print(f"weight decay for {len(decayed)} variables, such as {decayed[-1]}")
    print(f"none for {len(exempt)} variables, such as {exempt[0]} and {exempt[-1]}\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tunes an exported encoder on a toy task.")
    parser.add_argument("--encoder", type=Path, default=OUTPUT / "embed")
    parser.add_argument("--preprocessor", type=Path, default=OUTPUT / "embed")
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    for path in (arguments.encoder, arguments.preprocessor):
        if not (path / "saved_model.pb").is_file():
            sys.exit(
                f"There is no SavedModel in {path}. To go on: make demo, or pass its directory."
            )
    return arguments


if __name__ == "__main__":
    main()
