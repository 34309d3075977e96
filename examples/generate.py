"""Writes text with an exported GPT or GPT-2: the likeliest tokens, or some drawn at random.

    python examples/generate.py --encoder DIR --tokenizer DIR [--tokens N] [--top_k K] TEXT...

The encoder is what `hubexport encoder` made of a GPT or GPT-2. The tokenizer's directory, usually
the checkpoint's own, has `tokenizer.json`, or `vocab.json` and `merges.txt` of GPT-2. Texts of
different lengths are written on at the same time, padded on the left.

Each step gives what its attention has computed of all tokens so far, `past`, which is passed back
with the token that was chosen: only that token is computed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub
from tokenizers import ByteLevelBPETokenizer, Tokenizer

Choose = Callable[[tf.Tensor], tf.Tensor]
"""Scores [batch_size, vocab_size] -> int32 [batch_size], the tokens to go on with."""


def main() -> None:
    arguments = parse_arguments()
    tokenizer = read_tokenizer(arguments.tokenizer)
    language_model = hub.load(str(arguments.encoder)).lm
    texts = [tokenizer.encode(text).ids for text in arguments.text]
    choose = top_k(arguments.top_k, arguments.seed) if arguments.top_k > 1 else likeliest
    for before, ids in zip(
        texts, generate(language_model, texts, arguments.tokens, choose), strict=True
    ):
        print(tokenizer.decode(before + ids))


def generate(
    language_model: object, texts: Sequence[Sequence[int]], tokens: int, choose: Choose
) -> list[list[int]]:
    """Ids of what follows each text.

    Args:
      language_model: the artifact's `.lm`.
      texts: ids of each, at least one.
      tokens: how many to write.
      choose: `likeliest`, or what `top_k` gives.
    """
    # A function of its own, whose steps need not be traced for every length anew.
    step = tf.function(language_model.step, reduce_retracing=True)  # type: ignore[attr-defined]
    longest = max(map(len, texts))
    ids = tf.constant([[0] * (longest - len(text)) + list(text) for text in texts])
    mask = tf.constant([[0] * (longest - len(text)) + [1] * len(text) for text in texts])
    outputs = step({"input_word_ids": ids, "input_mask": mask})
    written = [choose(outputs["lm_logits"])]
    while len(written) < tokens:
        mask = tf.pad(mask, [[0, 0], [0, 1]], constant_values=1)
        latest = written[-1][:, tf.newaxis]
        outputs = step({"input_word_ids": latest, "input_mask": mask, "past": outputs["past"]})
        written.append(choose(outputs["lm_logits"]))
    return tf.stack(written, axis=1).numpy().tolist()


def likeliest(logits: tf.Tensor) -> tf.Tensor:
    """The token with the highest score."""
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def top_k(k: int, seed: int) -> Choose:
    """One of the k likeliest tokens, drawn by their probabilities (arxiv.org/abs/1805.04833)."""
    generator = tf.random.Generator.from_seed(seed)

    def choose(logits: tf.Tensor) -> tf.Tensor:
        scores, tokens = tf.math.top_k(logits, k)
        noise = generator.uniform(tf.shape(scores), minval=1e-20)
        drawn = tf.argmax(scores - tf.math.log(-tf.math.log(noise)), axis=-1)  # Gumbel's trick
        return tf.gather(tokens, drawn, batch_dims=1)

    return choose


def read_tokenizer(directory: Path) -> Tokenizer | ByteLevelBPETokenizer:
    """As it lies beside a checkpoint."""
    if (directory / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(directory / "tokenizer.json"))
    return ByteLevelBPETokenizer(str(directory / "vocab.json"), str(directory / "merges.txt"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="+", help="what to begin with")
    parser.add_argument("--encoder", type=Path, required=True, help="of `hubexport encoder`")
    parser.add_argument("--tokenizer", type=Path, required=True, help="directory of its files")
    parser.add_argument("--tokens", type=int, default=20, help="to write (default: 20)")
    parser.add_argument(
        "--top_k", type=int, default=1, help="draw one of so many; 1: always the likeliest"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    return parser.parse_args()


if __name__ == "__main__":
    main()
