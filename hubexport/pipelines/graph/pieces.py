"""What each piece of a vocabulary stands for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_AT_ONCE = 1 << 16


def pieces_of(preprocessor: Any, vocab_size: int) -> tf.Tensor:
    """string [V]: the text of each piece by itself, as the preprocessor puts texts together.

    Args:
      preprocessor: as loaded; has `.detokenize`.
      vocab_size: V, of the encoder; what it has beyond the tokenizer's is "".
    """
    size = int(preprocessor.tokenize.get_special_tokens_dict()["vocab_size"])
    found = []
    for start in range(0, size, _AT_ONCE):
        ids = tf.range(start, min(start + _AT_ONCE, size))
        alone = tf.RaggedTensor.from_row_lengths(ids, tf.ones_like(ids), validate=False)
        found.append(preprocessor.detokenize(alone.with_row_splits_dtype(tf.int64)))
    return tf.concat([*found, tf.fill([vocab_size - size], "")], axis=0)
