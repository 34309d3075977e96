"""Preprocessing in a tf.data pipeline: single sentences, pairs, another length.

    python examples/tf_data_preprocessing.py [--preprocessor DIR] [--seq_length N]

The preprocessor holds no variables and no Python: it runs inside Dataset.map, on the host, while
the accelerator trains on the batch before.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the preprocessor's ops

OUTPUT = Path(__file__).parent / "output"

PAIRS = [
    ("A man is playing a guitar.", "Somebody makes music."),
    ("The cat sleeps.", "It has been raining for three days without a break, and still does."),
    ("She reads the newspaper.", "She is reading."),
    ("They are walking the dog.", "The dog is alone at home."),
]
ENTAILED = [1, 0, 1, 0]


def main() -> None:
    arguments = parse_arguments()
    loaded = tf.saved_model.load(str(arguments.preprocessor))
    preprocessor = getattr(loaded, "preprocessor", loaded)  # a pipeline's part, or the artifact
    first = [one for one, _ in PAIRS]
    second = [other for _, other in PAIRS]

    # The shortest way: sentences in, encoder inputs of the default length out.
    sentences = tf.data.Dataset.from_tensor_slices(first).batch(2)
    print("Dataset.map(preprocessor)")
    describe(sentences.map(preprocessor, tf.data.AUTOTUNE))

    # Two segments and a length of one's own: tokenize, then pack. What does not fit is cut off the
    # segments in turns. Batch first: the preprocessor takes batches of strings.
    def preprocess(
        one: tf.Tensor, other: tf.Tensor, label: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        segments = [preprocessor.tokenize(one), preprocessor.tokenize(other)]
        packed = preprocessor.bert_pack_inputs(segments, seq_length=arguments.seq_length)
        return packed, label

    pairs = tf.data.Dataset.from_tensor_slices((first, second, ENTAILED)).shuffle(4, seed=0)
    pairs = pairs.batch(2).map(preprocess, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    print("\nDataset.map of two segments, with labels")
    describe(pairs)

    print("\none packed pair")
    packed, _ = preprocess(tf.constant(first[1:2]), tf.constant(second[1:2]), tf.constant([0]))
    for name in ("input_word_ids", "input_mask", "input_type_ids"):
        print(f"  {name:15}", *(f"{value:5}" for value in packed[name].numpy()[0]))

    special = preprocessor.tokenize.get_special_tokens_dict()
    print("\nspecial tokens:", {name: int(value) for name, value in special.items()})


def describe(dataset: tf.data.Dataset) -> None:
    """What a model that is fitted on the data set will be given."""
    element = dataset.element_spec
    inputs, *labels = element if isinstance(element, tuple) else (element,)
    for name, spec in [*sorted(inputs.items()), *(("label", label) for label in labels)]:
        print(f"  {name:15} {spec.dtype.name} {spec.shape}")
    print(f"  in {sum(1 for _ in dataset)} batches")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Preprocesses text in a tf.data pipeline.")
    parser.add_argument("--preprocessor", type=Path, default=OUTPUT / "embed")
    parser.add_argument("--seq_length", type=int, default=16)
    arguments = parser.parse_args()
    if not (arguments.preprocessor / "saved_model.pb").is_file():
        sys.exit(f"There is no SavedModel in {arguments.preprocessor}.\nTo go on: make demo.")
    return arguments


if __name__ == "__main__":
    main()
