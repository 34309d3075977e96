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


def right_padded(batch: Tensors, pad_id: int) -> Tensors:
    """The batch with the padding's id wherever there is no token: models may look at it."""
    ids = np.where(batch["input_mask"] == 0, pad_id, batch["input_word_ids"])
    return batch | {"input_word_ids": ids.astype(np.int32)}


def left_padded(batch: Tensors, pad_id: int) -> Tensors:
    """The same tokens at the end of each row; what is predicted stays the same token, too."""
    order = np.argsort(batch["input_mask"], axis=1, kind="stable")
    moved_to = np.argsort(order, axis=1)
    per_token = {
        name: np.take_along_axis(value, order, axis=1)
        for name, value in right_padded(batch, pad_id).items()
        if name != "masked_lm_positions"
    }
    positions = np.take_along_axis(moved_to, batch["masked_lm_positions"], axis=1)
    return per_token | {"masked_lm_positions": positions.astype(np.int32)}


def with_holes(batch: Tensors) -> Tensors:
    """Every third token is hidden by the mask, the first ones excepted."""
    hidden = np.arange(batch["input_mask"].shape[-1]) % 3 == 1
    return batch | {"input_mask": np.where(hidden, 0, batch["input_mask"]).astype(np.int32)}


def with_padding_ids(batch: Tensors, pad_id: int) -> Tensors:
    """Every third id is the padding's, among tokens that are attended to."""
    chosen = np.arange(batch["input_mask"].shape[-1]) % 3 == 1
    ids = np.where(chosen, pad_id, batch["input_word_ids"])
    return batch | {"input_word_ids": ids.astype(np.int32)}


def kinds(
    vocab_size: int, max_length: int, pad_id: int, type_vocab_size: int = 2, seed: int = 0
) -> dict[str, Tensors]:
    """Batches of 4 rows by what is special about them."""
    generator = np.random.default_rng(seed)

    def new(length: int) -> Tensors:
        return batch(generator, 4, length, vocab_size, type_vocab_size)

    full = new(max_length)
    return {
        "random padding": new(max_length),
        "padded right": right_padded(new(7), pad_id),
        "padded left": left_padded(new(7), pad_id),
        "holes": with_holes(right_padded(new(7), pad_id)),
        "padding ids in the text": with_padding_ids(new(7), pad_id),
        "one token": new(1),
        "full length": full | {"input_mask": np.ones_like(full["input_mask"])},
    }


def choices(batch: Tensors, count: int) -> Tensors:
    """Rows as so many choices each: [B * C, S] -> [B, C, S]."""
    return {
        name: value.reshape(-1, count, value.shape[-1])
        for name, value in batch.items()
        if name != "masked_lm_positions"
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
