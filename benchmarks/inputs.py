"""What contenders are fed: arrays and texts drawn from seeds, the same in each process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Inputs = dict[str, np.ndarray]
NAMES = ("input_word_ids", "input_mask", "input_type_ids")
_SPECIAL = 5  # [PAD], [UNK], [CLS], [SEP] and [MASK] come first


def make_inputs(rows: int, tokens: int, padding: float, vocab_size: int) -> Inputs:
    """Ids drawn from a seed; each row ends with up to twice the share of padding."""
    generator = np.random.default_rng(rows * 1000 + tokens)
    ids = generator.integers(_SPECIAL, vocab_size, [rows, tokens]).astype(np.int32)
    lengths = tokens - (generator.uniform(0, 2 * padding, rows) * tokens).astype(int)
    mask = (np.arange(tokens) < np.maximum(lengths, 1)[:, None]).astype(np.int32)
    positions = np.tile(np.arange(20, dtype=np.int32), [rows, 1])
    return {
        "input_word_ids": ids * mask,
        "input_mask": mask,
        "input_type_ids": np.zeros_like(ids),
        "masked_lm_positions": positions,
    }


def make_texts(rows: int, vocabulary: str) -> list[str]:
    """Texts of about 100 words, each of which is one piece of the vocabulary."""
    words = Path(vocabulary).read_text().splitlines()[_SPECIAL:]
    generator = np.random.default_rng(rows)
    lengths = generator.integers(80, 121, rows)
    return [" ".join(generator.choice(words, length)) for length in lengths]
