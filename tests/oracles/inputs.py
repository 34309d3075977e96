"""Random inputs of a text encoder, and random values of its weights."""

from __future__ import annotations

import numpy as np

Tensors = dict[str, np.ndarray]

KERNEL_STDDEV, BIAS_STDDEV, EMBEDDING_STDDEV = 0.2, 0.1, 0.5


def batches(
    vocab_size: int, max_length: int, type_vocab_size: int = 2, seed: int = 0
) -> list[Tensors]:
    """Batches of 1 and 4 rows, with sequences of 1, 7 and as many tokens as there are positions."""
    generator = np.random.default_rng(seed)
    lengths = sorted({1, min(7, max_length), max_length})
    return [
        batch(generator, rows, length, vocab_size, type_vocab_size)
        for rows in (1, 4)
        for length in lengths
    ]


def batch(
    generator: np.random.Generator,
    rows: int,
    length: int,
    vocab_size: int,
    type_vocab_size: int = 2,
    predictions: int = 3,
) -> Tensors:
    """One batch: the first row full, the second of one token, the others ragged.

    Padding holds random ids as well, so that a mask which is not applied shows.
    """
    sizes = generator.integers(1, length + 1, rows)
    sizes[:2] = [length, 1][:rows]
    is_token = np.arange(length) < sizes[:, np.newaxis]
    first_segment = generator.integers(0, sizes + 1)
    second_type = min(1, type_vocab_size - 1)
    positions = generator.integers(0, sizes[:, np.newaxis], (rows, predictions))
    positions[:, -1] = 0  # zero-padded, as pre-training data is
    return {
        "input_word_ids": generator.integers(0, vocab_size, (rows, length)).astype(np.int32),
        "input_mask": is_token.astype(np.int32),
        "input_type_ids": np.where(
            np.arange(length) >= first_segment[:, np.newaxis], second_type, 0
        ).astype(np.int32),
        "masked_lm_positions": positions.astype(np.int32),
    }


def random_weight(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A value for a weight by the last part of its name; none is zero, and no two are equal.

    Norms scale by about 1, embeddings are large (a norm follows them), the rest is small.
    """
    normal = generator.standard_normal(shape)
    lower = name.lower()
    scale_of_norm = lower.endswith("gamma") or ("norm" in lower and lower.endswith("weight"))
    if scale_of_norm:
        value = 1 + BIAS_STDDEV * normal
    elif "embedding" in lower and len(shape) == 2 and "projection" not in lower:
        value = EMBEDDING_STDDEV * normal
    elif lower.endswith("softmax_weight"):
        value = np.eye(shape[0]) + KERNEL_STDDEV * normal
    elif len(shape) == 1 or lower.endswith("bias"):
        value = BIAS_STDDEV * normal
    else:
        value = KERNEL_STDDEV * normal
    return value.astype(np.float32)
